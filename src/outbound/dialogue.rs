//! The client's side of one transaction of an SMTP session, and of what goes before it, as a state machine without IO: what came in, what to do.
//!
//! [`Dialogue::on`] consumes a state and gives the next one with one [`Action`]; whoever owns the socket does it and tells
//! what came of it. MAIL and the RCPTs go out together where PIPELINING is announced; DATA waits for their replies, so
//! that no message is sent that nobody takes.
//!
//! It must never ask for the final dot before [`Input::Recorded`], ask for anything more after it, or put a recipient that
//! could have got the message among those that another host may be tried for.
//!
//! Standards: RFC 5321 §3.2, §3.3 and §4.1.1 (commands), §4.5.3.1.10 (552 to RCPT), RFC 1870 (SIZE), RFC 2920 (PIPELINING),
//! RFC 3207 (STARTTLS), RFC 4616 and RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 7504 (521).

use std::collections::VecDeque;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::attempt::{Attempt, Outcome, Reason, Report};
use super::reply::{EnhancedCode, Offer, Reply};
use super::sign::Needs;
use crate::mail::address::{Domain, Mailbox, ReversePath};

/// What is to be handed over.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, at least one.
    pub recipients: Vec<Mailbox>,
    /// Octets of the message (RFC 1870 §6).
    pub size: u64,
    /// What the message asks of the server.
    pub needs: Needs,
}

/// When the session is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// Not at all.
    Never,
    /// By STARTTLS where it is offered.
    IfOffered,
    /// By STARTTLS, or nothing is sent.
    Required,
    /// Since the first octet.
    Begun,
}

/// How to talk to the server.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Our name.
    pub hello: Domain,
    /// When the session is encrypted.
    pub encryption: Encryption,
    /// Who we are to a relay; used under TLS alone.
    pub credentials: Option<Credentials>,
}

/// A user's name and password at a relay.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// `None` where one of them has a NUL, which PLAIN cannot carry (RFC 4616 §2), or is empty.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Option<Self> {
        let fits = |text: &str| !text.is_empty() && !text.contains('\0');
        let credentials = Self { user: user.to_owned(), password: password.to_owned() };
        (fits(user) && fits(password)).then_some(credentials)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

/// A refusal of user and password in words of ours: the server's may repeat what it was told.
fn refused(reply: &Reply) -> Report {
    let said = "the relay does not take user and password";
    let report = Report::of(reply);
    let text = report.enhanced.map_or_else(|| said.to_owned(), |code| format!("{code} {said}"));
    Report { reason: Reason::Authentication, text, ..report }
}

/// A step of the session, for its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The server's first words.
    Greeting,
    /// EHLO, HELO, STARTTLS, AUTH.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The reply to the message.
    End,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The server said something.
    Reply(Reply),
    /// The session is lost: nothing more can be read or written.
    Lost(Reason, String),
    /// The TLS handshake is done.
    Encrypted,
    /// It failed.
    NotEncrypted(String),
    /// The message was written, but for its end.
    Written,
    /// The begin of the end of data is on record.
    Recorded,
    /// It is not.
    NotRecorded,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this, and read one reply.
    Say(Vec<u8>, Step),
    /// Read one more reply.
    Listen(Step),
    /// Begin TLS; what came in clear behind the reply ends the session (RFC 3207 §5).
    Encrypt,
    /// Write the message, but for its end.
    WriteMessage,
    /// Have it recorded that the message is about to be ended for these recipients.
    Record(Vec<Mailbox>),
    /// Write the end of the message, and read one reply.
    WriteEnd,
    /// It is over.
    Finish(Ending),
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    /// What is decided.
    pub settled: Vec<Attempt>,
    /// Recipients for whom nothing was decided and nothing sent, and why: another host may be tried.
    pub open: Option<(Vec<Mailbox>, Report)>,
    /// Whether the server still listens: QUIT is in place.
    pub is_quit_due: bool,
}

/// A session.
#[derive(Debug)]
pub struct Dialogue {
    state: State,
    envelope: Envelope,
    rules: Rules,
    is_encrypted: bool,
    /// What the server announced, once a transaction may be begun.
    offer: Option<Offer>,
    /// Whether another transaction went before on the same connection.
    is_resumed: bool,
    settled: Vec<Attempt>,
}

#[derive(Debug)]
enum State {
    Greeting,
    Hello,
    Helo,
    StartTls(Offer),
    Handshake,
    Authentication(Offer, Login),
    Transaction(Transaction),
    Data(Vec<Mailbox>),
    Message(Vec<Mailbox>),
    Record(Vec<Mailbox>),
    End(Vec<Mailbox>),
    Finished,
}

/// What the server is expected to ask for next.
#[derive(Debug)]
enum Login {
    User,
    Password,
    Nothing,
}

#[derive(Debug, Default)]
struct Transaction {
    is_pipelined: bool,
    /// Not asked for yet.
    waiting: VecDeque<Mailbox>,
    /// Asked for, without a reply; MAIL is the one without a mailbox.
    asked: VecDeque<Option<Mailbox>>,
    /// The reply that refused MAIL.
    refusal: Option<Reply>,
    accepted: Vec<Mailbox>,
}

/// RCPTs that go out before their replies are read: more could fill both sides' buffers and lock them (RFC 2920 §3.1).
const GROUP: usize = 50;

impl Dialogue {
    /// A session that has just been connected, and what to do first.
    #[must_use]
    pub fn begin(envelope: Envelope, rules: Rules) -> (Self, Action) {
        let is_encrypted = rules.encryption == Encryption::Begun;
        let dialogue = Self {
            state: State::Greeting,
            envelope,
            rules,
            is_encrypted,
            offer: None,
            is_resumed: false,
            settled: Vec::new(),
        };
        (dialogue, Action::Listen(Step::Greeting))
    }

    /// The next transaction of a session that was reset, whose server made this offer.
    #[must_use]
    pub fn resume(envelope: Envelope, rules: Rules, offer: Offer, is_encrypted: bool) -> (Self, Action) {
        let state = State::Finished;
        let dialogue =
            Self { state, envelope, rules, is_encrypted, offer: None, is_resumed: true, settled: Vec::new() };
        dialogue.transaction(offer)
    }

    /// What the server announced; empty before a transaction could be begun.
    #[must_use]
    pub const fn offer(&self) -> Option<Offer> {
        self.offer
    }

    /// Whether the session is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// What follows from `input`.
    #[must_use]
    pub fn on(mut self, input: Input) -> (Self, Action) {
        let state = std::mem::replace(&mut self.state, State::Finished);
        let (state, reply) = match (state, input) {
            (State::Handshake, Input::Encrypted) => {
                self.is_encrypted = true;
                // RFC 3207 §4.2: what was announced in clear counts for nothing.
                return self.hello();
            }
            (State::Message(accepted), Input::Written) => {
                let action = Action::Record(accepted.clone());
                return self.to(State::Record(accepted), action);
            }
            (State::Record(accepted), Input::Recorded) => return self.to(State::End(accepted), Action::WriteEnd),
            (State::Record(accepted), Input::NotRecorded) => {
                let report = Report::because(Reason::NotRecorded, "the begin of the end of data was not recorded");
                self.settled.extend(Attempt::all(accepted, Outcome::Deferred, &report));
                return self.finish(None, false);
            }
            (State::Finished, _) => return self.finish(None, false),
            (state, Input::Reply(reply)) => (state, reply),
            (state, Input::Lost(reason, text)) => return self.lost(state, &Report::because(reason, &text)),
            (state, Input::NotEncrypted(text)) => return self.lost(state, &Report::because(Reason::Tls, &text)),
            // The socket does what it is told, so that this does not happen; were it to, nothing more is said.
            (state, _) => return self.lost(state, &Report::because(Reason::NotSmtp, "the session is out of step")),
        };
        self.heard(state, &reply)
    }

    fn heard(mut self, state: State, reply: &Reply) -> (Self, Action) {
        match state {
            State::Greeting if reply.is_success() => self.hello(),
            State::Hello if reply.is_success() => self.greeted(Offer::read(reply)),
            // RFC 5321 §3.2: a server without extensions, in whatever words. 521 is no such word (RFC 7504).
            State::Hello if reply.is_permanent() && reply.code() != 521 => {
                let line = format!("HELO {}\r\n", self.rules.hello);
                self.to(State::Helo, Action::Say(line.into_bytes(), Step::Hello))
            }
            State::Helo if reply.is_success() => self.greeted(Offer::default()),
            State::StartTls(_) if reply.is_success() => self.to(State::Handshake, Action::Encrypt),
            // RFC 3207 §4: what follows without TLS is the client's choice.
            State::StartTls(offer) if self.rules.encryption == Encryption::IfOffered && !reply.is_closing() => {
                self.transaction(offer)
            }
            State::StartTls(_) => {
                let report = Report { reason: Reason::Tls, ..Report::of(reply) };
                self.open(&report, !reply.is_closing())
            }
            State::Authentication(offer, login) => self.authenticated(offer, &login, reply),
            State::Transaction(transaction) => self.answered(transaction, reply),
            State::Data(accepted) if reply.code() == 354 => self.to(State::Message(accepted), Action::WriteMessage),
            State::Data(accepted) => self.not_taken(accepted, reply, true),
            // Said before the end of data: the server has had enough, and what we still write it may take for commands.
            State::Message(accepted) | State::Record(accepted) => self.not_taken(accepted, reply, false),
            State::End(accepted) => {
                let outcome = if reply.is_success() { Some(Outcome::Accepted) } else { outcome_of(reply) };
                match outcome {
                    Some(outcome) => {
                        self.settled.extend(Attempt::all(accepted, outcome, &Report::of(reply)));
                        self.finish(None, !reply.is_closing())
                    }
                    // Neither yes nor no.
                    None => {
                        self.settled.extend(Attempt::all(accepted, Outcome::Unknown, &out_of_place(reply)));
                        self.finish(None, false)
                    }
                }
            }
            State::Greeting | State::Hello | State::Helo => {
                let is_quit_due = !reply.is_closing();
                self.open(&Report::of(reply), is_quit_due)
            }
            State::Handshake | State::Finished => {
                self.open(&Report::because(Reason::NotSmtp, "the server speaks out of turn"), false)
            }
        }
    }

    /// The message was not taken, whatever the reply says.
    fn not_taken(mut self, accepted: Vec<Mailbox>, reply: &Reply, is_quit_due: bool) -> (Self, Action) {
        match outcome_of(reply) {
            _ if reply.is_closing() => self.finish(Some((accepted, Report::of(reply))), false),
            Some(outcome) => {
                self.settled.extend(Attempt::all(accepted, outcome, &Report::of(reply)));
                self.finish(None, is_quit_due)
            }
            None => self.finish(Some((accepted, out_of_place(reply))), false),
        }
    }

    /// The session is gone: who could have got the message is in doubt, and nobody else.
    fn lost(mut self, state: State, report: &Report) -> (Self, Action) {
        match state {
            State::End(accepted) => {
                self.settled.extend(Attempt::all(accepted, Outcome::Unknown, report));
                self.finish(None, false)
            }
            State::Data(open) | State::Message(open) | State::Record(open) => {
                self.finish(Some((open, report.clone())), false)
            }
            State::Transaction(transaction) => {
                let open = transaction.undecided();
                self.finish(Some((open, report.clone())), false)
            }
            // A server that goes away at STARTTLS, or right behind the handshake, does so over TLS: it may do without.
            State::StartTls(_) => self.open(&Report { reason: Reason::Tls, ..report.clone() }, false),
            State::Hello if self.is_encrypted && self.rules.encryption != Encryption::Begun => {
                self.open(&Report { reason: Reason::Tls, ..report.clone() }, false)
            }
            _ => self.open(report, false),
        }
    }

    fn hello(self) -> (Self, Action) {
        let line = format!("EHLO {}\r\n", self.rules.hello);
        self.to(State::Hello, Action::Say(line.into_bytes(), Step::Hello))
    }

    fn greeted(self, offer: Offer) -> (Self, Action) {
        match self.rules.encryption {
            _ if self.is_encrypted => self.encrypted_or_not(offer),
            Encryption::IfOffered | Encryption::Required if offer.starttls => {
                self.to(State::StartTls(offer), Action::Say(b"STARTTLS\r\n".to_vec(), Step::Hello))
            }
            Encryption::Required => {
                let report =
                    Report::because(Reason::Tls, "the server does not offer STARTTLS, and nothing is sent without");
                self.open(&report, true)
            }
            _ => self.encrypted_or_not(offer),
        }
    }

    fn encrypted_or_not(self, offer: Offer) -> (Self, Action) {
        let Some(credentials) = &self.rules.credentials else { return self.transaction(offer) };
        let (line, login) = if !self.is_encrypted {
            return self.not_let_in(&Report::because(Reason::Authentication, "no password is shown without TLS"));
        } else if offer.auth_plain {
            let plain = format!("\0{}\0{}", credentials.user, credentials.password);
            (format!("AUTH PLAIN {}\r\n", BASE64_STANDARD.encode(plain)), Login::Nothing)
        } else if offer.auth_login {
            ("AUTH LOGIN\r\n".to_owned(), Login::User)
        } else {
            let text = "the relay offers neither AUTH PLAIN nor AUTH LOGIN";
            return self.not_let_in(&Report::because(Reason::Authentication, text));
        };
        self.to(State::Authentication(offer, login), Action::Say(line.into_bytes(), Step::Hello))
    }

    fn authenticated(self, offer: Offer, login: &Login, reply: &Reply) -> (Self, Action) {
        let credentials = self.rules.credentials.as_ref();
        let (text, next) = match (reply.code(), login, credentials) {
            (235, ..) => return self.transaction(offer),
            (334, Login::User, Some(credentials)) => (BASE64_STANDARD.encode(&credentials.user), Login::Password),
            (334, Login::Password, Some(credentials)) => {
                (BASE64_STANDARD.encode(&credentials.password), Login::Nothing)
            }
            _ => return self.not_let_in(&refused(reply)),
        };
        let line = format!("{text}\r\n").into_bytes();
        self.to(State::Authentication(offer, next), Action::Say(line, Step::Hello))
    }

    /// The operator has to look at it; the mail waits.
    fn not_let_in(mut self, report: &Report) -> (Self, Action) {
        let recipients = std::mem::take(&mut self.envelope.recipients);
        self.settled.extend(Attempt::all(recipients, Outcome::Deferred, report));
        self.finish(None, true)
    }

    /// MAIL, where the server can take the message.
    fn transaction(mut self, offer: Offer) -> (Self, Action) {
        self.offer = Some(offer);
        let mut recipients = std::mem::take(&mut self.envelope.recipients);
        if let Some(report) = self.misses(&offer) {
            self.settled.extend(Attempt::all(recipients, Outcome::Rejected, &report));
            return self.finish(None, true);
        }
        if !offer.smtputf8 {
            // RFC 6531 §3.2: never to a server without the extension.
            let (plain, foreign) = recipients.into_iter().partition(|recipient| recipient.local().is_ascii());
            let report =
                Report::because(Reason::NotOffered, "the server does not offer SMTPUTF8, which the address needs");
            let report = report.with(EnhancedCode::new(5, 6, 7));
            self.settled.extend(Attempt::all(foreign, Outcome::Rejected, &report));
            recipients = plain;
        }
        if recipients.is_empty() {
            return self.finish(None, true);
        }
        let mut line = format!("MAIL FROM:<{}>", self.envelope.reverse_path);
        if offer.size {
            line.push_str(&format!(" SIZE={}", self.envelope.size));
        }
        if self.envelope.needs.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if self.needs_utf8(&recipients) {
            line.push_str(" SMTPUTF8");
        }
        line.push_str("\r\n");
        let mut transaction = Transaction {
            is_pipelined: offer.pipelining,
            waiting: recipients.into(),
            asked: VecDeque::from([None]),
            ..Transaction::default()
        };
        let mut out = line.into_bytes();
        if transaction.is_pipelined {
            transaction.ask(&mut out);
        }
        self.to(State::Transaction(transaction), Action::Say(out, Step::Mail))
    }

    fn needs_utf8(&self, recipients: &[Mailbox]) -> bool {
        let mut addresses = self.envelope.reverse_path.mailbox().into_iter().chain(recipients);
        self.envelope.needs.utf8_header || addresses.any(|mailbox| !mailbox.local().is_ascii())
    }

    /// What the message needs and the server has not. It is not converted: that would break its signature, and it would not
    /// be what was approved.
    fn misses(&self, offer: &Offer) -> Option<Report> {
        let Envelope { size, needs, reverse_path, .. } = &self.envelope;
        if offer.largest > 0 && *size > offer.largest {
            let text = format!("the message has {size} octets, the server takes at most {}", offer.largest);
            return Some(Report::because(Reason::TooLarge, &text).with(EnhancedCode::new(5, 3, 4)));
        }
        let not_offered = |text, code| Some(Report::because(Reason::NotOffered, text).with(code));
        if needs.utf8_header && !offer.smtputf8 {
            let text = "the server does not offer SMTPUTF8, which the header needs";
            return not_offered(text, EnhancedCode::new(5, 6, 9));
        }
        if reverse_path.mailbox().is_some_and(|mailbox| !mailbox.local().is_ascii()) && !offer.smtputf8 {
            let text = "the server does not offer SMTPUTF8, which the reverse-path needs";
            return not_offered(text, EnhancedCode::new(5, 6, 7));
        }
        if needs.eight_bit && !offer.eight_bit {
            let text = "the server does not offer 8BITMIME, which the message needs";
            return not_offered(text, EnhancedCode::new(5, 6, 3));
        }
        None
    }

    fn answered(mut self, mut transaction: Transaction, reply: &Reply) -> (Self, Action) {
        if reply.is_closing() {
            return self.lost(State::Transaction(transaction), &Report::of(reply));
        }
        let outcome = outcome_of(reply);
        match transaction.asked.pop_front() {
            Some(None) if reply.is_success() => {}
            Some(None) => transaction.refusal = Some(reply.clone()),
            // Whatever it is, MAIL was refused.
            Some(Some(recipient)) if transaction.refusal.is_some() => transaction.waiting.push_front(recipient),
            Some(Some(recipient)) if reply.is_success() => transaction.accepted.push(recipient),
            Some(Some(recipient)) => match outcome {
                Some(outcome) => {
                    // RFC 5321 §4.5.3.1.10: too many recipients, once more with fewer.
                    let outcome = if reply.code() == 552 { Outcome::Deferred } else { outcome };
                    self.settled.push(Attempt { recipient, outcome, report: Report::of(reply) });
                }
                None => {
                    transaction.waiting.push_front(recipient);
                    return self.lost(State::Transaction(transaction), &out_of_place(reply));
                }
            },
            None => return self.lost(State::Transaction(transaction), &out_of_place(reply)),
        }
        if !transaction.asked.is_empty() {
            return self.to(State::Transaction(transaction), Action::Listen(Step::Rcpt));
        }
        if let Some(refusal) = transaction.refusal.take() {
            let recipients = transaction.undecided();
            return match outcome_of(&refusal) {
                // Many a server limits the messages of a connection, each with words of its own: a new one may do.
                Some(Outcome::Deferred) if self.is_resumed => {
                    self.finish(Some((recipients, Report::of(&refusal))), true)
                }
                Some(outcome) => {
                    self.settled.extend(Attempt::all(recipients, outcome, &Report::of(&refusal)));
                    self.finish(None, true)
                }
                None => self.finish(Some((recipients, out_of_place(&refusal))), false),
            };
        }
        let mut out = Vec::new();
        if transaction.ask(&mut out) {
            return self.to(State::Transaction(transaction), Action::Say(out, Step::Rcpt));
        }
        if transaction.accepted.is_empty() {
            return self.finish(None, true);
        }
        self.to(State::Data(transaction.accepted), Action::Say(b"DATA\r\n".to_vec(), Step::Data))
    }

    /// Nothing was decided for anybody.
    fn open(mut self, report: &Report, is_quit_due: bool) -> (Self, Action) {
        let recipients = std::mem::take(&mut self.envelope.recipients);
        self.finish(Some((recipients, report.clone())), is_quit_due)
    }

    fn finish(mut self, open: Option<(Vec<Mailbox>, Report)>, is_quit_due: bool) -> (Self, Action) {
        let settled = std::mem::take(&mut self.settled);
        let open = open.filter(|(recipients, _)| !recipients.is_empty());
        self.to(State::Finished, Action::Finish(Ending { settled, open, is_quit_due }))
    }

    fn to(mut self, state: State, action: Action) -> (Self, Action) {
        self.state = state;
        (self, action)
    }
}

impl Transaction {
    /// The next RCPTs; false when none is left.
    fn ask(&mut self, out: &mut Vec<u8>) -> bool {
        let count = if self.is_pipelined { GROUP } else { 1 }.min(self.waiting.len());
        for recipient in self.waiting.drain(..count) {
            out.extend_from_slice(format!("RCPT TO:<{recipient}>\r\n").as_bytes());
            self.asked.push_back(Some(recipient));
        }
        count > 0
    }

    /// Everybody for whom nothing is settled.
    fn undecided(self) -> Vec<Mailbox> {
        self.accepted.into_iter().chain(self.asked.into_iter().flatten()).chain(self.waiting).collect()
    }
}

/// What a reply that is no yes means; `None` when it is neither.
fn outcome_of(reply: &Reply) -> Option<Outcome> {
    match reply.code() {
        // Wanting a password or TLS is a matter between us and the server, not of the message (RFC 4954 §6).
        530 | 535 | 538 => Some(Outcome::Deferred),
        _ if reply.is_temporary() => Some(Outcome::Deferred),
        _ if reply.is_permanent() => Some(Outcome::Rejected),
        _ => None,
    }
}

fn out_of_place(reply: &Reply) -> Report {
    Report { reason: Reason::NotSmtp, ..Report::of(reply) }
}

#[cfg(test)]
mod tests;
