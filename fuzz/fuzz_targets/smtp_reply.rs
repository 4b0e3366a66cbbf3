//! Arbitrary bytes as what a mail server says, in pieces: replies or an error, the same however they are cut, and a session
//! that ends with each recipient once. The first octet says how they are cut.
#![no_main]

use connex::mail::address::{Domain, Mailbox, ReversePath};
use connex::outbound::attempt::Reason;
use connex::outbound::dialogue::{Action, Dialogue, Encryption, Envelope, Input, Rules};
use connex::outbound::reply::{EXCERPT_CHARS, Offer, Reply, ReplyBuffer};
use connex::outbound::sign::Needs;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let replies = read(bytes, usize::from(*cut).max(1));
    assert_eq!(replies, read(bytes, bytes.len().max(1)), "it depends on how it is cut");
    for reply in &replies {
        assert!((200..600).contains(&reply.code()));
        let excerpt = reply.excerpt();
        assert!(excerpt.chars().count() <= EXCERPT_CHARS && !excerpt.contains(char::is_control));
        let _ = (reply.enhanced(), Offer::read(reply));
    }
    talk(replies);
});

/// Every reply up to what is none.
fn read(bytes: &[u8], size: usize) -> Vec<Reply> {
    let (mut buffer, mut replies) = (ReplyBuffer::default(), Vec::new());
    for piece in bytes.chunks(size) {
        buffer.space().extend_from_slice(piece);
        loop {
            match buffer.take() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) => return replies,
            }
        }
    }
    replies
}

fn talk(replies: Vec<Reply>) {
    let recipients = ["a@b.example", "\"c d\"@b.example", "gr\u{fc}n@b.example"];
    let recipients: Vec<Mailbox> = recipients.iter().map(|text| Mailbox::parse(text).expect("a mailbox")).collect();
    let (count, needs) = (recipients.len(), Needs { eight_bit: true, utf8_header: false });
    let envelope = Envelope { reverse_path: ReversePath::Null, recipients, size: 1_000, needs };
    let hello = Domain::parse("mx.gateway.example").expect("a domain");
    let (mut dialogue, mut action) =
        Dialogue::begin(envelope, Rules { hello, encryption: Encryption::IfOffered, credentials: None });
    let (mut replies, mut was_ended) = (replies.into_iter(), false);
    loop {
        let input = match action {
            Action::Encrypt => Input::Encrypted,
            Action::WriteMessage => Input::Written,
            Action::Record(_) => Input::Recorded,
            Action::Finish(ending) => {
                let open = ending.open.map_or(0, |(open, _)| open.len());
                assert!(!was_ended || open == 0);
                assert_eq!(ending.settled.len() + open, count);
                return;
            }
            Action::Say(..) | Action::Listen(_) | Action::WriteEnd => {
                assert!(!was_ended, "more behind the end");
                was_ended = matches!(action, Action::WriteEnd);
                replies.next().map_or_else(|| Input::Lost(Reason::Closed, String::new()), Input::Reply)
            }
        };
        (dialogue, action) = dialogue.on(input);
    }
}
