use super::*;
use crate::mail::address::Mailbox;

fn named(name: Option<&str>, address: &str) -> Named {
    Named { name: name.map(str::to_owned), mailbox: Mailbox::parse(address).unwrap() }
}

fn plain() -> NewMessage {
    NewMessage {
        from: named(Some("Deals"), "deals@gate.example"),
        reply_to: None,
        to: vec![named(Some("Ann Lee"), "ann@lakeside.example")],
        cc: Vec::new(),
        subject: "Re: Tuesday".into(),
        text: "Thank you.\nSee you.".into(),
        html: None,
        files: Vec::new(),
        message_id: "1.2@gate.example".into(),
        in_reply_to: Some("q1@lakeside.example".into()),
        references: vec!["q0@lakeside.example".into(), "q1@lakeside.example".into()],
        date: Timestamp::from_micros(1_790_000_000_000_000),
        boundary: "drf1v1".into(),
        writer: Writer::Person,
    }
}

fn written(new: &NewMessage) -> String {
    String::from_utf8(compose(new)).unwrap()
}

fn parsed(bytes: &[u8]) -> mail_parser::Message<'_> {
    mail_parser::MessageParser::default().parse(bytes).unwrap()
}

#[test]
fn a_plain_message_is_these_bytes() {
    assert_eq!(
        written(&plain()),
        "From: \"Deals\" <deals@gate.example>\r\n\
         To: \"Ann Lee\" <ann@lakeside.example>\r\n\
         Subject: Re: Tuesday\r\n\
         Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n\
         Message-ID: <1.2@gate.example>\r\n\
         In-Reply-To: <q1@lakeside.example>\r\n\
         References: <q0@lakeside.example> <q1@lakeside.example>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Thank you.\r\nSee you.\r\n"
    );
}

#[test]
fn the_same_parts_make_the_same_bytes() {
    let mut new = plain();
    new.html = Some("<p>Thank you</p>".into());
    new.files = vec![File { name: "a.pdf".into(), media_type: "application/pdf".into(), bytes: vec![0, 1, 2, 255] }];
    assert_eq!(compose(&new), compose(&new));
}

#[test]
fn what_is_written_is_what_is_read() {
    let mut new = plain();
    new.from.name = Some("Jürgen \"JJ\" Groß, Käufer".into());
    new.subject = "Grüße – ".repeat(40) + "Ende";
    new.text = "Grüße,\r\nJürgen\n.\n..\nFrom here\n".to_owned() + &"lang ".repeat(400);
    new.html = Some("<p>Grüße</p>".into());
    new.cc = (0..30).map(|number| named(Some("Zoë"), &format!("cc{number}@lakeside.example"))).collect();
    new.files =
        vec![File { name: "Übersicht.pdf".into(), media_type: "application/pdf".into(), bytes: vec![0, 13, 10, 255] }];
    let bytes = compose(&new);
    let message = parsed(&bytes);
    assert_eq!(message.subject().unwrap(), new.subject.trim());
    assert_eq!(message.from().unwrap().first().unwrap().name(), new.from.name.as_deref());
    assert_eq!(message.cc().unwrap().as_list().unwrap().len(), 30);
    let text = message.body_text(0).unwrap().replace("\r\n", "\n");
    assert_eq!(text.trim_end(), new.text.replace("\r\n", "\n").trim_end());
    assert_eq!(message.body_html(0).unwrap().trim_end(), "<p>Grüße</p>");
    let file = message.attachment(0).unwrap();
    assert_eq!(file.contents(), [0, 13, 10, 255]);
    assert_eq!(mail_parser::MimeHeaders::attachment_name(file), Some("Übersicht.pdf"));
}

#[test]
fn no_field_can_be_smuggled_in_and_no_line_is_too_long() {
    for evil in ["x\r\nBcc: eve@evil.example", "x\nBcc: eve@evil.example", "x\rBcc: e", "x\0y", "x\r\n\r\nbody"] {
        let mut new = plain();
        new.subject = evil.into();
        new.from.name = Some(evil.into());
        new.to.first_mut().unwrap().name = Some(evil.into());
        new.files = vec![File { name: evil.into(), media_type: "text/plain".into(), bytes: b"a".to_vec() }];
        let bytes = compose(&new);
        let message = parsed(&bytes);
        assert!(message.bcc().is_none(), "{evil:?}: {}", String::from_utf8_lossy(&bytes));
        assert_eq!(message.body_text(0).unwrap().trim_end(), "Thank you.\r\nSee you.", "{evil:?}");
        let mut lines = bytes.split(|byte| *byte == b'\n');
        assert!(lines.all(|line| line.len() < 999 && (line.is_empty() || line.ends_with(b"\r"))), "{evil:?}");
    }
}

#[test]
fn blind_recipients_have_no_place_and_a_machine_says_that_it_is_one() {
    assert!(!written(&plain()).contains("Bcc") && !written(&plain()).contains("Auto-Submitted"));
    let new = NewMessage { writer: Writer::Machine, ..plain() };
    assert!(written(&new).contains("\r\nAuto-Submitted: auto-replied\r\n"));
}
