//! Secrets that browsers and links carry: 256 random bits, of which only the SHA-256 is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;

/// A secret of 256 bits. Never shows itself but by [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = [0u8; 32];
        crate::clock::random_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads what [`Secret::reveal`] gave; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 43 {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The secret as 43 letters of base64url (RFC 4648 §5), for its holder.
    #[must_use]
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0u8; 32];
        hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        hash
    }

    /// What forms carry on pages that the holder of this secret was shown: nobody else can know it, and it does not tell the
    /// secret (RFC 2104).
    #[must_use]
    pub fn form_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.form_key(), FORM).as_ref())
    }

    /// Whether a form carries [`Secret::form_token`]; takes the same time whatever the answer is.
    #[must_use]
    pub fn is_form_token(&self, text: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        hmac::verify(&self.form_key(), FORM, &tag).is_ok()
    }

    fn form_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

const FORM: &[u8] = b"connex form token v1";

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_told_and_in_no_other_form() {
        let secret = Secret::new();
        let told = secret.reveal();
        assert_eq!(Secret::parse(&told), Some(secret.clone()));
        for wrong in
            ["", "x", &told[1..], &format!("{told}A"), &told.replace(char::is_alphanumeric, "ü"), &format!("{told}=")]
        {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
        assert!(!format!("{secret:?}").contains(&told));
    }

    #[test]
    fn a_form_token_is_of_one_secret_and_not_the_secret() {
        let (one, other) = (Secret::new(), Secret::new());
        assert!(one.is_form_token(&one.form_token()));
        assert!(!other.is_form_token(&one.form_token()) && !one.is_form_token("") && !one.is_form_token(&one.reveal()));
        assert_ne!(one.form_token(), one.reveal());
    }
}
