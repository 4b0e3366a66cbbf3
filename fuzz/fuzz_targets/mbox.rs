//! Arbitrary bytes as a mailbox file, in pieces: what comes out is never longer than what went in, and never nothing for ever.
//! The first octet says how lines are cut.
#![no_main]

use connex::mail::crlf::ToCrlf;
use connex::mail::mbox::{Piece, Quoting, Splitter, is_mbox};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let _ = is_mbox(bytes);
    for quoting in [Quoting::Mboxrd, Quoting::Mboxo, Quoting::None] {
        let mut splitter = Splitter::new(quoting);
        let (mut messages, mut octets, mut out) = (0, 0, Vec::new());
        let mut ends = ToCrlf::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            for (number, piece) in line.chunks(usize::from(*cut).max(1)).enumerate() {
                match splitter.line(piece, number == 0) {
                    Piece::Separator(_) => messages += 1,
                    Piece::Text(held, text) => {
                        assert!(messages > 0, "text before the first message");
                        octets += held.map_or(0, <[u8]>::len) + text.len();
                        ends.push(text, &mut out);
                    }
                    Piece::Held => assert!(messages > 0),
                    Piece::Stray => assert_eq!(messages, 0, "stray text behind a message"),
                }
            }
        }
        assert!(octets <= bytes.len() && out.len() <= 2 * bytes.len());
    }
});
