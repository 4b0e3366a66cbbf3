//! What AUTH carries: the two mechanisms that hand over a user name and a password.
//!
//! Pure. Only spoken under TLS, which is the state machine's business.
//!
//! Standards: RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 4648 §4 (base64). LOGIN has no standard; its two prompts are as every
//! client knows them.
//!
//! # Security
//! Nothing here is kept, shown, or part of an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::intake::Credentials;

/// A way to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    /// RFC 4954 §4: names are compared without regard to case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::Login),
            _ => None,
        }
    }
}

/// The text is no base64, or not of the form of its mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// One response as text; `=` alone stands for an empty one (RFC 4954 §4).
pub(super) fn decode(response: &str) -> Result<String, Malformed> {
    let octets = STANDARD.decode(if response == "=" { "" } else { response }).map_err(|_| Malformed)?;
    String::from_utf8(octets).map_err(|_| Malformed)
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`. Nobody here acts for somebody else.
pub(super) fn plain(response: &str) -> Result<Credentials, Malformed> {
    let text = decode(response)?;
    let fields: Vec<&str> = text.split('\0').collect();
    let [identity, user, password] = fields.as_slice() else { return Err(Malformed) };
    if user.is_empty() || password.is_empty() || !(identity.is_empty() || identity == user) {
        return Err(Malformed);
    }
    Ok(Credentials { user: (*user).to_owned(), password: (*password).to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[test]
    fn plain_has_three_fields_and_acts_for_nobody_else() {
        let expected = Credentials { user: "key_1".into(), password: "secret".into() };
        for text in ["\0key_1\0secret", "key_1\0key_1\0secret"] {
            assert_eq!(plain(&encoded(text)), Ok(expected.clone()));
        }
        for text in ["", "key_1\0secret", "\0key_1\0", "\0\0secret", "other\0key_1\0secret", "\0a\0b\0c"] {
            assert_eq!(plain(&encoded(text)), Err(Malformed), "{text:?}");
        }
        for response in ["=", "%", "AGE", "AGEA Yg==", "////"] {
            assert_eq!(plain(response), Err(Malformed), "{response:?}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(format!("{:?}", plain(&encoded("\0ann\0secret"))), "Ok(Credentials)");
    }

    proptest! {
        #[test]
        fn any_response_is_credentials_or_malformed(response in "[ -~]{0,60}") {
            if let Ok(credentials) = plain(&response) {
                prop_assert!(!credentials.password.is_empty());
            }
            let _ = decode(&response);
        }
    }
}
