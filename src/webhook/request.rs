//! The request of one attempt: headers, signature and body.
//!
//! Never changes the body: the bytes that are stored are signed and sent. Informational headers are not signed, and
//! the documentation says so to receivers.

use std::fmt;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::endpoint::PublicUrl;
use super::sign::{InvalidMessageId, SigningSecrets, sign};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, EventId};

/// Most headers that a customer may add to an endpoint.
pub const MAX_CUSTOM_HEADERS: usize = 10;
/// Longest value of such a header.
pub const MAX_CUSTOM_VALUE_BYTES: usize = 4096;

/// Which event goes to whom for the how-manieth time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// The event; its id is the `webhook-id`.
    pub event: EventId,
    /// `message.classified`, for example.
    pub event_type: String,
    /// The obligation.
    pub delivery: DeliveryId,
    /// Counts from 1.
    pub attempt: u32,
}

/// Everything that goes out in one attempt.
pub struct SignedRequest {
    url: PublicUrl,
    headers: HeaderMap,
    body: Bytes,
}

/// The event cannot be sent. A fault of the program that made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// See [`InvalidMessageId`].
    #[error(transparent)]
    Id(#[from] InvalidMessageId),
    /// The type does not fit into a header.
    #[error("an event type is letters, digits, underscores and dots")]
    EventType,
}

impl SignedRequest {
    /// Signs `body` for `url` at `now` with every live secret of the endpoint.
    ///
    /// # Errors
    /// When the event type is not one.
    pub fn new(
        url: PublicUrl,
        attempt: &DeliveryAttempt,
        body: Bytes,
        secrets: &SigningSecrets,
        custom: &CustomHeaders,
        now: Timestamp,
    ) -> Result<Self, InvalidRequest> {
        let headers = signed_headers(attempt, &body, secrets, custom, now)?;
        Ok(Self { url, headers, body })
    }

    /// Where it goes.
    #[must_use]
    pub const fn url(&self) -> &PublicUrl {
        &self.url
    }

    /// All headers but user-agent and those that HTTP makes by itself.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The signed bytes.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The headers of an attempt to hand over `body`: the signature, and what names the event.
///
/// # Errors
/// When the event type is not one.
pub fn signed_headers(
    attempt: &DeliveryAttempt,
    body: &[u8],
    secrets: &SigningSecrets,
    custom: &CustomHeaders,
    now: Timestamp,
) -> Result<HeaderMap, InvalidRequest> {
    let signature = sign(&attempt.event.to_string(), body, secrets, now)?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if attempt.event_type.is_empty() || !attempt.event_type.bytes().all(known) {
        return Err(InvalidRequest::EventType);
    }
    let mut headers = custom.0.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let own = [
        ("webhook-id", signature.id),
        ("webhook-timestamp", signature.timestamp),
        ("webhook-signature", signature.signature),
        ("connex-delivery", attempt.delivery.to_string()),
        ("connex-attempt", attempt.attempt.to_string()),
        ("connex-event-type", attempt.event_type.clone()),
    ];
    for (name, value) in own {
        let value = HeaderValue::try_from(value).map_err(|_| InvalidRequest::EventType)?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SignedRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Headers that a customer added to an endpoint, for example an `authorization`. `Debug` shows no values.
#[derive(Debug, Clone, Default)]
pub struct CustomHeaders(HeaderMap);

impl CustomHeaders {
    /// Checks names and values.
    ///
    /// # Errors
    /// On the first header that cannot be taken; the sentence names it and never its value.
    pub fn parse<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidCustomHeader> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let shown: String = name.chars().take(64).collect();
            let name = HeaderName::try_from(name).map_err(|_| InvalidCustomHeader::Name { name: shown.clone() })?;
            if is_reserved(name.as_str()) {
                return Err(InvalidCustomHeader::Reserved { name: shown });
            }
            if value.len() > MAX_CUSTOM_VALUE_BYTES {
                return Err(InvalidCustomHeader::Value { name: shown });
            }
            let mut value = HeaderValue::from_str(value).map_err(|_| InvalidCustomHeader::Value { name: shown })?;
            value.set_sensitive(true);
            map.append(name, value);
            if map.len() > MAX_CUSTOM_HEADERS {
                return Err(InvalidCustomHeader::TooMany);
            }
        }
        Ok(Self(map))
    }
}

/// Why a custom header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCustomHeader {
    /// Not the name of a header.
    #[error("`{name}` is not a header name: use letters, digits and hyphens")]
    Name {
        /// The name, cut.
        name: String,
    },
    /// A name that this product or HTTP sets.
    #[error("the header `{name}` is set by connex or by HTTP itself: use another name")]
    Reserved {
        /// The name.
        name: String,
    },
    /// Not a value that a header can carry.
    #[error("the value of the header `{name}` is not visible ASCII text of at most 4096 bytes: shorten or encode it")]
    Value {
        /// The header's name.
        name: String,
    },
    /// More than [`MAX_CUSTOM_HEADERS`].
    #[error("an endpoint has at most 10 custom headers: remove some")]
    TooMany,
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("webhook-")
        || name.starts_with("connex-")
        || name.starts_with("proxy-")
        || RESERVED.contains(&name)
}

/// What we set ourselves, and what belongs to one connection (RFC 9110 §7.6.1).
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "user-agent",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> InvalidCustomHeader {
        CustomHeaders::parse([(name, value)]).unwrap_err()
    }

    #[test]
    fn headers_of_ours_and_of_http_are_refused() {
        for name in ["webhook-id", "Webhook-Signature", "connex-attempt", "HOST", "content-length", "Transfer-Encoding"]
        {
            assert!(matches!(refused(name, "x"), InvalidCustomHeader::Reserved { .. }), "{name}");
        }
        for name in ["connection", "content-type", "user-agent", "proxy-authorization", "upgrade"] {
            assert!(matches!(refused(name, "x"), InvalidCustomHeader::Reserved { .. }), "{name}");
        }
    }

    #[test]
    fn a_header_cannot_smuggle_another() {
        assert!(matches!(refused("x-a", "1\r\nx-b: 2"), InvalidCustomHeader::Value { .. }));
        assert!(matches!(refused("x-a: 1\r\nx-b", "2"), InvalidCustomHeader::Name { .. }));
        assert!(matches!(refused("x-a", &"v".repeat(4097)), InvalidCustomHeader::Value { .. }));
    }

    #[test]
    fn the_eleventh_header_is_refused() {
        let names: Vec<String> = (0..11).map(|number| format!("x-{number}")).collect();
        let pairs = |count: usize| names.iter().take(count).map(|name| (name.as_str(), "v"));
        assert!(CustomHeaders::parse(pairs(10)).is_ok());
        assert_eq!(CustomHeaders::parse(pairs(11)).unwrap_err(), InvalidCustomHeader::TooMany);
    }

    #[test]
    fn values_are_not_shown() {
        let headers = CustomHeaders::parse([("authorization", "Bearer secret-value")]).unwrap();
        assert!(!format!("{headers:?}").contains("secret-value"));
        assert!(!refused("x-a", "secret-value\n").to_string().contains("secret-value"));
    }
}
