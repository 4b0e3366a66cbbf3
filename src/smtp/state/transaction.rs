//! MAIL and RCPT: one transaction from its reverse-path to its last recipient.
//!
//! All recipients of a transaction belong to one tenant and are either all mailboxes or all copy routes, so that one
//! message is one piece of mail with one policy. The others are asked to come in a transaction of their own. Those of a
//! submission are nobody's here: whether they get it is for the gate to say.

use super::{Channel, Dialect, Effect, Greeted, Machine, Next, Question, State, Step};
use crate::intake::{ForwardName, RecipientAnswer};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Envelope, ForwardPath, Recipient, Return};
use crate::smtp::command::{ForwardPathName, MailCommand, RcptCommand, RcptParameters};
use crate::smtp::reply::{self, Reply};
use crate::spool::Admission;

/// MAIL and what followed it.
#[derive(Debug)]
pub(super) struct Transaction {
    greeted: Greeted,
    reverse_path: ReversePath,
    announced_size: Option<u64>,
    forward_paths: Vec<ForwardPath>,
    /// Recipients of a submission.
    submitted_to: Vec<Mailbox>,
    body: BodyKind,
    smtputf8: bool,
    returned: Option<Return>,
    envelope_id: Option<String>,
    /// Octets that all its recipients take.
    pub(super) limit: u64,
    /// Octets of the chunks that were taken.
    pub(super) size: u64,
}

/// A transaction with a RCPT that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) transaction: Box<Transaction>,
    path: ForwardPathName,
    parameters: RcptParameters,
}

impl Transaction {
    pub(super) fn helo(&self) -> &str {
        &self.greeted.helo
    }

    pub(super) fn body(&self) -> BodyKind {
        self.body
    }

    pub(super) fn has_recipients(&self) -> bool {
        !self.forward_paths.is_empty() || !self.submitted_to.is_empty()
    }

    /// Whether the message is a copy, which is kept also with bare line breaks.
    pub(super) fn is_copy(&self) -> bool {
        self.forward_paths.first().is_some_and(|path| path.recipient.is_copy())
    }

    /// Whether the beginning of the message is remembered: of a copy that grows over its limit it is all there will be. Who
    /// tells the size is refused before.
    pub(super) fn remembers_head(&self) -> bool {
        self.is_copy() && self.announced_size.is_none()
    }

    /// How many replies the end of the message has (RFC 2033 §4.2): as many as there are recipients in LMTP.
    pub(super) fn replies(&self) -> usize {
        match self.greeted.dialect {
            Dialect::Smtp | Dialect::Submission => 1,
            Dialect::Lmtp => self.forward_paths.len(),
        }
    }

    /// The session after the transaction.
    pub(super) fn end(self) -> State {
        State::Greeted(self.greeted)
    }

    /// Whether what comes is a draft.
    pub(super) const fn is_submission(&self) -> bool {
        matches!(self.greeted.dialect, Dialect::Submission)
    }

    /// The session behind a submission, and its recipients.
    pub(super) fn into_submission(self) -> (Greeted, Vec<Mailbox>) {
        (self.greeted, self.submitted_to)
    }

    pub(super) fn into_parts(self) -> (Greeted, Envelope) {
        let envelope = Envelope {
            reverse_path: self.reverse_path,
            forward_paths: self.forward_paths,
            body: self.body,
            smtputf8: self.smtputf8,
            envelope_id: self.envelope_id,
            returned: self.returned,
        };
        (self.greeted, envelope)
    }

    /// Whether `recipient` may share the transaction with those before it.
    fn takes(&self, recipient: &Recipient) -> bool {
        self.forward_paths.first().is_none_or(|first| {
            first.recipient.tenant() == recipient.tenant() && first.recipient.is_copy() == recipient.is_copy()
        })
    }
}

impl Asked {
    pub(super) fn question(&self) -> Question<'_> {
        Question {
            name: match &self.path {
                ForwardPathName::Postmaster => ForwardName::Postmaster,
                ForwardPathName::Mailbox(mailbox) => ForwardName::Mailbox(mailbox),
            },
            reverse_path: &self.transaction.reverse_path,
            announced_size: self.transaction.announced_size,
            helo: self.transaction.helo(),
        }
    }
}

impl Machine {
    pub(super) fn mail<'a>(&mut self, state: State, mail: MailCommand) -> Next<'a> {
        let greeted = match state {
            State::Greeted(greeted) => greeted,
            State::Addressing(transaction) => return self.fault(State::Addressing(transaction), reply::NESTED_MAIL),
            state => return self.fault(state, self.hello_first()),
        };
        if let Some(reply) = self.wants_first() {
            return self.fault(State::Greeted(greeted), reply);
        }
        let parameters = mail.parameters;
        if self.settings.dialect == Dialect::Submission && parameters.body == BodyKind::BinaryMime {
            return self.fault(State::Greeted(greeted), reply::UNKNOWN_PARAMETER); // RFC 3030 §3: it was not offered.
        }
        if parameters.has_auth && !self.offers_auth() {
            return self.fault(State::Greeted(greeted), reply::UNKNOWN_PARAMETER); // RFC 4954 §5
        }
        let limits = &self.settings.limits;
        if self.messages >= limits.messages {
            return Self::close(reply::TOO_MANY_MESSAGES);
        }
        if parameters.size.is_some_and(|size| size > limits.largest()) {
            return self.fault(State::Greeted(greeted), reply::TOO_LARGE); // RFC 1870 §6.1
        }
        if mail.is_international && !parameters.smtputf8 {
            return self.fault(State::Greeted(greeted), reply::NEEDS_SMTPUTF8); // RFC 6531 §3.5
        }
        let transaction = Transaction {
            greeted,
            reverse_path: mail.reverse_path,
            announced_size: parameters.size,
            forward_paths: Vec::new(),
            submitted_to: Vec::new(),
            body: parameters.body,
            smtputf8: parameters.smtputf8,
            returned: parameters.returned,
            envelope_id: parameters.envelope_id,
            limit: limits.largest(),
            size: 0,
        };
        (State::Admitting(Box::new(transaction)), Step::effect(Effect::Admit))
    }

    fn hello_first(&self) -> Reply {
        match self.settings.dialect {
            Dialect::Smtp | Dialect::Submission => reply::HELO_FIRST,
            Dialect::Lmtp => reply::LHLO_FIRST,
        }
    }

    /// What a submission needs before MAIL, where it was not done (RFC 6409 §4.3, RFC 3207 §4).
    fn wants_first(&self) -> Option<Reply> {
        if self.settings.dialect != Dialect::Submission || self.is_authenticated {
            return None;
        }
        Some(if self.channel == Channel::Encrypted { reply::AUTH_FIRST } else { reply::STARTTLS_FIRST })
    }

    pub(super) fn admitted<'a>(&mut self, transaction: Box<Transaction>, admission: Admission) -> Next<'a> {
        match admission {
            Admission::Open => (State::Addressing(transaction), Step::reply(reply::SENDER_OK)),
            Admission::Reserve => self.fault(transaction.end(), reply::STORAGE_LOW),
            Admission::Failing => self.fault(transaction.end(), reply::TRY_AGAIN),
        }
    }

    pub(super) fn rcpt<'a>(&mut self, state: State, rcpt: RcptCommand) -> Next<'a> {
        let State::Addressing(transaction) = state else {
            return self.fault(state, reply::MAIL_FIRST);
        };
        if rcpt.is_international && !transaction.smtputf8 {
            return self.fault(State::Addressing(transaction), reply::NEEDS_SMTPUTF8);
        }
        if transaction.forward_paths.len() + transaction.submitted_to.len() >= self.settings.limits.recipients {
            return self.fault(State::Addressing(transaction), reply::TOO_MANY_RECIPIENTS); // RFC 5321 §4.5.3.1.10
        }
        if self.settings.dialect == Dialect::Submission {
            return self.address(transaction, rcpt.path);
        }
        let asked = Asked { transaction, path: rcpt.path, parameters: rcpt.parameters };
        (State::Asking(Box::new(asked)), Step::effect(Effect::Recipient))
    }

    /// Adds a recipient to a submission.
    fn address<'a>(&mut self, mut transaction: Box<Transaction>, path: ForwardPathName) -> Next<'a> {
        match path {
            ForwardPathName::Mailbox(mailbox) => {
                transaction.submitted_to.push(mailbox);
                (State::Addressing(transaction), Step::reply(reply::RECIPIENT_OK))
            }
            // Whose postmaster that would be, nobody says.
            ForwardPathName::Postmaster => self.fault(State::Addressing(transaction), reply::BAD_RECIPIENT),
        }
    }

    pub(super) fn answered<'a>(&mut self, asked: Asked, answer: RecipientAnswer) -> Next<'a> {
        let Asked { mut transaction, path, parameters } = asked;
        let RecipientAnswer::Known { recipient, size } = answer else {
            return self.fault(State::Addressing(transaction), reply::recipient(&answer));
        };
        let cap = size.unwrap_or(self.settings.limits.message);
        if transaction.announced_size.is_some_and(|size| size > cap) {
            return self.fault(State::Addressing(transaction), reply::TOO_LARGE); // RFC 1870 §6.1
        }
        // Without SIZE nobody knows yet whom the message is too large for: nobody else must lose it by that.
        let is_capped_alike = cap == transaction.limit || transaction.announced_size.is_some();
        if !transaction.takes(&recipient) || (transaction.has_recipients() && !is_capped_alike) {
            return self.fault(State::Addressing(transaction), reply::SEPARATE_TRANSACTION);
        }
        let mailbox: Option<Mailbox> = match path {
            ForwardPathName::Mailbox(mailbox) => Some(mailbox),
            ForwardPathName::Postmaster => self.settings.postmaster.clone(),
        };
        let Some(mailbox) = mailbox else {
            return self.fault(State::Addressing(transaction), reply::UNKNOWN_RECIPIENT);
        };
        let RcptParameters { notify, original_recipient } = parameters;
        transaction.limit = transaction.limit.min(cap);
        transaction.forward_paths.push(ForwardPath { mailbox, recipient, notify, original_recipient });
        (State::Addressing(transaction), Step::reply(reply::RECIPIENT_OK))
    }
}
