//! The parameters behind a path: those of MAIL and of RCPT, each at most once.
//!
//! Read here and not by smtp-proto, which takes the last of two that contradict each other, and decodes what must be given
//! back as it came.
//!
//! Standards: RFC 5321 §4.1.2 (grammar), RFC 1870 §3 (SIZE), RFC 6152, RFC 3030 (BODY), RFC 6531 §3.4 (SMTPUTF8),
//! RFC 3461 §4 (DSN, xtext), RFC 6533 §3 (`utf-8` addresses), RFC 4954 §5 (AUTH).

use crate::mail::envelope::{BodyKind, Notify, Return};
use crate::smtp::reply::{self, Reply};

/// Octets of ENVID (RFC 3461 §4.4).
const ENVELOPE_ID: usize = 100;
/// Octets of ORCPT (RFC 3461 §4.2).
const ORIGINAL_RECIPIENT: usize = 500;

/// The parameters of MAIL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::smtp) struct MailParameters {
    pub(in crate::smtp) size: Option<u64>,
    pub(in crate::smtp) body: BodyKind,
    pub(in crate::smtp) smtputf8: bool,
    pub(in crate::smtp) returned: Option<Return>,
    pub(in crate::smtp) envelope_id: Option<String>,
    /// Whether `AUTH=` was there. Nobody here is trusted to name another submitter, so its value is not kept (RFC 4954 §5).
    pub(in crate::smtp) has_auth: bool,
}

/// The parameters of RCPT.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::smtp) struct RcptParameters {
    pub(in crate::smtp) notify: Option<Notify>,
    pub(in crate::smtp) original_recipient: Option<String>,
}

/// Reads what follows the reverse-path.
pub(super) fn of_mail(text: &str) -> Result<MailParameters, Reply> {
    let mut read = MailParameters::default();
    for parameter in parameters(text)? {
        let Parameter { keyword, value } = parameter;
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) => read.size = Some(size(value)?),
            ("BODY", Some(value)) => read.body = body(value)?,
            ("SMTPUTF8", None) => read.smtputf8 = true,
            ("RET", Some(value)) => read.returned = Some(returned(value)?),
            ("ENVID", Some(value)) if value.len() <= ENVELOPE_ID && is_xtext(value) => {
                read.envelope_id = Some(value.to_owned());
            }
            ("AUTH", Some(value)) if value == "<>" || is_xtext(value) => read.has_auth = true,
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH", _) => return Err(reply::BAD_ARGUMENTS),
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
    }
    Ok(read)
}

/// Reads what follows the forward-path.
pub(super) fn of_rcpt(text: &str) -> Result<RcptParameters, Reply> {
    let mut read = RcptParameters::default();
    for Parameter { keyword, value } in parameters(text)? {
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) => read.notify = Some(notify(value)?),
            ("ORCPT", Some(value)) if is_original_recipient(value) => read.original_recipient = Some(value.to_owned()),
            ("NOTIFY" | "ORCPT", _) => return Err(reply::BAD_ARGUMENTS),
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
    }
    Ok(read)
}

/// `keyword` or `keyword=value` (RFC 5321 §4.1.2, `esmtp-param`).
#[derive(Clone, Copy)]
struct Parameter<'a> {
    keyword: &'a str,
    value: Option<&'a str>,
}

/// All of them, each keyword once: two of one keyword say nothing (RFC 3461 §4.1 to §4.4).
fn parameters(text: &str) -> Result<Vec<Parameter<'_>>, Reply> {
    let mut all: Vec<Parameter<'_>> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let is_keyword = keyword.starts_with(|first: char| first.is_ascii_alphanumeric())
            && keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_twice = all.iter().any(|earlier| earlier.keyword.eq_ignore_ascii_case(keyword));
        if !is_keyword || is_twice || value.is_some_and(str::is_empty) {
            return Err(reply::BAD_ARGUMENTS);
        }
        all.push(Parameter { keyword, value });
    }
    Ok(all)
}

/// RFC 1870 §3: digits. A number that no counter holds is as large as can be.
fn size(value: &str) -> Result<u64, Reply> {
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(reply::BAD_ARGUMENTS);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<BodyKind, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyKind::SevenBit),
        "8BITMIME" => Ok(BodyKind::EightBitMime),
        "BINARYMIME" => Ok(BodyKind::BinaryMime),
        _ => Err(reply::BAD_ARGUMENTS),
    }
}

fn returned(value: &str) -> Result<Return, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Return::Full),
        "HDRS" => Ok(Return::Headers),
        _ => Err(reply::BAD_ARGUMENTS),
    }
}

/// RFC 3461 §4.1: `NEVER` alone, or some of the others.
fn notify(value: &str) -> Result<Notify, Reply> {
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return Err(reply::BAD_ARGUMENTS),
        }
    }
    Ok(notify)
}

/// RFC 3461 §4.2: `addr-type ";" xtext`; an address of type `utf-8` may be in UTF-8 as it is (RFC 6533 §3).
fn is_original_recipient(value: &str) -> bool {
    let Some((kind, address)) = value.split_once(';') else { return false };
    let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_address = match kind.eq_ignore_ascii_case("utf-8") {
        true => address.bytes().all(|byte| byte > b' ' && byte != 0x7f),
        false => is_xtext(address),
    };
    value.len() <= ORIGINAL_RECIPIENT && is_kind && !address.is_empty() && is_address
}

/// RFC 3461 §4: printable ASCII but `+` and `=`, and `+` with two upper-case hexadecimal digits.
fn is_xtext(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            b'+' => match behind.split_first_chunk::<2>() {
                Some((digits, after)) if digits.iter().all(|digit| b"0123456789ABCDEF".contains(digit)) => after,
                _ => return false,
            },
            b'=' => return false,
            b'!'..=b'~' => behind,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mail_takes_what_was_announced() {
        let read = of_mail("size=10 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ314159+2B AUTH=a+40b.test").unwrap();
        let expected = MailParameters {
            size: Some(10),
            body: BodyKind::EightBitMime,
            smtputf8: true,
            returned: Some(Return::Headers),
            envelope_id: Some("QQ314159+2B".into()),
            has_auth: true,
        };
        assert_eq!(read, expected);
        assert_eq!(of_mail("  ").unwrap(), MailParameters::default());
        assert_eq!(of_mail("SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
        assert_eq!(of_mail("RET=FULL AUTH=<>").unwrap().returned, Some(Return::Full));
    }

    #[test]
    fn rcpt_takes_what_was_announced() {
        let read = of_rcpt("NOTIFY=success,DELAY ORCPT=rfc822;ann+2Bx@b.test").unwrap();
        assert_eq!(read.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!(read.original_recipient.as_deref(), Some("rfc822;ann+2Bx@b.test"));
        assert_eq!(of_rcpt("NOTIFY=never").unwrap().notify, Some(Notify::default()));
        assert!(of_rcpt("ORCPT=utf-8;grüße@b.test").unwrap().original_recipient.is_some());
    }

    #[test]
    fn what_is_wrong_or_twice_is_said_apart_from_what_is_not_known() {
        for text in [
            "SIZE",
            "SIZE=",
            "SIZE=x",
            "SIZE=-1",
            "BODY=9BIT",
            "SMTPUTF8=1",
            "RET=ALL",
            "RET",
            "ENVID=a=b",
            "ENVID=+2b",
            "ENVID=+2",
            "AUTH=",
            "AUTH=a=b",
            "SIZE=1 SIZE=1",
            "RET=FULL ret=HDRS",
            "=1",
            "A_B=1",
        ] {
            assert_eq!(of_mail(text), Err(reply::BAD_ARGUMENTS), "{text}");
        }
        let long = format!("ENVID={}", "x".repeat(ENVELOPE_ID + 1));
        assert_eq!(of_mail(&long), Err(reply::BAD_ARGUMENTS));
        for text in [
            "NOTIFY",
            "NOTIFY=",
            "NOTIFY=NEVER,DELAY",
            "NOTIFY=DELAY,",
            "NOTIFY=SOON",
            "NOTIFY=NEVER NOTIFY=DELAY",
            "ORCPT=x",
            "ORCPT=;x",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;grüße@b.test",
            "ORCPT=rfc822;a=b",
            "ORCPT=rf c;x",
            "ORCPT=r/c;x",
        ] {
            assert!(of_rcpt(text).is_err(), "{text}");
        }
        for text in ["FOO", "FOO=1", "NOTIFY=DELAY", "REQUIRETLS", "MT-PRIORITY=3"] {
            assert_eq!(of_mail(text), Err(reply::UNKNOWN_PARAMETER), "{text}");
        }
        for text in ["FOO", "SIZE=1", "RRVS=2014-04-03T23:01:00Z"] {
            assert_eq!(of_rcpt(text), Err(reply::UNKNOWN_PARAMETER), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parameters_or_a_refusal(text in "[ -~äß]{0,80}", keyword in prop::sample::select(vec!["", "SIZE=", "ENVID=", "NOTIFY=", "ORCPT=rfc822;"])) {
            let text = format!("{keyword}{text}");
            if let Ok(read) = of_mail(&text) {
                prop_assert!(read.envelope_id.is_none_or(|id| id.is_ascii() && id.len() <= ENVELOPE_ID));
            }
            if let Ok(read) = of_rcpt(&text) {
                prop_assert!(read.original_recipient.is_none_or(|address| address.len() <= ORIGINAL_RECIPIENT));
            }
        }
    }
}
