use proptest::prelude::*;

use super::*;
use crate::mail::copy::RecipientType;

const MARKED: &str = "X-MS-Journal-Report:\r\n";
const TEXT: &str = "Sender: a@x.example\r\nSubject: s\r\nMessage-ID: <1@x.example>\r\nTo: b@y.example\r\n\r\n";
const ORIGINAL: &str = "From: a@x.example\r\nMessage-ID: <1@x.example>\r\nSubject: s\r\n\r\nHello\r\n";

/// A report of these parts; each is a header block and its content.
fn report(marker: &str, parts: &[(&str, &str)]) -> String {
    let mut mail = format!("From: j@x.example\r\n{marker}Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n");
    for (header, content) in parts {
        mail.push_str(&format!("--b\r\n{header}\r\n{content}\r\n"));
    }
    mail.push_str("--b--\r\n");
    mail
}

fn text() -> (&'static str, &'static str) {
    ("Content-Type: text/plain\r\n", TEXT)
}

fn original() -> (&'static str, &'static str) {
    ("Content-Type: message/rfc822\r\n", ORIGINAL)
}

fn of(mail: &str) -> JournalReport {
    read(mail.as_bytes(), ReportFormat::Exchange, &Limits::default()).unwrap()
}

fn defects(mail: &str) -> Vec<Defect> {
    of(mail).defects
}

#[test]
fn a_report_gives_the_exact_bytes_of_the_original() {
    let mail = report(MARKED, &[text(), original()]);
    let found = of(&mail);
    let original = found.original.unwrap();
    assert_eq!(original.bytes(mail.as_bytes()), ORIGINAL.as_bytes());
    assert_eq!(&mail[original.range().unwrap()], ORIGINAL);
    assert_eq!(found.mail_from.as_deref(), Some("a@x.example"));
    assert_eq!((found.recipients.len(), found.recipients[0].recipient_type), (1, RecipientType::To));
    assert_eq!(found.defects, []);
}

#[test]
fn octets_that_no_line_may_hold_are_kept_in_the_original() {
    let odd = "From: a@x.example\r\n\r\nbare \n, bare \r, \0\r\n--bX\r\n--b?\r\n";
    let mail =
        report(MARKED, &[text(), ("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n", odd)]);
    assert_eq!(of(&mail).original.unwrap().bytes(mail.as_bytes()), odd.as_bytes());
}

#[test]
fn the_pinned_format_must_fit() {
    let mail = report(MARKED, &[text(), original()]);
    for format in [ReportFormat::ExchangeLegacy, ReportFormat::Workmail] {
        assert_eq!(read(mail.as_bytes(), format, &Limits::default()), None, "{format:?}");
    }
    let mail = report("X-WM-Journal-Report: journal\r\n", &[text(), original()]);
    assert!(read(mail.as_bytes(), ReportFormat::Workmail, &Limits::default()).is_some());
    let legacy = "Sender: Ann <a@x.example>\r\nMessage-ID: <1@x>\r\nRecipients:\r\n\tb@y.example\r\n";
    for marker in ["Content-Identifier: ExJournalReport\r\n", "Content-Identifer: exjournalreport\r\n"] {
        let mail = report(marker, &[("Content-Type: text/plain\r\n", legacy), original()]);
        let found = read(mail.as_bytes(), ReportFormat::ExchangeLegacy, &Limits::default()).unwrap();
        assert_eq!((found.recipients.len(), found.defects), (1, vec![]));
    }
}

#[test]
fn ordinary_mail_is_no_report() {
    for mail in [
        "From: a@x.example\r\n\r\nSender: a@x.example\r\nMessage-ID: <1@x>\r\n",
        "From: a@x.example\r\nX-MS-Journal-Report:\r\n\r\nHello\r\n",
        &report("", &[("Content-Type: text/plain\r\n", "please file"), original()]),
        &report(MARKED, &[("Content-Type: text/plain\r\n", "no report, no original")]),
        &report("", &[text()]),
        "",
    ] {
        assert_eq!(read(mail.as_bytes(), ReportFormat::Exchange, &Limits::default()), None, "{mail}");
    }
}

#[test]
fn a_missing_piece_is_said_and_the_rest_is_read() {
    assert_eq!(defects(&report("", &[text(), original()])), [Defect::MarkerMissing]);
    assert_eq!(defects(&report(MARKED, &[text()])), [Defect::MissingOriginal]);
    assert_eq!(
        defects(&report(MARKED, &[text(), ("Content-Type: message/rfc822\r\n", "")])),
        [Defect::MissingOriginal]
    );
    let found = of(&report(MARKED, &[original()]));
    assert_eq!(found.defects, [Defect::MissingReport, Defect::NoRecipients]);
    assert_eq!(found.mail_from, None);
    let without = "Sender: <>\r\nSubject: s\r\nMessage-ID: <1@x>\r\n";
    let found = of(&report(MARKED, &[("Content-Type: text/plain\r\n", without), original()]));
    assert_eq!((found.mail_from.as_deref(), found.defects), (Some(""), vec![Defect::NoRecipients]));
}

#[test]
fn the_report_is_found_where_gateways_put_it() {
    let inner = report("", &[text(), original()]);
    let (_, body) = inner.split_once("\r\n\r\n").unwrap();
    let nested = ("Content-Type: multipart/mixed; boundary=\"b\"\r\n", body);
    let mail = report(MARKED, &[nested, ("Content-Type: text/plain\r\n", "This footer is legal")]).replacen(
        "boundary=\"b\"",
        "boundary=\"o\"",
        1,
    );
    let mail = mail.replacen("--b\r\n", "--o\r\n", 1);
    let at = mail.rfind("--b\r\n").unwrap();
    let mail = format!("{}--o\r\n{}", &mail[..at], &mail[at + 5..]);
    let at = mail.rfind("--b--").unwrap();
    let mail = format!("{}--o--\r\n", &mail[..at]);
    let found = of(&mail);
    assert_eq!((found.recipients.len(), &found.defects), (1, &vec![]), "{mail}");
    let alternative = "--a\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--a\r\nContent-Type: text/plain\r\n\r\n";
    let alternative = format!("{alternative}{TEXT}\r\n--a--");
    let mail = report(MARKED, &[("Content-Type: multipart/alternative; boundary=a\r\n", &alternative), original()]);
    assert_eq!(defects(&mail), []);
    let html = "<pre>Sender: a@x.example<br>Subject: s<br>Message-ID: &lt;1@x&gt;<br>To: b@y.example</pre>";
    let found = of(&report(MARKED, &[("Content-Type: text/html\r\n", html), original()]));
    assert_eq!((found.recipients.len(), found.defects), (1, vec![Defect::ReportNotPlain]));
    assert_eq!(defects(&report(MARKED, &[original(), text()])), [Defect::PartOrder]);
}

#[test]
fn text_inside_the_original_is_never_the_report() {
    let forged = format!("From: a@x.example\r\nContent-Type: text/plain\r\n\r\n{TEXT}");
    let found = of(&report(MARKED, &[("Content-Type: message/rfc822\r\n", &forged)]));
    assert_eq!((found.mail_from, found.recipients), (None, vec![]));
}

#[test]
fn a_text_in_any_encoding_is_read() {
    let base64 = "U2VuZGVyOiBhQHguZXhhbXBsZQ0KU3ViamVjdDogcw0KTWVzc2FnZS1JRDogPDFAeD4NClRvOiBiQHkuZXhhbXBsZQ0K";
    let header = "Content-Type: text/plain; charset=x-none\r\nContent-Transfer-Encoding: base64\r\n";
    let found = of(&report(MARKED, &[(header, base64), original()]));
    assert_eq!((found.recipients.len(), found.defects), (1, vec![Defect::ReportCharset]));
}

#[test]
fn an_original_in_the_wrong_dress_is_found() {
    let base64 = "RnJvbTogYUB4LmV4YW1wbGUNCg0KSGVsbG8NCg==";
    let header = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n";
    let mail = report(MARKED, &[text(), (header, base64)]);
    let found = of(&mail);
    assert_eq!(found.original.as_ref().unwrap().bytes(mail.as_bytes()), b"From: a@x.example\r\n\r\nHello\r\n");
    assert_eq!((found.original.unwrap().range(), found.defects), (None, vec![Defect::OriginalEncoded]));
    let file = "Content-Type: application/octet-stream; name=\"a.eml\"\r\n";
    assert_eq!(defects(&report(MARKED, &[text(), (file, ORIGINAL)])), [Defect::OriginalNotRfc822]);
    let file = "Content-Type: application/octet-stream; name=\"a.msg\"\r\n";
    let expected = [Defect::MissingOriginal, Defect::OriginalNotRfc822];
    assert_eq!(defects(&report(MARKED, &[text(), (file, "\u{1}\u{2}")])), expected);
}

#[test]
fn a_protected_original_is_the_record_and_its_clear_copy_is_kept_beside_it() {
    let protected = "From: a@x.example\r\nContent-Type: multipart/mixed; boundary=p\r\n\r\n--p\r\n\
                     Content-Type: application/x-microsoft-rpmsg-message\r\n\r\nxx\r\n--p--\r\n";
    let mail = report(MARKED, &[text(), ("Content-Type: message/rfc822\r\n", protected), original()]);
    let found = of(&mail);
    assert_eq!(found.original.unwrap().bytes(mail.as_bytes()), protected.as_bytes());
    assert_eq!(found.decrypted.unwrap().bytes(mail.as_bytes()), ORIGINAL.as_bytes());
    assert_eq!(found.defects, [Defect::DecryptedCopy, Defect::EncryptedOriginal]);
    assert_eq!(defects(&report(MARKED, &[text(), original(), original()])), [Defect::ExtraOriginal]);
    for kind in ["application/pkcs7-mime; smime-type=enveloped-data", "multipart/encrypted; boundary=p"] {
        let mail = format!("From: a@x.example\r\nContent-Type: {kind}\r\n\r\n--p\r\n\r\nx\r\n--p--\r\n");
        let found = defects(&report(MARKED, &[text(), ("Content-Type: message/rfc822\r\n", &mail)]));
        assert!(found.contains(&Defect::EncryptedOriginal), "{kind}");
    }
    let signed = "From: a@x.example\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nx\r\n";
    assert_eq!(defects(&report(MARKED, &[text(), ("Content-Type: message/rfc822\r\n", signed)])), []);
}

#[test]
fn a_report_inside_a_report_stays_closed() {
    let inner = report(MARKED, &[text(), original()]).replace("--b", "--c").replace("\"b\"", "\"c\"");
    let found = of(&report(MARKED, &[text(), ("Content-Type: message/rfc822\r\n", &inner)]));
    assert!(found.is_nested);
    assert_eq!(found.defects, [Defect::NestedJournal]);
    let marked = format!("{MARKED}{ORIGINAL}");
    assert!(!of(&report(MARKED, &[text(), ("Content-Type: message/rfc822\r\n", &marked)])).is_nested);
}

#[test]
fn a_torn_report_names_nobody_by_half() {
    let mail = report(MARKED, &[text(), original()]);
    let end = mail.find("b@y.example").unwrap() + 5;
    let found = of(&mail[..end]);
    assert_eq!(found.recipients, []);
    assert!(found.defects.contains(&Defect::Truncated) && found.defects.contains(&Defect::BadRecipient));
    let end = mail.find("Hello").unwrap();
    assert!(of(&mail[..end]).defects.contains(&Defect::Truncated));
}

proptest! {
    #[test]
    fn every_prefix_and_every_change_of_a_report_is_read(
        cut in 0_usize..700, at in 0_usize..700, octet: u8, format in prop::sample::select(vec![
            ReportFormat::Exchange, ReportFormat::ExchangeLegacy, ReportFormat::Workmail,
        ]),
    ) {
        let mut mail = report(MARKED, &[text(), original()]).into_bytes();
        if let Some(place) = mail.get_mut(at) {
            *place = octet;
        }
        mail.truncate(cut);
        if let Some(found) = read(&mail, format, &Limits::default())
            && let Some(original) = found.original
        {
            prop_assert!(original.bytes(&mail).len() <= mail.len());
        }
        let _ = attached(&mail, &Limits::default());
    }
}
