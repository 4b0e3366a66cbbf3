//! Messages that tests send.

use std::sync::atomic::{AtomicU32, Ordering};

/// A Message-ID (without angle brackets) that no other test uses.
pub fn fresh_id(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}@lakeside.example", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A message that asks for proof of funds: what it means is clear.
pub fn proof_of_funds(message_id: &str, to: &str) -> Vec<u8> {
    message(
        message_id,
        to,
        "Re: LOI for 14 Mill Lane",
        "Hi,\r\n\r\nthank you for the letter of intent. Before the seller will countersign we need\r\n\
         proof of funds from your buyer, ideally a bank letter. Could you send it by Friday?\r\n\r\nBest regards\r\nAnn\r\n",
    )
}

/// A plain message.
pub fn message(message_id: &str, to: &str, subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: Ann Lee <ann@lakeside.example>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 09:01:00 +0000\r\nMessage-ID: <{message_id}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}"
    )
    .into_bytes()
}
