//! Arbitrary bytes as a message that is handed in: read or refused, and under a header of our own the body is the same.
#![no_main]

use connex::clock::Timestamp;
use connex::mail::compose::{NewMessage, compose_around};
use connex::mail::submitted::{Entity, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(submitted) = read(data) else { return };
    let new = NewMessage {
        from: submitted.from,
        reply_to: submitted.reply_to.map(|named| named.mailbox),
        to: submitted.to,
        cc: submitted.cc,
        subject: submitted.subject,
        text: String::new(),
        html: None,
        files: Vec::new(),
        message_id: "1.2@gate.example".into(),
        in_reply_to: None,
        references: Vec::new(),
        date: Timestamp::from_micros(1_790_000_000_000_000),
        boundary: String::new(),
        writer: submitted.writer,
    };
    let bytes = compose_around(&new, &submitted.entity);
    assert_eq!(Entity::of(&bytes).as_ref(), Some(&submitted.entity));
    // A name or subject can never bring a field along.
    let header = bytes.split(|byte| *byte == b'\n').take_while(|line| *line != b"\r");
    let names = header.filter(|line| !line.starts_with(b" ") && !line.starts_with(b"\t"));
    let from = names.filter(|line| line.starts_with(b"From:")).count();
    assert_eq!(from, 1);
});
