//! The text of a journal report, read line by line: who sent a message, and who really got it.
//!
//! Standards: \[MS-XJRNL\] §2.2 (journal report), and the layout of Exchange 2000 and 2003 before it.
//!
//! # Security
//! The text tells a mail system's view of a message that a stranger may have written. A subject with a line break in it
//! must not add a recipient: recipients count only behind both Subject and Message-ID, and of a field that stands there
//! twice the first counts.

use std::collections::HashSet;

use super::address::{self, Line};
use crate::mail::copy::RecipientType;
use crate::mail::message::Defect;

/// What a report's text says.
#[derive(Debug, Default)]
pub(super) struct ReportText {
    /// Whether there is a Sender line.
    pub(super) has_sender: bool,
    /// The envelope sender, empty for `<>`; `None` where it cannot be read.
    pub(super) sender: Option<String>,
    /// In whose name it was sent.
    pub(super) on_behalf_of: Option<String>,
    /// Its classification.
    pub(super) label: Option<String>,
    /// Its subject.
    pub(super) subject: Option<String>,
    /// Its id without angle brackets.
    pub(super) message_id: Option<String>,
    /// Who got it, each once in each way.
    pub(super) recipients: Vec<ReportRecipient>,
    /// What is wrong with the text.
    pub(super) defects: Vec<Defect>,
}

/// Who got a message, and how it was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportRecipient {
    /// The address, as written.
    pub(super) address: String,
    /// How it was addressed.
    pub(super) recipient_type: RecipientType,
    /// The group through which it was reached.
    pub(super) expanded_from: Option<String>,
    /// Whose mailbox forwards to it.
    pub(super) forwarded_from: Option<String>,
}

/// Recipients that are kept of one report; Exchange forks a message at about 1,000.
const RECIPIENTS: usize = 20_000;
/// Characters of a Label (\[MS-XJRNL\] §2.2.1.4).
const LABEL: usize = 255;

/// Reads the text of a report in the layout of Exchange 2007 and later. `is_cut`: the message breaks off in it.
pub(super) fn read(text: &str, is_cut: bool) -> ReportText {
    let mut reader = Reader::default();
    let text = reader.without_torn_line(text, is_cut);
    let mut lines = unfolded(text).into_iter();
    for line in lines.by_ref() {
        if line.trim().is_empty() {
            if reader.has_recipient {
                break;
            }
            continue;
        }
        match line.split_once(':').and_then(|(name, value)| Some((Field::named(name.trim())?, value.trim()))) {
            Some((field, value)) => reader.field(field, value),
            None => reader.flaw(Defect::UnknownLine),
        }
    }
    if lines.any(|line| !line.trim().is_empty()) {
        reader.flaw(Defect::TrailingText);
    }
    reader.finish()
}

/// Reads the text of a report in the layout of Exchange 2000 and 2003: recipients stand behind tabs.
pub(super) fn read_legacy(text: &str, is_cut: bool) -> ReportText {
    let mut reader = Reader::default();
    let text = reader.without_torn_line(text, is_cut);
    let mut is_list = false;
    let mut lines = text.lines();
    for line in lines.by_ref() {
        if line.trim().is_empty() {
            if reader.has_recipient {
                break;
            }
            continue;
        }
        if is_list && line.starts_with([' ', '\t']) {
            reader.recipients(RecipientType::Unknown, line);
            continue;
        }
        let (name, value) = line.split_once(':').map_or((line, ""), |(name, value)| (name.trim(), value.trim()));
        match Field::named(name) {
            Some(field @ (Field::Sender | Field::MessageId | Field::Subject)) => reader.field(field, value),
            _ if name.eq_ignore_ascii_case("recipients") && !is_list => {
                is_list = true;
                if !value.is_empty() {
                    reader.recipients(RecipientType::Unknown, value);
                }
            }
            _ => reader.flaw(Defect::UnknownLine),
        }
    }
    if lines.any(|line| !line.trim().is_empty()) {
        reader.flaw(Defect::TrailingText);
    }
    reader.finish()
}

/// Lines with their continuations (a blank in front). A line of blanks is a blank line.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut() {
            Some(before) if line.starts_with([' ', '\t']) && !line.trim().is_empty() && !before.trim().is_empty() => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// A field that a report can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Sender,
    OnBehalfOf,
    Subject,
    MessageId,
    Label,
    /// Known, and of no use here: owner of the mailbox, and times.
    Other,
    Recipient(RecipientType),
    /// The same in a language that no mail system is known to write.
    Localized(&'static Self),
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        const RECIPIENT: &Field = &Field::Recipient(RecipientType::Unknown);
        Some(match name.to_lowercase().as_str() {
            "sender" => Self::Sender,
            "on-behalf-of" => Self::OnBehalfOf,
            "subject" => Self::Subject,
            "message-id" => Self::MessageId,
            "label" => Self::Label,
            "mailbox" | "sentutc" | "receivedutc" => Self::Other,
            "to" => Self::Recipient(RecipientType::To),
            "cc" => Self::Recipient(RecipientType::Cc),
            "bcc" => Self::Recipient(RecipientType::Bcc),
            "recipient" => *RECIPIENT,
            "absender" | "expéditeur" => Self::Localized(&Self::Sender),
            "betreff" | "objet" => Self::Localized(&Self::Subject),
            "nachrichten-id" | "id du message" => Self::Localized(&Self::MessageId),
            "empfänger" | "destinataire" => Self::Localized(RECIPIENT),
            "an" => Self::Localized(&Self::Recipient(RecipientType::To)),
            _ => return None,
        })
    }
}

#[derive(Default)]
struct Reader {
    found: ReportText,
    has_recipient: bool,
    seen: HashSet<(String, RecipientType, Option<String>, Option<String>)>,
}

impl Reader {
    fn flaw(&mut self, defect: Defect) {
        if !self.found.defects.contains(&defect) {
            self.found.defects.push(defect);
        }
    }

    /// The text of a message that breaks off in it, without the line at its end: half an address may be another one.
    fn without_torn_line<'a>(&mut self, text: &'a str, is_cut: bool) -> &'a str {
        if !is_cut || text.is_empty() || text.ends_with('\n') {
            return text;
        }
        self.flaw(Defect::BadRecipient);
        text.rfind('\n').and_then(|end| text.get(..=end)).unwrap_or_default()
    }

    fn field(&mut self, field: Field, value: &str) {
        let is_late = self.has_recipient;
        match field {
            Field::Localized(field) => {
                self.flaw(Defect::LocalizedLabels);
                self.field(*field, value);
            }
            Field::Recipient(recipient_type) => {
                if self.found.subject.is_some() && self.found.message_id.is_some() {
                    self.recipients(recipient_type, value);
                } else {
                    self.flaw(Defect::MisplacedLine);
                }
            }
            Field::Other => {}
            Field::Sender if self.found.has_sender => self.flaw(Defect::DuplicateReportField),
            Field::Subject if self.found.subject.is_some() => self.flaw(Defect::DuplicateReportField),
            Field::MessageId if self.found.message_id.is_some() => self.flaw(Defect::DuplicateReportField),
            _ if is_late => self.flaw(Defect::MisplacedLine),
            Field::Sender => {
                self.found.has_sender = true;
                self.found.sender =
                    if value.replace(' ', "") == "<>" { Some(String::new()) } else { address::address(value) };
            }
            Field::Subject => self.found.subject = Some(value.to_owned()),
            Field::MessageId => self.found.message_id = Some(unbracketed(value)),
            Field::OnBehalfOf => match address::address(value) {
                Some(address) => {
                    self.found.on_behalf_of.get_or_insert(address);
                }
                None => self.flaw(Defect::BadSender),
            },
            Field::Label => {
                self.found.label.get_or_insert_with(|| value.chars().take(LABEL).collect());
            }
        }
    }

    fn recipients(&mut self, recipient_type: RecipientType, value: &str) {
        self.has_recipient = true;
        let line = Line::read(value);
        for (defect, applies) in [
            (Defect::BadRecipient, line.has_bad),
            (Defect::UnknownLine, line.has_unknown),
            (Defect::LocalizedLabels, line.is_localized),
            (Defect::RecipientListLine, line.addresses.len() > 1),
        ] {
            if applies {
                self.flaw(defect);
            }
        }
        for address in line.addresses {
            if self.found.recipients.len() >= RECIPIENTS {
                return self.flaw(Defect::RecipientsLimit);
            }
            let key = |address: &String| address::key(address);
            let entry = (
                key(&address),
                recipient_type,
                line.expanded_from.as_ref().map(key),
                line.forwarded_from.as_ref().map(key),
            );
            if self.seen.insert(entry) {
                self.found.recipients.push(ReportRecipient {
                    address,
                    recipient_type,
                    expanded_from: line.expanded_from.clone(),
                    forwarded_from: line.forwarded_from.clone(),
                });
            }
        }
    }

    fn finish(mut self) -> ReportText {
        if self.found.sender.is_none() {
            self.flaw(Defect::BadSender);
        }
        self.found
    }
}

/// What stands between the first angle brackets; without them the value.
fn unbracketed(id: &str) -> String {
    let inner = id.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner.trim());
    inner.filter(|inner| !inner.is_empty()).unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(found: &ReportText) -> Vec<&str> {
        found.recipients.iter().map(|one| one.address.as_str()).collect()
    }

    #[test]
    fn a_report_is_read_field_by_field() {
        let text = "Sender : Sam <sam@h.example>\r\nOn-Behalf-Of: boss@h.example\r\nMessage-Id: <1@h.example>\r\n\
                    Subject:Re:\r\n  folded\r\nLabel: secret\r\nMailbox: sam@h.example\r\nSentUtc: now\r\n\
                    TO: a@l.example\r\ncc: b@h.example, Expanded: deals@h.example\r\nBcc: c@o.example\r\n\
                    Recipient: d@o.example, Forwarded: b@h.example\r\n\r\n";
        let found = read(text, false);
        assert_eq!(found.sender.as_deref(), Some("sam@h.example"));
        assert_eq!(found.on_behalf_of.as_deref(), Some("boss@h.example"));
        assert_eq!((found.subject.as_deref(), found.label.as_deref()), (Some("Re: folded"), Some("secret")));
        assert_eq!(found.message_id.as_deref(), Some("1@h.example"));
        let types: Vec<_> = found.recipients.iter().map(|one| one.recipient_type).collect();
        assert_eq!(types, [RecipientType::To, RecipientType::Cc, RecipientType::Bcc, RecipientType::Unknown]);
        assert_eq!(found.recipients[1].expanded_from.as_deref(), Some("deals@h.example"));
        assert_eq!(found.recipients[3].forwarded_from.as_deref(), Some("b@h.example"));
        assert_eq!(found.defects, []);
    }

    #[test]
    fn a_subject_with_a_line_break_adds_no_recipient_and_no_sender() {
        let found = read(
            "Sender: a@x.example\nSubject: hi\nTo: evil@z.example\nSender: evil@z.example\nMessage-ID: <1@x>\nTo: b@x.example\n",
            false,
        );
        assert_eq!(addresses(&found), ["b@x.example"]);
        assert_eq!(found.sender.as_deref(), Some("a@x.example"));
        assert_eq!(found.defects, [Defect::MisplacedLine, Defect::DuplicateReportField]);
        let found = read("Subject: hi\nMessage-ID: <1@x>\nTo: b@x.example\nSender: a@x.example\n", false);
        assert_eq!(found.sender, None);
        assert_eq!(found.defects, [Defect::MisplacedLine, Defect::BadSender]);
    }

    #[test]
    fn the_report_ends_at_the_first_blank_line_behind_a_recipient() {
        let found = read("\nSender: <>\n\nSubject:\nMessage-ID: 1\n\nTo: a@x.example\n \nTo: b@x.example\n", false);
        assert_eq!(addresses(&found), ["a@x.example"]);
        assert_eq!((found.sender.as_deref(), found.message_id.as_deref()), (Some(""), Some("1")));
        assert_eq!(found.defects, [Defect::TrailingText]);
    }

    #[test]
    fn one_person_stays_once_for_each_way() {
        let text = "Sender: a@x.example\nSubject: s\nMessage-ID: <1@x>\nTo: B@x.example\nTo: b@X.example\nCc: b@x.example\n\
                    To: b@x.example, Expanded: l@x.example\nTo: c@x.example, Xyz: q@x.example\nTo: nobody\n";
        let found = read(text, false);
        assert_eq!(addresses(&found), ["B@x.example", "b@x.example", "b@x.example", "c@x.example"]);
        assert_eq!(found.defects, [Defect::UnknownLine, Defect::BadRecipient]);
    }

    #[test]
    fn a_torn_line_at_the_end_is_dropped() {
        let text = "Sender: a@x.example\nSubject: s\nMessage-ID: <1@x>\nTo: b@x.example\nTo: ann@bank.exam";
        assert_eq!(addresses(&read(text, true)), ["b@x.example"]);
        assert_eq!(addresses(&read(text, false)), ["b@x.example", "ann@bank.exam"]);
    }

    #[test]
    fn other_languages_are_read_and_said() {
        let text = "Absender: a@x.example\nBetreff: s\nNachrichten-ID: <1@x>\nAn: b@x.example, Erweitert: l@x.example\nEmpfänger: c@x.example\n";
        let found = read(text, false);
        assert_eq!(addresses(&found), ["b@x.example", "c@x.example"]);
        assert_eq!(found.defects, [Defect::LocalizedLabels]);
        let text = "Expéditeur: a@x.example\nObjet: s\nID du message: <1@x>\nDestinataire: b@x.example\n";
        assert_eq!(addresses(&read(text, false)), ["b@x.example"]);
    }

    #[test]
    fn the_older_layout_has_recipients_behind_tabs() {
        let text = "Sender: Ann <a@x.example>\r\nMessage-ID: <1@x>\r\nRecipients:\r\n\tBob, jr. <b@x.example>\r\n\tc@x.example\r\n\r\nmore";
        let found = read_legacy(text, false);
        assert_eq!(found.sender.as_deref(), Some("a@x.example"));
        assert_eq!(addresses(&found), ["b@x.example", "c@x.example"]);
        assert_eq!(found.recipients[0].recipient_type, RecipientType::Unknown);
        assert!(found.defects.contains(&Defect::TrailingText));
        assert!(read_legacy("Sender: (null) @ node\n", false).defects.contains(&Defect::BadSender));
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_every_prefix_of_it(text in "(?s)(Sender: |To: |Subject: |Message-ID: |Recipients:|\t|\r\n|[a-z@,;<>\" ]|\\PC){0,40}") {
            for (end, _) in text.char_indices() {
                let _ = read(&text[..end], true);
                let _ = read_legacy(&text[..end], false);
            }
        }

        #[test]
        fn a_smuggled_line_never_adds_a_recipient(smuggled in "(To|Cc|Bcc|Recipient) ?: ?[a-z]{1,5}@evil\\.example", before in "[a-z ]{0,5}") {
            let text = format!("Sender: a@x.example\r\nSubject: {before}\r\n{smuggled}\r\nMessage-ID: <1@x>\r\nTo: b@x.example\r\n");
            let found = read(&text, false);
            prop_assert_eq!(addresses(&found), ["b@x.example"]);
        }
    }
}
