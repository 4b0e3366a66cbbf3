//! Times of the event as RFC 3339 in UTC with milliseconds.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::clock::Timestamp;

pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time"))
}

/// The same for a time that may be missing.
pub(super) mod optional {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::clock::Timestamp;

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(in crate::event) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        match Option::<String>::deserialize(deserializer)? {
            Some(text) => match Timestamp::parse_rfc3339(&text) {
                Some(time) => Ok(Some(time)),
                None => Err(D::Error::custom("not an RFC 3339 time")),
            },
            None => Ok(None),
        }
    }
}
