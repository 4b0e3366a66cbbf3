use super::*;
use crate::mail::address::ReversePath;
use bytes::Bytes;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Rendering {
    let recipients = vec![Mailbox::parse("ann@buyer.example").unwrap()];
    Rendering::read(&Content::new(ReversePath::Null, recipients, Bytes::copy_from_slice(bytes)).unwrap())
}

fn everything(bytes: &[u8]) -> String {
    read(bytes).text.known().unwrap().everything.clone()
}

#[test]
fn an_originator_is_read_in_one_plain_spelling() {
    let author = |value| read_author(value).map(|author| (author.display_name, author.mailbox.to_string()));
    let found = |name: &str, address: &str| Some((name.to_owned(), address.to_owned()));
    assert_eq!(author("a@b.example"), found("", "a@b.example"));
    assert_eq!(author("Ann Lee <a@b.example>"), found("Ann Lee", "a@b.example"));
    assert_eq!(author("\"Lee, \\\"A\\\"\" <a@b.example>"), found("Lee, \"A\"", "a@b.example"));
    assert_eq!(author("=?utf-8?B?w4RubmU=?= <a@b.example>"), found("Änne", "a@b.example"));
    assert_eq!(author("\"=?utf-8?Q?x=40y.example?=\" <a@b.example>"), found("x@y.example", "a@b.example"));
    for value in [
        "",
        "a@b.example, c@d.example",
        "<a@b.example> <c@d.example>",
        "x: a@b.example;",
        "a@b.example (c)",
        "c@d.example <a@b.example>",
        "<@x:a@b.example>",
        "\"a <a@b.example>",
        "\"a\" b\" <a@b.example>",
        "=?utf-16?B?AGE=?= <a@b.example>",
        "=?utf-8?X?a?= <a@b.example>",
        "Ann <a@b.example",
        "Ann <a@b.example> x",
    ] {
        assert_eq!(author(value), None, "{value}");
    }
}

#[test]
fn two_fields_of_one_name_name_nobody() {
    let author = |text: &str| read(format!("{text}\r\n\r\n").as_bytes()).author("from");
    assert!(author("From: a@b.example").known().is_some_and(Option::is_some));
    assert_eq!(author("From: a@b.example\r\nFROM: a@b.example"), Fact::Unknown);
    assert_eq!(author("To: a@b.example"), Fact::Known(None));
}

#[test]
fn white_space_between_encoded_words_is_not_shown() {
    assert_eq!(decode_words("=?utf-8?Q?a_b?= =?utf-8?Q?c?= d").as_deref(), Some("a bc d"));
    assert_eq!(decode_words("=?ISO-8859-1*de?Q?=FC?=").as_deref(), Some("ü"));
    assert_eq!(decode_words("plain =? text").as_deref(), Some("plain =? text"));
}

#[test]
fn what_transfer_encodings_hide_is_read() {
    let part = |encoding: &str, body: &str| {
        format!(
            "Subject: =?utf-8?B?c3ViamVjdHdvcmQ=?=\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
        )
    };
    let found = everything(part("base64", "aGlkZGVud29yZA==").as_bytes());
    assert!(found.contains("hiddenword") && found.contains("subjectword"));
    assert!(everything(part("quoted-printable", "hidden=\r\nword").as_bytes()).contains("hiddenword"));
}

#[test]
fn attachments_and_nested_messages_are_read_too() {
    let nested = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/x\r\n\
        Content-Transfer-Encoding: base64\r\n\r\naGlkZGVud29yZA==\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\naW5uZXJ3b3Jk\r\n--b--\r\n";
    let rendering = read(nested.as_bytes());
    let text = rendering.text.known().unwrap();
    assert!(rendering.has_attachment);
    assert!(text.everything.contains("hiddenword") && text.everything.contains("innerword"), "{}", text.everything);
}

#[test]
fn html_is_read_as_text_and_as_source() {
    let html = b"Content-Type: text/html\r\n\r\n<p>pass<b>word</b> <a href='https://x.example/'>y</a></p>\r\n";
    let rendering = read(html);
    let text = rendering.text.known().unwrap();
    assert!(text.words.contains("password"), "{}", text.words);
    assert!(text.everything.contains("https://x.example/"));
}

#[test]
fn too_many_nested_messages_make_the_text_unknown_and_nothing_overflows() {
    let deep = "Content-Type: message/RFC822\r\n\r\n".repeat(50_000);
    assert!(read(deep.as_bytes()).text.known().is_none());
    let digest = "Content-Type: multipart/Digest; boundary=a\r\n\r\n--a\r\n\r\n".repeat(10_000);
    assert!(read(digest.as_bytes()).text.known().is_none());
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let rendering = read(&bytes);
        let _ = (rendering.author("from"), rendering.values("to").count());
    }

    #[test]
    fn any_header_like_bytes_are_read(text in "([A-Za-z-]{1,12}: ?[\\PC\\r\\n\\t]{0,40}(\\r\\n|\\n)){0,8}\\r\\n\\PC{0,80}") {
        let rendering = read(text.as_bytes());
        let _ = (rendering.author("from"), rendering.values("to").count());
    }

    #[test]
    fn no_line_break_survives_into_a_value_that_is_not_malformed(text: String) {
        let rendering = read(format!("Subject: {text}\r\n\r\n").as_bytes());
        if !rendering.is_malformed {
            prop_assert!(rendering.fields.iter().all(|(_, value)| !value.contains(['\r', '\n', '\0'])));
        }
    }
}
