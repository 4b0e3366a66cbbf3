//! Arbitrary bytes as packets of a mail server: read or refused, never more stored than the limit, nothing kept without a
//! recipient.
#![no_main]

use connex::milter::packet::{Command, LONGEST, macros};
use connex::milter::shown::{Effect, Shown};

const LIMIT: u64 = 4_096;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut shown = Shown::new(LIMIT);
    let mut stored = 0;
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len()).min(LONGEST);
        let (packet, behind) = behind.split_at(length);
        rest = behind;
        let Ok(command) = Command::read(packet) else { continue };
        if let Command::Macros(packet) = command {
            assert!(macros(packet).count() <= packet.len());
        }
        if let Effect::Bytes(bytes) = shown.last(&command) {
            stored += bytes.len() as u64;
        }
        match shown.hear(command) {
            Effect::Begin => stored = 0,
            Effect::Bytes(bytes) => stored += bytes.len() as u64,
            Effect::Keep(envelope) => assert!(!envelope.forward_paths.is_empty()),
            _ => {}
        }
        assert!(stored <= LIMIT);
    }
});
