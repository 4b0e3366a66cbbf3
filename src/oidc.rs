//! OpenID Connect, the side of whoever relies on a provider: who signs in there is known here.
//!
//! [`jose`] checks signed tokens against the keys of an issuer, [`claims`] what they say; both take bytes and return
//! values. [`issuers`] asks issuers for their documents and keys, and keeps them for a while. Nothing here knows accounts.
//!
//! Standards: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749 (OAuth 2.0), RFC 7515 (JWS), RFC 7517 (JWK), RFC 7519
//! (JWT), RFC 7636 (PKCE), RFC 8725 (JWT best practices), RFC 9207 (`iss` in the answer).
//!
//! # Security
//! Tokens are checked, never made, and no key here is secret. The algorithm is one of three with a public key, and must be
//! that of the key: `none` and every HMAC are refused whatever the issuer's document says. Addresses of issuers are those of
//! [`crate::webhook::fetch`]: https, public, judged when they are dialled.

pub mod claims;
pub mod issuers;
pub mod jose;

#[cfg(test)]
pub(crate) mod tests;

pub use claims::{Claims, Expected};
pub use issuers::{Client, Issuers, Metadata, OidcError};
