//! One type per identifier: `prefix_` and 26 characters of Crockford base32 behind it, a UUIDv7 (RFC 9562 §5.7).
//!
//! Ids sort by the time at which they were made. This module neither reads a clock nor draws random numbers; see
//! [`crate::clock::Clock::mint`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What every identifier type can do.
pub trait Id: Sized {
    /// The word in front of the underscore.
    const PREFIX: &'static str;

    /// Makes the id of a millisecond and ten bytes that make it unique.
    fn from_parts(unix_millis: u64, unique: [u8; 10]) -> Self;
}

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_ and 26 characters 0-9 a-z without i, l, o, u")]
pub struct InvalidId {
    prefix: &'static str,
    text: String,
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;

            fn from_parts(unix_millis: u64, unique: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &unique).into_uuid().as_u128())
            }
        }

        impl $name {
            /// The id whose 128 bits are `bits`.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// When it was made, in milliseconds since 1970 (RFC 9562 §5.7).
            #[must_use]
            pub const fn unix_millis(self) -> u64 {
                // The upper 48 bits: nothing is cut off.
                (self.0 >> 80) as u64
            }

            /// The 128 bits of the UUID.
            #[must_use]
            pub const fn as_bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_id($prefix, self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_id($prefix, self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                read_id($prefix, text).map(Self).ok_or_else(|| InvalidId {
                    prefix: $prefix,
                    text: text.chars().take(64).collect(),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

identifiers! {
    /// A customer of this gateway; every row belongs to one.
    TenantId "ten";
    /// An application that receives operations.
    AppId "app";
    /// A mailbox that this gateway owns.
    MailboxId "mbx";
    /// An intake route: an unguessable address for copies.
    RouteId "rte";
    /// An API key (not the secret itself).
    KeyId "key";
    /// A message as it was accepted; assigned before the `250`.
    MessageId "msg";
    /// A canonical event.
    EventId "evt";
    /// A decision about one event.
    DecisionId "dec";
    /// One operation of a decision.
    OperationId "op";
    /// A piece of internal work.
    TaskId "task";
    /// A request for a person's yes or no.
    ApprovalId "apr";
    /// A proposed outbound text.
    DraftId "drf";
    /// Words of answers that decisions propose.
    TemplateId "tpl";
    /// A permission to send one content hash.
    ReleaseId "rel";
    /// A conversation.
    ThreadId "thr";
    /// What an app said happened afterwards.
    OutcomeId "out";
    /// A webhook endpoint.
    EndpointId "whe";
    /// An obligation to hand one event to one endpoint.
    DeliveryId "dlv";
    /// One try of a delivery.
    AttemptId "att";
    /// A file that waits to go along with a draft.
    UploadId "upl";
    /// One HTTP request.
    RequestId "req";
    /// One SMTP connection.
    SessionId "ses";
    /// A person with an account at this gateway.
    UserId "usr";
    /// A person who is signed in at one browser, until that ends.
    SignInId "sin";
    /// A link by which a person gets an account or sets a new password.
    InvitationId "inv";
    /// An issuer whose users may decide about a tenant's drafts.
    IssuerId "iss";
    /// A notice of the gateway itself to a person.
    NoticeId "ntc";
    /// One worker process, as named in leases.
    WorkerId "wrk";
}

/// The operator's own tenant, which every instance has: owner of postmaster and abuse.
pub const OPERATOR: TenantId = TenantId::from_bits(0);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn write_id(prefix: &str, bits: u128, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_str(prefix)?;
    formatter.write_str("_")?;
    for position in (0..26).rev() {
        let digit = (bits >> (position * 5)) & 31;
        let letter = usize::try_from(digit).ok().and_then(|index| ALPHABET.get(index)).copied().unwrap_or(b'0');
        fmt::Write::write_char(formatter, char::from(letter))?;
    }
    Ok(())
}

fn read_id(prefix: &str, text: &str) -> Option<u128> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?;
    if digits.len() != 26 {
        return None;
    }
    let mut bits: u128 = 0;
    for (position, byte) in digits.bytes().enumerate() {
        let lower = byte.to_ascii_lowercase();
        let digit = ALPHABET.iter().position(|letter| *letter == lower)?;
        if position == 0 && digit > 7 {
            return None; // 26 digits hold 130 bits; the first may only use three of its five.
        }
        bits = (bits << 5) | u128::try_from(digit).ok()?;
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_itself(bits: u128) {
            let id = EventId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
            prop_assert_eq!(id.to_string().len(), 30);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text: String) {
            let _ = text.parse::<MessageId>();
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let event = EventId::from_bits(7).to_string();
        assert!(event.parse::<MessageId>().is_err());
        assert!(event.replace("evt_0", "evt_8").parse::<EventId>().is_err());
    }

    #[test]
    fn ids_made_later_sort_behind() {
        let earlier = MessageId::from_parts(1, [9; 10]);
        let later = MessageId::from_parts(2, [0; 10]);
        assert!(earlier.to_string() < later.to_string());
    }
}
