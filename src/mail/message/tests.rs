//! Hostile and broken input, and the rules that goldens do not show.

use proptest::prelude::*;

use super::*;

fn of(mail: &str) -> Message {
    read(mail.as_bytes(), &Limits::default())
}

/// Runs on the stack of a runtime worker.
fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn thirty_thousand_nested_messages_do_not_overflow_the_stack() {
    on_small_stack(|| {
        let mail = format!("From: a@b.example\n{}\ntext", "Content-Type: message/rfc822\n\n".repeat(30_000));
        let message = of(&mail);
        assert!(message.defects.contains(&Defect::NestingLimit));
        assert_eq!(message.attachments.len(), 1);
        drop(message);
    });
}

#[test]
fn ten_thousand_nested_multiparts_stay_within_the_limit() {
    on_small_stack(|| {
        let open = |level: usize| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
        let mail: String = (0..10_000).map(open).collect();
        let message = of(&mail);
        assert!(message.defects.contains(&Defect::NestingLimit));
        assert!(message.attachments.len() <= 1);
    });
}

#[test]
fn two_hundred_thousand_parts_are_cut_at_the_limit() {
    let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(200_000));
    let message = of(&mail);
    assert!(message.defects.contains(&Defect::PartsLimit));
    assert_eq!(message.text.matches('x').count(), Limits::default().parts - 1);
}

#[test]
fn parts_whose_boundary_never_comes_cost_no_second_pass() {
    // A reader that looks for each missing boundary to the end of the mail needs hours for this one.
    let part = |count: usize| format!("--b\nContent-Type: multipart/mixed; boundary=x{count}\n\ny\n");
    let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", (0..50_000).map(part).collect::<String>());
    assert!(of(&mail).defects.contains(&Defect::PartsLimit));
}

#[test]
fn a_header_field_of_five_megabytes_is_cut_and_the_text_survives() {
    let mail = format!("From: a@b.example\nX-Big: {}\nSubject: late\n\nHello", "x".repeat(5_000_000));
    let message = of(&mail);
    assert!(message.defects.contains(&Defect::HeaderTooLarge));
    assert_eq!(message.author.unwrap().address, "a@b.example");
    assert_eq!((message.subject.as_str(), message.text.as_str()), ("", "Hello"));
}

#[test]
fn fifty_thousand_encoded_words_are_read_up_to_the_limit() {
    let words = "=?utf-8?Q?a?= ".repeat(50_000);
    let message = of(&format!("Subject: {words}\nFrom: {words} <a@b.example>\n\n"));
    assert!(message.defects.contains(&Defect::HeaderTooLarge));
    let message = of(&format!("Subject: {}\n\n", "=?utf-8?Q?a?=\n ".repeat(10_000)));
    assert!(message.subject.len() <= Limits::default().value && message.subject.starts_with("aaa"));
    assert!(!message.subject.contains('?'), "no encoded word is torn");
}

#[test]
fn unfinished_encoded_words_are_not_searched_for_again_and_again() {
    for piece in ["=?ab?q?x ", "=?", "=?utf-8?B?", "\"=?a", "(", "<", "\\", "=?ab?q?\n "] {
        let value = piece.repeat(200_000 / piece.len());
        for name in ["From", "To", "Subject", "List-Id", "Content-Type", "Content-Disposition", "Date", "References"] {
            let message = of(&format!("{name}: {value}\n\nx"));
            let is_read_whole = matches!(name, "Date" | "References" | "Content-Type" | "Content-Disposition");
            assert!(is_read_whole || message.defects.contains(&Defect::HeaderTooLarge), "{name} {piece}");
        }
    }
}

#[test]
fn nested_comments_are_not_followed_down() {
    on_small_stack(|| {
        let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
        for name in ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Disposition"] {
            let message = of(&format!("{name}: {open}x{close} a@b.example\n\nHello"));
            assert_eq!(message.text, "Hello", "{name}");
        }
    });
}

#[test]
fn a_hundred_thousand_recipients_are_kept_up_to_the_limit() {
    let to = "a@b.example, ".repeat(100_000);
    let message = of(&format!("To: {to}\n\n"));
    assert!(message.to.is_empty() && message.defects.contains(&Defect::HeaderTooLarge));
    let message = of(&format!("To: {}\n\n", "a@b.example,\n ".repeat(15_000)));
    assert_eq!(message.to.len(), Limits::default().list);
    assert!(message.defects.contains(&Defect::RecipientsLimit));
}

#[test]
fn long_text_is_cut_between_letters() {
    let limits = Limits { text: 5, ..Limits::default() };
    let message = read("\n\nüüü".as_bytes(), &limits);
    assert!(message.text.len() <= 5 && message.text.trim() == "üü");
    assert_eq!(message.defects, [Defect::FromMissing, Defect::MessageIdMissing, Defect::TextCut]);
    assert!(message.cut_text_sha256.is_some());
}

#[test]
fn a_boundary_with_more_behind_it_is_content() {
    let mail = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bX\n--b \t\n\ntwo\n--b--  \nepilogue\n";
    let message = of(mail);
    assert_eq!(message.text, "one\n--bX\n\ntwo");
    assert!(!message.defects.contains(&Defect::Truncated));
}

#[test]
fn html_is_read_only_where_no_plain_text_says_the_same() {
    let mail = |plain: &str| {
        format!(
            "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n{plain}\n--b\nContent-Type: text/html\n\n\
             <p>rich</p>\n--b--\n"
        )
    };
    assert_eq!((of(&mail("plain")).text.as_str(), of(&mail("plain")).text_source), ("plain", TextSource::Plain));
    assert_eq!((of(&mail(" ")).text.as_str(), of(&mail(" ")).text_source), ("rich", TextSource::Html));
}

#[test]
fn text_of_a_nested_message_is_not_text_of_the_outer_one() {
    let mail = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nouter\n--b\nContent-Type: message/rfc822\n\n\
                Subject: in\n\ninner\n--b--\n";
    let message = of(mail);
    assert_eq!(message.text, "outer");
    assert_eq!(message.attachments[0].size, "Subject: in\n\ninner".len() as u64);
    assert_eq!(message.attachments[0].sha256, transfer::sha256_hex(b"Subject: in\n\ninner"));
}

#[test]
fn no_file_name_leads_out_of_a_folder() {
    let mail = "Content-Type: image/png\nContent-Disposition: attachment; filename=\"../../etc/..\\\\a\tb.png\"\n\nx";
    assert_eq!(of(mail).attachments[0].filename, "ab.png");
}

#[test]
fn only_the_layout_makes_a_journal_report() {
    let report = |sender: &str, marker: &str| {
        format!(
            "{marker}Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{sender}Message-ID: <1@x>\nTo: a@b.example\n\
             --b\nContent-Type: message/rfc822\n\nSubject: in\n\nx\n--b--\n"
        )
    };
    assert!(of(&report("Sender: a@b.example\n", "X-MS-Journal-Report:\n")).has_report_shape);
    assert!(of(&report("Sender: a@b.example\n", "")).has_report_shape);
    assert!(!of(&report("Hello\n", "X-MS-Journal-Report:\n")).has_report_shape);
    assert!(!of("X-MS-Journal-Report:\nSubject: x\n\nSender: a\nMessage-ID: <1>\n").has_report_shape);
}

const SEED: &str = "From: =?utf-8?Q?J=C3=B6rg?= <j@b.example>\r\nTo: Team: a@x.example, \"b, c\" <b@x.example>;\r\n\
Subject: =?iso-8859-1?B?/A==?=\r\n folded\r\nMessage-ID: <1@b.example>\r\nReferences: <0@b.example>\r\n\
Date: Tue, 10 Mar 2026 09:15:02 +0100\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\npre\r\n--b\r\n\
Content-Type: multipart/alternative; boundary*0=\"c\"; boundary*1=\"d\"\r\n\r\n--cd\r\n\r\nplain =?\r\n--cd\r\n\
Content-Type: text/html; charset=koi8-r\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>=C1=\r\n</b>\r\n--cd--\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
Final-Recipient: rfc822; x@y\r\n--b\r\nContent-Type: image/png; name*=utf-8''%C3%BC.png\r\n\
Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";

#[test]
fn every_prefix_and_suffix_of_a_message_is_read() {
    assert_eq!(of(SEED).attachments.len(), 3);
    for end in 0..=SEED.len() {
        let message = read(&SEED.as_bytes()[..end], &Limits::default());
        assert!(message.attachments.len() <= 3);
        let _ = read(&SEED.as_bytes()[end..], &Limits::default());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = read(&bytes, &Limits::default());
    }

    #[test]
    fn any_damage_to_a_message_is_read(
        damage in prop::collection::vec((0..SEED.len(), any::<u8>(), 0..3u8), 1..20),
        nesting in 0..4usize,
        parts in 0..8usize,
    ) {
        let mut bytes = SEED.as_bytes().to_vec();
        for (at, byte, how) in damage {
            let at = at.min(bytes.len() - 1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        let limits = Limits { nesting, parts, text: 20, ..Limits::default() };
        let message = read(&bytes, &limits);
        prop_assert!(message.text.len() <= 20 + 2 * parts);
        prop_assert!(message.attachments.len() <= parts);
        prop_assert!(message.defects.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

#[test]
fn what_outlook_wrapped_is_text_and_attachments_of_the_message() {
    use base64::Engine as _;
    let stream = base64::engine::general_purpose::STANDARD.encode(super::tnef::tests::stream());
    let mail = format!(
        "From: a@b.example\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{stream}\r\n"
    );
    let message = read(mail.as_bytes(), &Limits::default());
    assert_eq!((message.text.as_str(), message.text_source), ("Grüße!", TextSource::Plain));
    let [wrapper, inner] = &message.attachments[..] else { panic!("{:?}", message.attachments) };
    assert_eq!((wrapper.detected_type.as_deref(), wrapper.within), (Some("application/ms-tnef"), None));
    assert_eq!((inner.filename.as_str(), inner.size, inner.within), ("Preisliste März.pdf", 8, Some(0)));
    assert_eq!(inner.detected_type.as_deref(), Some("application/pdf"));
    assert!(message.defects.contains(&Defect::Tnef) && !message.defects.contains(&Defect::TnefMalformed));
    let cut = read(mail.get(..mail.len() - 40).unwrap().as_bytes(), &Limits::default());
    assert!(cut.defects.contains(&Defect::TnefMalformed));
}

#[test]
fn rich_text_of_outlook_is_the_text_where_the_message_has_no_other() {
    use base64::Engine as _;
    // \[MS-OXRTFCP\] §4.1
    let packed = b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125\x42\x32\x0a\xf3 hel\x09\0 bw\x05\xb0ld}\x0a\x80\x0f\xa0";
    let stream = base64::engine::general_purpose::STANDARD.encode(super::tnef::tests::rich_stream(packed, ""));
    let of = |text: &str, limit: usize| {
        let mail = format!(
            "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
             Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n{stream}\r\n--b--\r\n"
        );
        read(mail.as_bytes(), &Limits { text: limit, ..Limits::default() })
    };
    let message = of("", 1_000);
    assert_eq!((message.text.as_str(), message.text_source), ("hello world", TextSource::Plain));
    assert_eq!(message.defects, [Defect::MessageIdMissing, Defect::Tnef]);
    assert_eq!(of("Hi", 1_000).text.trim(), "Hi");
    let cut = of("", 5);
    assert_eq!((cut.text.as_str(), cut.defects.contains(&Defect::TextCut)), ("hello", true));
}

#[test]
fn ids_that_were_written_as_encoded_words_are_read() {
    // As Python's mail library folds what is too long for a line.
    let (ours, other) = ("a".repeat(72) + "@acme.example", "c".repeat(72) + "@lake.example");
    let encoded = |id: &str| {
        let (head, tail) = id.split_at(40);
        format!("=?utf-8?q?=3C{head}?=\r\n =?utf-8?q?{}=3E?=", tail.replace('@', "=40").replace('.', "=2E"))
    };
    let mail = format!(
        "From: a@x.example\r\nMessage-ID: {}\r\nIn-Reply-To: {}\r\nReferences: {}\r\n <second@x.example> {}\r\n\r\nHello\r\n",
        encoded(&other),
        encoded(&ours),
        encoded(&ours),
        encoded(&other)
    );
    let message = read(mail.as_bytes(), &Limits::default());
    assert_eq!(message.message_id.as_deref(), Some(other.as_str()));
    assert_eq!(message.in_reply_to.as_deref(), Some(ours.as_str()));
    assert_eq!(message.references, [ours.as_str(), "second@x.example", other.as_str()]);
}
