//! The machine against everything: arbitrary bytes, arbitrary cuts, and what it keeps.

use proptest::prelude::*;

use super::*;
use crate::intake::RecipientAnswer;
use crate::smtp::conversations::Stage;
use crate::spool::Admission;

fn limits() -> Limits {
    Limits { message: 40, recipients: 3, messages: 3, errors: 6, command_line: 64, ..Limits::default() }
}

/// Pieces of conversations, right and wrong, and arbitrary octets.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "EHLO a\r\n", "HELO a\r\n", "MAIL FROM:<>\r\n", "MAIL FROM:<a@b> SIZE=20 BODY=BINARYMIME\r\n",
            "RCPT TO:<known@in.test>\r\n", "RCPT TO:<copy@in.test>\r\n", "RCPT TO:<nobody@in.test>\r\n",
            "RCPT TO:<stranger@in.test>\r\n", "DATA\r\n", "BDAT 3\r\nabc", "BDAT 5 LAST\r\n", "BDAT 0 LAST\r\n", "BDAT 60\r\n",
            "BDAT x\r\n", "RSET\r\n", "NOOP\r\n", "STARTTLS\r\n", ".\r\n", "..\r\n", "\r\n.\r\n", "\n.\r\n", "\r\n.\r\r\n", "\r", "\n",
            "text of a message\r\n", "QUIT\r\n", "VRFY x\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (1usize..100).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A conversation that has come as far as DATA or a chunk, so that what follows is often a message.
fn opened() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop::sample::select(vec![
        "",
        "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<known@in.test>\r\nDATA\r\n",
        "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<copy@in.test>\r\nDATA\r\n",
        "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<known@in.test>\r\nBDAT 12 LAST\r\n",
    ]);
    (begin, input()).prop_map(|(begin, rest)| [begin.as_bytes(), &rest].concat())
}

fn told(packets: &[&[u8]]) -> Vec<String> {
    let mut stage = Stage::new(limits(), Channel::Upgradable);
    for packet in packets {
        stage.feed(packet);
    }
    stage.told.into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        told(&[&bytes]);
    }

    #[test]
    fn cuts_change_nothing(bytes in opened(), cuts in prop::collection::vec(0usize..600, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let packets: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let octets: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = told(&[&bytes]);
        prop_assert_eq!(&told(&packets), &whole);
        prop_assert_eq!(&told(&octets), &whole);
    }

    #[test]
    fn no_more_than_one_line_is_kept(bytes in opened(), size in 1usize..200) {
        let mut stage = Stage::new(limits(), Channel::Upgradable);
        for packet in bytes.chunks(size) {
            stage.feed(packet);
            if let LineBuffer::Partial(line) = &stage.machine.line {
                prop_assert!(line.len() <= limits().command_line);
            }
        }
    }

    #[test]
    fn every_kept_message_has_a_250_and_every_final_250_a_message(bytes in opened()) {
        let told = told(&[&bytes]);
        let kept = told.iter().filter(|line| line.starts_with("M: ")).count();
        let accepted = told.iter().filter(|line| line.starts_with("S: 250 2.0.0 Ok: msg_")).count();
        prop_assert_eq!(kept, accepted);
    }
}

#[test]
fn answers_to_questions_that_were_not_asked_change_nothing() {
    let mut stage = Stage::new(limits(), Channel::Upgradable);
    for input in [
        Input::Admission(Admission::Open),
        Input::Recipient(RecipientAnswer::Unknown),
        Input::NotStored,
        Input::Refused,
        Input::Secured,
    ] {
        assert!(stage.machine.on(input).is_idle());
    }
    assert_eq!(stage.machine.channel, Channel::Upgradable);
}

#[test]
fn a_machine_between_transactions_is_small() {
    assert!(size_of::<Machine>() <= 96, "{}", size_of::<Machine>());
}
