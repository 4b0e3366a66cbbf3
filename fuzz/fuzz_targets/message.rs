//! Whatever the bytes are, a message is read within its limits, and an event can be made of it, stored and read back.
#![no_main]

use connex::mail::message::{Limits, read};
use connex::mail::{key, notice, text, thread};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let small = Limits { nesting: 3, parts: 10, header_block: 2_048, text: 1_024, hidden: 256, list: 10, value: 256 };
    for limits in [Limits::default(), small] {
        let message = read(bytes, &limits);
        // Those that Outlook wrapped come on top.
        assert!(message.attachments.len() <= 2 * limits.parts);
        assert!(message.hidden_text.len() <= limits.hidden);
        assert!(message.to.len() <= limits.list && message.references.len() <= limits.list);
        // Blank lines between parts are not counted.
        assert!(message.text.len() <= limits.text + 2 * limits.parts);
        assert_eq!(key::copy_key(&message, &[0; 32]), key::copy_key(&message.clone(), &[0; 32]));
        let spans = message.text_spans();
        let visible = text::part(&message.text, &spans, text::Part::Visible);
        assert_eq!(visible.trim().is_empty(), message.text.trim().is_empty());
        let _ = (thread::keys(&message, None, |_| false), notice::automated(&message, false));
    }
});
