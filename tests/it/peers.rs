//! Mail comes in from the servers and clients that others run, and leaves as events with exactly their bytes.

mod clients;
mod company;
mod exim;
mod haproxy;
mod milter;
mod postfix;
mod rules;

use crate::harness::{Gateway, sha256, text, wait_for};

/// The bytes of the stored message whose transfer is over, found by a line that only it has.
fn stored_with(gateway: &Gateway, line: &str) -> Vec<u8> {
    wait_for(&format!("a stored message with {line:?}"), || {
        let messages = gateway.messages();
        let bytes = messages.iter().map(|message| gateway.connex(&["messages", "raw", text(message, "/id")]).stdout);
        bytes.into_iter().find(|bytes| contains(bytes, line.as_bytes()))
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What follows the header.
fn body(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a header");
    &bytes[end + 4..]
}

/// Fails with the lengths and digests of both, and not with pages of octets.
fn expect_same(ours: &[u8], theirs: &[u8], what: &str) {
    assert!(
        ours == theirs,
        "{what}: {} octets {} in place of {} octets {}",
        ours.len(),
        sha256(ours),
        theirs.len(),
        sha256(theirs)
    );
}

/// A body with all that a transport may get wrong: dots at the beginnings of lines, 8-bit text, blanks at ends of lines,
/// a line of 900 octets, and empty lines at the end.
fn difficult_body() -> String {
    format!(
        ".\r\n..\r\n.x\r\nZw\u{f6}lf Boxk\u{e4}mpfer \u{1f980}\r\ntrailing \t \r\n{}\r\nFrom the start\r\n\r\n\r\n",
        "long ".repeat(180)
    )
}
