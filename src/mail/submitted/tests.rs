use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::mail::address::Mailbox;
use crate::mail::compose::{NewMessage, compose_around};

const HEAD: &str = "From: Sales <sales@gate.example>\r\nTo: Ann Lee <ann@lakeside.example>, bo@lakeside.example\r\n\
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <own@laptop>\r\nX-Mailer: any\r\nBcc: boss@lakeside.example\r\n\
Received: from nowhere\r\nMIME-Version: 1.0\r\n";

const BODY: &str = "Content-Type: multipart/mixed;\r\n boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\
Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e.\r\n--c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>Hello</b>\r\n--c--\r\n\
--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
Content-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n--b--\r\n";

fn submitted(header: &str, rest: &str) -> Result<Submitted, Unfit> {
    read(format!("{header}{rest}").as_bytes())
}

fn around(read: &Submitted) -> Vec<u8> {
    let new = NewMessage {
        from: read.from.clone(),
        reply_to: None,
        to: read.to.clone(),
        cc: read.cc.clone(),
        subject: read.subject.clone(),
        text: String::new(),
        html: None,
        files: Vec::new(),
        message_id: "1.2@gate.example".into(),
        in_reply_to: None,
        references: Vec::new(),
        date: Timestamp::from_micros(1_790_000_000_000_000),
        boundary: String::new(),
        writer: read.writer,
    };
    compose_around(&new, &read.entity)
}

#[test]
fn values_are_read_and_the_body_stays_to_the_octet_under_a_header_of_our_own() {
    let read = submitted(HEAD, BODY).unwrap();
    assert_eq!(read.from.mailbox, Mailbox::parse("sales@gate.example").unwrap());
    assert_eq!((read.to.len(), read.cc.len(), read.subject.as_str()), (2, 0, "Gr\u{fc}\u{df}e"));
    assert_eq!((read.text.trim_end(), read.html.as_deref()), ("Gr\u{fc}\u{df}e.", Some("<b>Hello</b>")));
    assert_eq!(read.files.iter().map(|file| (file.filename.as_str(), file.size)).collect::<Vec<_>>(), [("a.pdf", 4)]);
    assert_eq!(read.message_id.as_deref(), Some("own@laptop"));
    let bytes = around(&read);
    let (header, body) = bytes.split_at(bytes.windows(4).position(|at| at == b"\r\n\r\n").unwrap());
    assert_eq!(std::str::from_utf8(&body[4..]).unwrap(), BODY.split_once("\r\n\r\n").unwrap().1);
    let header = std::str::from_utf8(header).unwrap();
    for gone in ["X-Mailer", "Bcc", "boss", "Received", "own@laptop"] {
        assert!(!header.contains(gone), "{gone}: {header}");
    }
    assert!(header.ends_with("Content-Type: multipart/mixed;\r\n boundary=\"b\""), "{header}");
    assert_eq!(header.matches("MIME-Version").count(), 1);
    assert_eq!(Entity::of(&bytes), Some(read.entity), "an edit finds the body again");
}

#[test]
fn what_can_be_read_in_two_ways_or_not_at_all_is_refused() {
    let plain = "\r\nHello\r\n";
    assert!(submitted(HEAD, plain).is_ok());
    for (header, rest, unfit) in [
        (HEAD, "\r\nHello\nthere\r\n", Unfit::Lines),
        (HEAD, "\r\nHello\rthere\r\n", Unfit::Lines),
        (HEAD, "\r\nHel\0lo\r\n", Unfit::Lines),
        (HEAD, &format!("\r\n{}\r\n", "x".repeat(999)), Unfit::Lines),
        (HEAD, "", Unfit::Header),
        (HEAD, "To: carl@lakeside.example\r\n\r\nHello\r\n", Unfit::Header),
        (HEAD, "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nHello\r\n", Unfit::Header),
        (HEAD, "no field\r\n\r\nHello\r\n", Unfit::Header),
        ("To: ann@lakeside.example\r\n", plain, Unfit::Author),
        ("From: a@gate.example, b@gate.example\r\n", plain, Unfit::Author),
        ("From: sales@gate.example\r\nTo: somebody\r\n", plain, Unfit::Recipients),
        ("From: sales@gate.example\r\nReply-To: a@b.example, c@d.example\r\n", plain, Unfit::Recipients),
        (HEAD, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n", Unfit::Parts),
        (HEAD, "Content-Type: multipart/mixed\r\n\r\nHello\r\n", Unfit::Parts),
        (HEAD, "Content-Type: message/partial; id=a; number=1\r\n\r\nHello\r\n", Unfit::Text),
        (HEAD, "Content-Type: message/external-body; access-type=URL\r\n\r\nHello\r\n", Unfit::Text),
        (HEAD, &format!("\r\n{}", "Hello there\r\n".repeat(40_000)), Unfit::Text),
        (HEAD, "Content-Type: text/plain; charset=nonsense\r\n\r\nGr\u{fc}\u{df}e\r\n", Unfit::Text),
    ] {
        assert_eq!(submitted(header, rest).map(|_| ()), Err(unfit), "{header}{rest:.200}");
    }
}

#[test]
fn what_a_machine_wrote_says_so_again() {
    let says = |value: &str| {
        let header = format!("{HEAD}Auto-Submitted: {value}\r\n");
        String::from_utf8(around(&submitted(&header, "\r\nHi\r\n").unwrap())).unwrap().contains("Auto-Submitted: auto-")
    };
    assert!(says("auto-generated") && says("auto-replied; owner=x") && !says("no"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }

    /// Whatever stands in the header that came: of it the body's own fields leave, and nothing else does.
    #[test]
    fn no_field_that_was_given_leaves_but_those_of_the_body(
        name in "[A-Za-z][A-Za-z-]{0,14}",
        value in "[ -~]{0,40}",
        body in "([ -~]{0,60}\r\n){0,6}",
    ) {
        let header = format!("{HEAD}{name}: {value}\r\n\r\n");
        let Ok(read) = submitted(&header, &body) else { return Ok(()) };
        let bytes = around(&read);
        let again = Entity::of(&bytes).unwrap();
        prop_assert_eq!(&again, &read.entity);
        prop_assert_eq!(again.body(), body.as_bytes());
        const OURS: [&str; 12] = ["from", "to", "cc", "subject", "date", "message-id", "mime-version", "auto-submitted",
            "content-type", "content-transfer-encoding", "content-disposition", "content-id"];
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.split("\r\n\r\n").next().unwrap().split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
            let field = line.split(':').next().unwrap().to_ascii_lowercase();
            prop_assert!(OURS.contains(&field.as_str()) || field == "content-language", "{}", line);
        }
    }
}
