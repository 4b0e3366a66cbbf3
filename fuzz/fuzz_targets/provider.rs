//! Arbitrary bytes as what providers post: read or refused, and no message is longer than its body. The first octet says
//! which reader, and what the type of the body is said to be.
#![no_main]

use connex::clock::Timestamp;
use connex::intake::provider::form::Fields;
use connex::intake::provider::{Delivery, ReadError, mailgun, postmark, sendgrid, ses};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    let check = |delivery: Result<Delivery<'_>, ReadError>| {
        if let Ok(delivery) = delivery {
            assert!(delivery.message.len() <= body.len() && !delivery.forward_paths.is_empty());
        }
    };
    let kind = ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"][usize::from(which & 1)];
    match which >> 1 & 3 {
        0 => check(postmark::read(body)),
        1 => {
            if let Ok(ses::Notice { content: ses::Content::Message(Ok(delivery)), .. }) = ses::read(body) {
                check(Ok(delivery));
            }
        }
        2 => {
            let Ok(mut fields) = Fields::read(kind, body) else { return };
            let _ = mailgun::check(&fields, ["a key"], Timestamp::from_micros(0));
            check(mailgun::read(&mut fields));
        }
        _ => {
            let Ok(mut fields) = Fields::read(kind, body) else { return };
            check(sendgrid::read(&mut fields));
        }
    }
});
