//! The begin of an answer, fit to be stored and shown.
//!
//! # Security
//! An answer may echo what it was sent: keys and secrets of this product are cut out before anything is kept, and
//! control characters are, too, so that a terminal shows text and obeys nothing.

/// Longest excerpt kept.
pub(super) const MAX_EXCERPT_BYTES: usize = 1024;

/// How our keys and secrets begin.
const SECRETS: [&str; 3] = ["cxk_", "whsec_", "whsk_"];

const CUT: &str = "[cut out]";

/// The excerpt of `body`.
pub(super) fn of(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body)
        .chars()
        .map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter })
        .collect();
    let mut shown = without_secrets(&text);
    let mut end = MAX_EXCERPT_BYTES.min(shown.len());
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown.truncate(end);
    shown
}

fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, prefix, after)) = first_secret(rest) {
        shown.push_str(before);
        shown.push_str(prefix);
        shown.push_str(CUT);
        rest = after.trim_start_matches(is_secret_letter);
        if shown.len() >= MAX_EXCERPT_BYTES {
            return shown; // The rest would be cut anyway: an answer full of secrets costs no more than another.
        }
    }
    shown.push_str(rest);
    shown
}

/// Splits at the secret that begins first.
fn first_secret(text: &str) -> Option<(&str, &'static str, &str)> {
    SECRETS
        .iter()
        .filter_map(|prefix| text.split_once(prefix).map(|(before, after)| (before, *prefix, after)))
        .min_by_key(|(before, ..)| before.len())
}

/// Letters of base32, base64, base64url and percent-encoding.
fn is_secret_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=' | '_' | '-' | '%' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_and_secrets_are_cut_out_of_an_echo() {
        let echo =
            r#"{"authorization":"Bearer cxk_live_0123abcd","secret":"whsec_MfKQ9r8GKYqrTwjUPD8I+/==","k":"whsk_x"}"#;
        let shown = of(echo.as_bytes());
        assert_eq!(
            shown,
            r#"{"authorization":"Bearer cxk_[cut out]","secret":"whsec_[cut out]","k":"whsk_[cut out]"}"#
        );
    }

    #[test]
    fn a_secret_across_the_cut_is_still_cut_out() {
        let mut body = vec![b'a'; MAX_EXCERPT_BYTES - 10];
        body.extend_from_slice(b" whsec_SECRETSECRETSECRET");
        assert!(!of(&body).contains("SEC"));
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(of(b"\x1b[31mred\x00\r\nnext"), " [31mred  \nnext");
    }

    proptest! {
        #[test]
        fn any_body_gives_a_short_excerpt(body: Vec<u8>) {
            prop_assert!(of(&body).len() <= MAX_EXCERPT_BYTES);
        }

        #[test]
        fn long_bodies_in_any_letters_are_cut_at_a_letter(text in "[äß€😀a]{0,2000}") {
            prop_assert!(text.starts_with(&of(text.as_bytes())));
        }
    }
}
