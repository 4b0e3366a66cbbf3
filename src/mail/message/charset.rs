//! Octets as text, in the charsets that mail is really written in.
//!
//! What a message declares is believed unless its octets show otherwise: text that is UTF-8 is read as such whatever
//! Western charset is declared, and octets that do not fit are read as what they are likely in. No octets fail.
//!
//! Standards: RFC 2045 §5.2 (default), RFC 1468 (ISO-2022-JP), RFC 1557 (ISO-2022-KR), RFC 1843 (HZ), RFC 2152 (UTF-7).

use super::decode;

mod guess;

/// Whether the declared charset was that of the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mail) enum Fit {
    /// It was, or none was needed.
    Fits,
    /// Its name is not known, or there is none and the octets are not UTF-8.
    Unknown,
    /// The octets are in another one, or some of them are in none.
    Mismatch,
}

/// `bytes` in the charset `label`.
pub(in crate::mail) fn read(bytes: &[u8], label: &str) -> (String, Fit) {
    let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    if UNDECLARED.contains(&label.as_str()) {
        return undeclared(bytes);
    }
    if UTF_8.contains(&label.as_str()) {
        return declared_utf_8(bytes);
    }
    let is_utf_8 = !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok();
    if let (true, true, Ok(text)) = (is_utf_8, WESTERN.contains(&label.as_str()), std::str::from_utf8(bytes)) {
        return (text.to_owned(), Fit::Mismatch);
    }
    let Some(text) = decoded(bytes, &label) else {
        return (guess::text(bytes), Fit::Unknown);
    };
    // A letter cut in two at the end is no other charset.
    let is_lossy = text.strip_suffix('\u{fffd}').unwrap_or(&text).contains('\u{fffd}') && !bytes_say_so(bytes);
    match (is_lossy, is_utf_8) {
        (false, _) => (text, Fit::Fits),
        (true, true) => (guess::text(bytes), Fit::Mismatch),
        (true, false) => (better(bytes, text), Fit::Mismatch),
    }
}

/// A header value without declared charset; the flag says whether it was plain ASCII or UTF-8.
pub(super) fn header(bytes: &[u8]) -> (std::borrow::Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !guess::has_iso_2022(bytes) => (std::borrow::Cow::Borrowed(text), true),
        _ => (std::borrow::Cow::Owned(guess::text(bytes)), false),
    }
}

/// Words that say nothing about the charset.
const UNDECLARED: [&str; 10] =
    ["", "us-ascii", "ascii", "unknown", "unknown-8bit", "x-unknown", "8bit", "7bit", "binary", "default"];

const UTF_8: [&str; 7] = ["utf-8", "utf8", "unicode-1-1-utf-8", "utf-8-sig", "utf8mb4", "x-utf-8", "unicode"];

/// Declared for whatever was at hand; text of theirs is never UTF-8 by chance, beyond a letter or two.
const WESTERN: [&str; 8] =
    ["iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "windows-1252", "cp1252", "iso-8859-15", "ansi"];

/// Names that are in use and that no list has.
const ALIASES: [(&str, &str); 20] = [
    ("ansi", "windows-1252"),
    ("cp949", "euc-kr"),
    ("ms949", "euc-kr"),
    ("windows-949", "euc-kr"),
    ("x-windows-949", "euc-kr"),
    ("uhc", "euc-kr"),
    ("ks_c_5601", "euc-kr"),
    ("ksc5601", "euc-kr"),
    ("ks_c_5601-1987", "euc-kr"),
    ("cp932", "shift_jis"),
    ("ms932", "shift_jis"),
    ("windows-31j", "shift_jis"),
    ("x-sjis", "shift_jis"),
    ("sjis", "shift_jis"),
    ("iso-2022-jp-ms", "iso-2022-jp"),
    ("iso-2022-jp-1", "iso-2022-jp"),
    ("cp936", "gb18030"),
    ("ms936", "gb18030"),
    ("x-gbk", "gb18030"),
    ("cp950", "big5"),
];

fn undeclared(bytes: &[u8]) -> (String, Fit) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !guess::has_iso_2022(bytes) => (text.to_owned(), Fit::Fits),
        _ => (guess::text(bytes), Fit::Unknown),
    }
}

fn declared_utf_8(bytes: &[u8]) -> (String, Fit) {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return (text.to_owned(), Fit::Fits),
        Err(error) => error,
    };
    let text = String::from_utf8_lossy(bytes).into_owned();
    if error.error_len().is_none() {
        return (text, Fit::Fits); // a letter cut in two at the end
    }
    let (mut wrong, mut right) = (0_usize, 0_usize);
    for letter in text.chars().filter(|letter| !letter.is_ascii()) {
        if letter == '\u{fffd}' { wrong += 1 } else { right += 1 }
    }
    // Much of it is UTF-8: a few octets are damaged.
    let text = if right >= wrong { text } else { guess::text(bytes) };
    (text, Fit::Mismatch)
}

/// The declared reading, unless another one has fewer octets that mean nothing.
fn better(bytes: &[u8], declared: String) -> String {
    let lost = |text: &str| text.chars().filter(|letter| *letter == '\u{fffd}').count();
    let guessed = guess::text(bytes);
    if lost(&declared) > 2 + declared.chars().count() / 50 && lost(&guessed) < lost(&declared) {
        guessed
    } else {
        declared
    }
}

/// Whether the octets are the replacement character itself, as UTF-16 or GB18030 may write it: it was lost before.
fn bytes_say_so(bytes: &[u8]) -> bool {
    [&b"\xff\xfd"[..], b"\xfd\xff", b"\x84\x31\xa4\x37"].iter().any(|one| memchr::memmem::find(bytes, one).is_some())
}

/// The octets in the charset of this name; `None` where nobody knows it.
fn decoded(bytes: &[u8], label: &str) -> Option<String> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == label).map_or(label, |(_, name)| name);
    match name {
        "iso-2022-kr" => decode::known_charset(&shifted(bytes, (b"\x0e", b"\x0f")), "euc-kr"),
        "hz-gb-2312" => decode::known_charset(&shifted(bytes, (b"~{", b"~}")), "gb18030"),
        name => decode::known_charset(bytes, name),
    }
}

/// Octets between the marks with their high bit set, and without the marks.
fn shifted(bytes: &[u8], (open, close): (&[u8], &[u8])) -> Vec<u8> {
    let (mut out, mut rest, mut is_high) = (Vec::with_capacity(bytes.len()), bytes, false);
    while let [first, tail @ ..] = rest {
        if let Some(behind) = rest.strip_prefix(if is_high { close } else { open }) {
            is_high = !is_high;
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(b"\x1b$)C") {
            rest = behind;
        } else {
            let is_shifted = is_high && !matches!(first, b'\r' | b'\n');
            out.push(if is_shifted { first | 0x80 } else { *first });
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn charsets_of_the_real_world_are_read_by_the_names_in_use() {
        for (label, bytes, text) in [
            ("ISO-2022-JP", &b"\x1b$B$3$s\x1b(B"[..], "こん"),
            ("gb18030", b"\xc4\xe3\xba\xc3\x81\x30\x81\x30", "你好\u{80}"),
            ("GB2312", b"\xc4\xe3\xba\xc3", "你好"),
            ("ks_c_5601-1987", b"\xbe\xc8\xb3\xe7", "안녕"),
            ("cp949", b"\xbe\xc8\xb3\xe7", "안녕"),
            ("windows-31j", b"\x82\xb1\x82\xf1", "こん"),
            ("windows-1250", b"\x8c\xea", "Śę"),
            ("windows-1251", b"\xcf\xf0\xe8", "При"),
            ("utf-7", b"Gr+APwA3w-e", "Grüße"),
            ("iso-2022-kr", b"\x1b$)C\x0e>H3g\x0f!", "안녕!"),
            ("hz-gb-2312", b"a ~{Dc:C~} b", "a 你好 b"),
            ("\"utf-8\"", "é".as_bytes(), "é"),
        ] {
            assert_eq!(read(bytes, label), (text.to_owned(), Fit::Fits), "{label}");
        }
    }

    #[test]
    fn a_wrong_declaration_is_seen_and_said() {
        for (label, bytes, text) in [
            ("iso-8859-1", "Grüße".as_bytes(), "Grüße"),
            ("utf-8", b"Gr\xfc\xdfe", "Grüße"),
            ("utf-8", b"\xcf\xf0\xe8\xe2\xe5\xf2, \xea\xe0\xea \xe4\xe5\xeb\xe0?", "Привет, как дела?"),
            ("iso-2022-jp", "こんにちは、世界".as_bytes(), "こんにちは、世界"),
            (
                "utf-8",
                "é and \u{fc} and \u{fd} but \u{fe}".as_bytes().split_last().unwrap().1,
                "é and ü and ý but \u{fffd}",
            ),
        ] {
            let (found, fit) = read(bytes, label);
            assert_eq!(found, text, "{label}");
            assert_eq!(fit == Fit::Fits, found.ends_with('\u{fffd}'), "{label}");
        }
    }

    #[test]
    fn without_a_declaration_the_octets_decide() {
        for (bytes, text) in [
            (&b"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd\x81A\x90\xa2\x8aE"[..], "こんにちは、世界"),
            (b"\xa4\xb3\xa4\xf3\xa4\xcb\xa4\xc1\xa4\xcf\xa1\xa2\xc0\xa4\xb3\xa6", "こんにちは、世界"),
            (b"\x1b$B$3$s\x1b(B", "こん"),
            (b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7", "你好，世界"),
            (b"\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4", "안녕하세요"),
            (b"\xf0\xd2\xc9\xd7\xc5\xd4, \xcb\xc1\xcb \xc4\xc5\xcc\xc1?", "Привет, как дела?"),
            (b"\xcf\xf0\xe8\xe2\xe5\xf2, \xea\xe0\xea \xe4\xe5\xeb\xe0?", "Привет, как дела?"),
            (b"Gr\xfc\xdfe aus K\xf6ln \x96 10 \x80", "Grüße aus Köln – 10 €"),
            (b"caf\xe9", "café"),
            (b"\xff\xfeh\x00\xe9\x00", "hé"),
        ] {
            assert_eq!(read(bytes, ""), (text.to_owned(), Fit::Unknown));
        }
        assert_eq!(read("é".as_bytes(), "us-ascii"), ("é".to_owned(), Fit::Fits));
        assert_eq!(read("é".as_bytes(), "x-none"), ("é".to_owned(), Fit::Unknown));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_in_any_charset(bytes: Vec<u8>, label in "(utf-8|iso-2022-jp|iso-2022-kr|hz-gb-2312|gb18030|euc-kr|utf-7|utf-16|big5||x)") {
            let _ = read(&bytes, &label);
            header(&bytes);
        }

        #[test]
        fn utf_8_is_never_misread(text: String, label in "(utf-8|us-ascii|)") {
            prop_assume!(!text.contains('\u{1b}'));
            prop_assert_eq!(read(text.as_bytes(), &label), (text, Fit::Fits));
        }
    }
}
