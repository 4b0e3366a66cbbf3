//! What a peer presents to say who it is, and what the layers above say to it.

use std::fmt;

use crate::ids::KeyId;

/// A user name and what goes with it. Shows neither: people put passwords into the field of the name.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password; here an API key.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

/// Whether a peer is who it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationAnswer {
    /// It holds this key.
    Known(KeyId),
    /// It does not, or its key may not be used so.
    Refused,
    /// Too often in too short a time, by this peer or its neighbours: nothing was looked at.
    TooOften,
    /// The answer cannot be had now, by no fault of the peer's.
    Unavailable,
}
