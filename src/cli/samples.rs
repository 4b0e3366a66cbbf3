//! Sample mails, compiled in: `connex dev` sends them, and `connex send` knows them by name.
//!
//! Each is a whole message as it could come from outside, to a placeholder address. [`Sample::message`] makes it a new
//! message of this moment: without that, the second one would rightly be taken for a copy of the first.

use crate::clock::Clock;
use crate::ids::MessageId;
use crate::mail::address::Mailbox;

/// A sample mail.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Whether it is a copy of the user's own mail, for a copy route and not for a mailbox.
    pub is_copy: bool,
    bytes: &'static [u8],
}

/// Whom the samples are addressed to.
const PLACEHOLDER: &str = "deals@in.connex.example";

macro_rules! sample {
    ($name:literal, $about:literal, $is_copy:literal) => {
        Sample {
            name: $name,
            about: $about,
            is_copy: $is_copy,
            bytes: include_bytes!(concat!("samples/", $name, ".eml")),
        }
    };
}

/// All samples, the plainest first.
pub const SAMPLES: &[Sample] = &[
    sample!("proof-of-funds", "a question that waits for an answer by Friday", false),
    sample!("meeting-request", "somebody asks for a call", false),
    sample!("invoice-received", "an invoice with an attachment", false),
    sample!("outage-reported", "an urgent report: nobody can log in", false),
    sample!("out-of-office", "an automatic reply, which is never answered", false),
    sample!("unsubscribe", "somebody wants no more mail", false),
    sample!("agent-injection", "text that gives orders to an AI assistant", false),
    sample!("besichtigung", "a German reply in HTML", false),
    sample!("bcc-copy", "a copy of the user's own mail, for a bcc route", true),
];

impl Sample {
    /// The sample of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SAMPLES.iter().find(|sample| sample.name == name)
    }

    /// The message, as new mail of this moment to `to`.
    #[must_use]
    pub fn message(&self, to: &Mailbox, clock: &Clock) -> Vec<u8> {
        let text = String::from_utf8_lossy(self.bytes);
        let to = to.to_string();
        let mut message = String::with_capacity(text.len() + 200);
        let mut is_header = true;
        for line in text.split_inclusive('\n') {
            is_header = is_header && line != "\r\n";
            match line.split_once(": ") {
                Some(("Message-ID", id)) if is_header => {
                    let unique = clock.mint::<MessageId>();
                    message.push_str(&format!("Message-ID: {}", id.replacen('@', &format!(".{unique}@"), 1)));
                }
                Some(("Date", _)) if is_header => message.push_str(&format!("Date: {}\r\n", date(clock))),
                _ => message.push_str(&line.replace(PLACEHOLDER, &to)),
            }
        }
        message.into_bytes()
    }
}

/// Now, as a header says it (RFC 5322 §3.3).
pub(super) fn date(clock: &Clock) -> String {
    let now = jiff::Timestamp::from_microsecond(clock.now().as_micros()).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_string(&now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::decide::{AppProfile, Engine, Matter};
    use crate::mail::message::{Limits, read};

    #[test]
    fn every_sample_file_is_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/samples");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".eml").map(str::to_owned))
            .collect();
        let mut listed: Vec<&str> = SAMPLES.iter().map(|sample| sample.name).collect();
        files.sort();
        listed.sort_unstable();
        assert_eq!(files, listed);
    }

    #[test]
    fn each_sample_shows_the_decision_that_it_is_meant_to_show() {
        let wanted = [
            ("proof-of-funds", "proof_of_funds_requested"),
            ("meeting-request", "meeting_requested"),
            ("invoice-received", "invoice_received"),
            ("outage-reported", "outage_reported"),
            ("out-of-office", "out_of_office"),
            ("unsubscribe", "unsubscribe_requested"),
            ("agent-injection", "agent_injection_suspected"),
            ("besichtigung", "meeting_confirmed"),
            ("bcc-copy", "meeting_confirmed"),
        ];
        let engine = Engine::new().unwrap();
        let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-11-24T09:00:00Z").unwrap());
        let to = Mailbox::parse("sales@in.example").unwrap();
        let found: Vec<_> = SAMPLES
            .iter()
            .map(|sample| {
                let message = read(&sample.message(&to, &clock), &Limits::default());
                let matter = Matter::of(&message.subject, &message.text, clock.now());
                (sample.name, engine.decide(&matter, &AppProfile::default()).canonical.status)
            })
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, status)| (*name, status.as_str())).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_sample_is_a_new_message_each_time() {
        let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-12-24T18:00:00Z").unwrap());
        let to = Mailbox::parse("sales@in.example").unwrap();
        for sample in SAMPLES {
            let [one, two] = [(); 2].map(|()| read(&sample.message(&to, &clock), &Limits::default()));
            assert!(one.defects.is_empty(), "{}: {:?}", sample.name, one.defects);
            assert_ne!(one.message_id.unwrap(), two.message_id.unwrap(), "{}", sample.name);
            assert_eq!(one.date.unwrap(), clock.now(), "{}", sample.name);
            let addressed = one.to.iter().any(|address| address.address == "sales@in.example");
            assert_eq!(addressed, !sample.is_copy, "{}", sample.name);
            assert!(!one.text.contains(PLACEHOLDER), "{}", sample.name);
        }
    }
}
