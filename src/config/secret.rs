//! A value that must never be shown.
//!
//! It has no `Display` and no `Serialize`, and its `Debug` prints nothing of it.

use std::fmt;

/// A secret text; the only way to its content is [`Secret::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; never log or format what this returns.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_prints_nothing_of_a_secret() {
        assert_eq!(format!("{:?} {:#?}", Secret::new("hunter2"), Secret::new("hunter2")), "Secret Secret");
    }
}
