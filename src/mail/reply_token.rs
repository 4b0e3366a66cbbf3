//! Tokens that bring an answer back to its conversation, whatever a mail program does to ids and subject.
//!
//! A token stands behind the `+` of a mailbox's address, or in a Message-ID, where References carry it back. It names a
//! conversation, and a keyed tag binds it to the tenant and the mailbox for which it was made: nobody can make one, and
//! none works at another mailbox.
//!
//! Standards: RFC 5233 (detail of an address), RFC 2104 (HMAC; truncated to 80 bits, §5), RFC 5322 §3.6.4 (Message-ID).
//!
//! # Security
//! A token is no secret from those who take part in the conversation. It joins mail to the conversation, and opens nothing.

use ring::hmac;

use crate::ids::{TenantId, ThreadId};

/// Octets of the tag.
const TAG: usize = 10;
/// Letters of a token: the conversation's id without its prefix, and the tag in base32.
const LENGTH: usize = 26 + 16;
/// Letters of the tag, those of ids: lower case, as some mail systems change the case of local parts.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Most words that are tried as a token of one message.
const TRIED: usize = 16;

/// The key with which tokens are made and known again.
pub struct ReplyTokens(hmac::Key);

impl std::fmt::Debug for ReplyTokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReplyTokens(hidden)")
    }
}

impl ReplyTokens {
    /// Tokens under `key`, which must be used for nothing else.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token of a conversation in the mailbox `scope` of `tenant`.
    #[must_use]
    pub fn token(&self, tenant: TenantId, scope: &str, thread: ThreadId) -> String {
        let name = thread.to_string();
        let name = name.split_once('_').map_or(name.as_str(), |(_, name)| name);
        format!("{name}{}", self.tag(tenant, scope, thread))
    }

    /// A Message-ID, without angle brackets, whose answers come back to the conversation. `unique` is a word that no other
    /// message has, of letters and digits.
    #[must_use]
    pub fn message_id(&self, tenant: TenantId, scope: &str, thread: ThreadId, unique: &str, domain: &str) -> String {
        format!("{}.{unique}@{domain}", self.token(tenant, scope, thread))
    }

    /// The conversation that a token in one of `texts` (ids and addresses) names, if it was made for this mailbox.
    #[must_use]
    pub fn thread<'a>(
        &self,
        tenant: TenantId,
        scope: &str,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Option<ThreadId> {
        let words = texts.into_iter().flat_map(|text| text.split(|letter: char| !letter.is_ascii_alphanumeric()));
        words.filter(|word| word.len() == LENGTH).take(TRIED).find_map(|word| {
            let word = word.to_ascii_lowercase();
            let (name, tag) = word.split_at_checked(LENGTH - 16)?;
            let thread: ThreadId = format!("thr_{name}").parse().ok()?;
            is_equal(tag, &self.tag(tenant, scope, thread)).then_some(thread)
        })
    }

    fn tag(&self, tenant: TenantId, scope: &str, thread: ThreadId) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for text in ["connex reply token 1", &tenant.to_string(), scope, &thread.to_string()] {
            context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(text.as_bytes());
        }
        let tag = context.sign();
        base32(tag.as_ref().get(..TAG).unwrap_or_default())
    }
}

/// Five bits for each letter; `bytes` are a multiple of five.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5);
    for five in bytes.chunks(5) {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let letter = usize::try_from(bits >> (5 * place) & 31).unwrap_or(0);
            text.push(LETTERS.get(letter).map_or('0', |letter| char::from(*letter)));
        }
    }
    text
}

/// Compares without telling by its time where a difference is.
fn is_equal(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: TenantId = TenantId::from_bits(1);
    const THREAD: ThreadId = ThreadId::from_bits(0x0190_0000_0000_7000_8000_0000_0000_0007);

    fn tokens() -> ReplyTokens {
        ReplyTokens::new(&[7; 32])
    }

    #[test]
    fn a_token_comes_back_in_an_address_and_in_an_id_in_any_case() {
        let token = tokens().token(TENANT, "mbx_a", THREAD);
        assert_eq!(token.len(), LENGTH);
        let id = tokens().message_id(TENANT, "mbx_a", THREAD, "7f3a", "in.connex.example");
        for text in [format!("deals+{token}@in.connex.example"), id, token.to_uppercase(), format!("r-{token}=x")] {
            assert_eq!(tokens().thread(TENANT, "mbx_a", ["<other@x>", &text]), Some(THREAD), "{text}");
        }
    }

    #[test]
    fn no_token_works_for_another_tenant_mailbox_conversation_or_key() {
        let token = tokens().token(TENANT, "mbx_a", THREAD);
        assert_eq!(tokens().thread(TenantId::from_bits(2), "mbx_a", [token.as_str()]), None);
        assert_eq!(tokens().thread(TENANT, "mbx_b", [token.as_str()]), None);
        assert_eq!(ReplyTokens::new(&[8; 32]).thread(TENANT, "mbx_a", [token.as_str()]), None);
        let other = tokens().token(TENANT, "mbx_a", ThreadId::from_bits(9));
        let forged = format!("{}{}", &other[..26], &token[26..]);
        assert_eq!(tokens().thread(TENANT, "mbx_a", [forged.as_str()]), None);
    }

    proptest! {
        #[test]
        fn no_other_word_is_a_token(word in "[0-9a-hjkmnp-tv-z]{42}", text in "\\PC{0,80}") {
            prop_assert_eq!(tokens().thread(TENANT, "mbx_a", [word.as_str(), text.as_str()]), None);
        }

        #[test]
        fn a_token_with_one_letter_changed_is_none(place in 0_usize..42, letter in 0_usize..32) {
            let token = tokens().token(TENANT, "mbx_a", THREAD);
            let mut changed = token.clone().into_bytes();
            changed[place] = LETTERS[letter];
            let changed = String::from_utf8(changed).unwrap();
            prop_assume!(changed != token);
            prop_assert_eq!(tokens().thread(TENANT, "mbx_a", [changed.as_str()]), None);
        }
    }
}
