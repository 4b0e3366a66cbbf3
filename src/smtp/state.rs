//! The SMTP session as a state machine without IO: bytes and answers in, replies and effects out.
//!
//! It must never read a clock, wait, or keep more of the input than one command line. One call of [`Machine::on`] makes
//! one [`Step`]; whoever drives it writes the reply, does the effect, and comes back with the effect's answer, or else with
//! the bytes that were not used, also when none are left, until a step does nothing. How bytes are cut into pieces changes nothing.
//! LMTP is this machine with another word for EHLO and a reply for each recipient; submission asks nobody about recipients,
//! and takes nothing from who has not said who it is ([`Dialect`]).
//!
//! Standards: RFC 5321 §3.3, §4.1.4 (order of commands), RFC 2920 (PIPELINING), RFC 3030 (BDAT), RFC 3207 §4 (STARTTLS),
//! RFC 1870 §6 (SIZE), RFC 6531 §3 (SMTPUTF8), RFC 2033 §4 (LMTP), RFC 4954 (AUTH), RFC 6409 §4.3 (submission needs it).
//!
//! # Security
//! STARTTLS inside a transaction is refused, so that no byte sent in the clear can become part of a message under TLS. What
//! follows STARTTLS before the handshake is used up unread, with all that was said before. A refused message is
//! read to its true end before the refusal, so that its lines never become commands.

mod auth;
mod message;
mod step;
mod transaction;

use std::sync::Arc;

use crate::mail::address::{Domain, Mailbox};
use crate::smtp::command::{self, Command, Fault};
use crate::smtp::limits::Limits;
use crate::smtp::line::{self, Line, LineBuffer};
use crate::smtp::reply::{self, HostReplies, Reply};
use auth::Exchange;
use message::{Chunk, Receiving, Skipping};
pub use step::{Commission, Effect, Input, Phase, Question, Step};
use transaction::{Asked, Transaction};

/// What all sessions of a listener have in common.
#[derive(Debug)]
pub struct Settings {
    dialect: Dialect,
    hostname: Domain,
    replies: HostReplies,
    postmaster: Option<Mailbox>,
    limits: Limits,
}

impl Settings {
    /// Settings of a host that calls itself `hostname`.
    #[must_use]
    pub fn new(hostname: &Domain, limits: Limits) -> Self {
        Self {
            dialect: Dialect::Smtp,
            hostname: hostname.clone(),
            replies: HostReplies::new(hostname, &limits),
            postmaster: Mailbox::parse(&format!("postmaster@{hostname}")).ok(),
            limits,
        }
    }

    /// The same for a listener that speaks `dialect`; without it, that is SMTP.
    #[must_use]
    pub fn speaking(mut self, dialect: Dialect) -> Self {
        if dialect == Dialect::Submission {
            self.replies = HostReplies::of_submission(&self.hostname, &self.limits);
        }
        self.dialect = dialect;
        self
    }

    /// The bounds of a session.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Which of the two protocols is spoken; they have the same commands but for the first (RFC 2033 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SMTP: HELO or EHLO, and one reply for a message.
    Smtp,
    /// LMTP: LHLO, and one reply for each recipient of a message.
    Lmtp,
    /// SMTP from programs that want mail sent (RFC 6409): AUTH comes first, and recipients may be anywhere.
    Submission,
}

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// In the clear, and there is no certificate.
    Clear,
    /// In the clear, and STARTTLS is offered.
    Upgradable,
    /// Under TLS.
    Encrypted,
}

/// One session.
#[derive(Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    channel: Channel,
    state: State,
    line: LineBuffer,
    errors: u32,
    /// Commands without a message since the last message that was taken.
    idle_commands: u32,
    messages: u32,
    is_authenticated: bool,
}

#[derive(Debug)]
enum State {
    /// Neither EHLO nor HELO was said.
    Connected,
    /// Between transactions.
    Greeted(Greeted),
    /// MAIL was read; whether there is room is asked.
    Admitting(Box<Transaction>),
    /// MAIL was taken.
    Addressing(Box<Transaction>),
    /// RCPT was read; whom it names is asked.
    Asking(Box<Asked>),
    /// Inside DATA.
    Receiving(Box<Receiving>),
    /// Inside the octets of a BDAT.
    Chunk(Box<Chunk>),
    /// A BDAT was taken and the message is not complete.
    BetweenChunks(Box<Transaction>),
    /// Inside the octets of a BDAT that is refused.
    Skipping(Box<Skipping>),
    /// The message is complete; the spool is asked to keep it.
    Committing { greeted: Greeted, replies: usize },
    /// AUTH waits for the peer's next response.
    Authenticating(Box<Exchange>),
    /// AUTH is complete; whether the peer is who it says is asked.
    Verifying(Greeted),
    /// STARTTLS was answered; the handshake comes.
    Securing,
    /// Nothing is read any more.
    Closed,
}

/// What the peer called itself.
#[derive(Debug)]
struct Greeted {
    helo: Box<str>,
    dialect: Dialect,
}

/// The first octet of a TLS handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

type Next<'a> = (State, Step<'a>);

impl Machine {
    /// A session that has just been connected, or secured where TLS comes first.
    #[must_use]
    pub fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        Self {
            settings,
            channel,
            state: State::Connected,
            line: LineBuffer::default(),
            errors: 0,
            idle_commands: 0,
            messages: 0,
            is_authenticated: false,
        }
    }

    /// The greeting, to be sent before anything is read (RFC 5321 §3.1).
    #[must_use]
    pub fn greeting(&self) -> Reply {
        match self.settings.dialect {
            Dialect::Smtp | Dialect::Submission => self.settings.replies.greeting(),
            Dialect::Lmtp => self.settings.replies.greeting_lmtp(),
        }
    }

    /// What the session is waiting for.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match &self.state {
            State::Receiving(_) | State::Chunk(_) | State::BetweenChunks(_) | State::Skipping(_) => Phase::Message,
            State::Closed => Phase::Closed,
            _ => Phase::Command,
        }
    }

    /// Commands that were refused for good, or were idle beyond what is free, so far.
    #[must_use]
    pub const fn errors(&self) -> u32 {
        self.errors
    }

    /// Whether MAIL was read and its transaction is not over.
    #[must_use]
    pub const fn is_in_transaction(&self) -> bool {
        !matches!(
            &self.state,
            State::Connected
                | State::Greeted(_)
                | State::Authenticating(_)
                | State::Verifying(_)
                | State::Securing
                | State::Closed
        )
    }

    /// Whether the beginning of the message that comes in is remembered beside it.
    #[must_use]
    pub fn remembers_head(&self) -> bool {
        match &self.state {
            State::Receiving(receiving) => receiving.transaction.remembers_head(),
            State::Chunk(chunk) => chunk.transaction.remembers_head(),
            _ => false,
        }
    }

    /// What the peer called itself; empty when it did not.
    #[must_use]
    pub fn helo(&self) -> &str {
        match &self.state {
            State::Greeted(greeted) | State::Verifying(greeted) | State::Committing { greeted, .. } => &greeted.helo,
            State::Authenticating(exchange) => exchange.helo(),
            State::Admitting(transaction) | State::Addressing(transaction) | State::BetweenChunks(transaction) => {
                transaction.helo()
            }
            State::Asking(asked) => asked.transaction.helo(),
            State::Receiving(receiving) => receiving.transaction.helo(),
            State::Chunk(chunk) => chunk.transaction.helo(),
            State::Connected | State::Skipping(_) | State::Securing | State::Closed => "",
        }
    }

    /// The recipient that [`Effect::Recipient`] asks about.
    #[must_use]
    pub fn asked(&self) -> Option<Question<'_>> {
        match &self.state {
            State::Asking(asked) => Some(asked.question()),
            _ => None,
        }
    }

    /// Goes on by one step. Bytes that the step did not use are given again after its effect was done; more are wanted when
    /// [`Step::is_idle`].
    pub fn on<'a>(&mut self, input: Input<'a>) -> Step<'a> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let (state, step) = self.next(state, input);
        self.state = state;
        step
    }

    fn next<'a>(&mut self, state: State, input: Input<'a>) -> Next<'a> {
        match (state, input) {
            (State::Closed, Input::Bytes(bytes)) => {
                (State::Closed, Step { consumed: bytes.len(), reply: None, effect: Effect::Close })
            }
            (State::Closed, _) => (State::Closed, Step::effect(Effect::Close)),
            (_, Input::TimedOut) => Self::close(reply::TIMED_OUT),
            (_, Input::ShuttingDown) => Self::close(reply::SHUTTING_DOWN),
            (state, Input::Bytes(bytes)) => self.bytes(state, bytes),
            (State::Admitting(transaction), Input::Admission(admission)) => self.admitted(transaction, admission),
            (State::Asking(asked), Input::Recipient(answer)) => self.answered(*asked, answer),
            (State::Asking(asked), Input::TenantBusy) => {
                self.fault(State::Addressing(asked.transaction), reply::TENANT_BUSY)
            }
            (State::Receiving(receiving), Input::BodyFailed) => receiving.fail(),
            (State::Chunk(chunk), Input::BodyFailed) => chunk.fail(),
            (State::Committing { greeted, replies }, Input::Stored(accepted)) => {
                self.messages = self.messages.saturating_add(1);
                self.idle_commands = 0;
                (State::Greeted(greeted), Step::reply(accepted.into_reply().times(replies)))
            }
            (State::Committing { greeted, replies }, Input::NotStored) => {
                (State::Greeted(greeted), Step::reply(reply::TRY_AGAIN.times(replies)))
            }
            (State::Committing { greeted, .. }, Input::NotDrafted(reply)) => self.fault(State::Greeted(greeted), reply),
            (State::Verifying(greeted), Input::Authenticated(answer)) => self.authenticated(greeted, answer),
            (State::Committing { greeted, replies }, Input::Refused) => {
                (State::Greeted(greeted), Step::reply(reply::NOT_AUTHENTIC.times(replies)))
            }
            (State::Securing, Input::Secured) => {
                // RFC 3207 §4.2: nothing that was said before counts.
                self.channel = Channel::Encrypted;
                self.line = LineBuffer::default();
                (State::Connected, Step::nothing())
            }
            // An answer to a question that was not asked changes nothing.
            (state, _) => (state, Step::nothing()),
        }
    }

    fn bytes<'a>(&mut self, state: State, bytes: &'a [u8]) -> Next<'a> {
        match state {
            State::Receiving(receiving) => receiving.take(bytes),
            State::Chunk(chunk) => chunk.take(bytes),
            State::Skipping(skipping) => skipping.take(bytes),
            // RFC 3207 §4.2: bytes that overtook the handshake are thrown away.
            State::Securing => (State::Securing, Step { consumed: bytes.len(), ..Step::nothing() }),
            // A question is open: the bytes wait.
            state @ (State::Admitting(_) | State::Asking(_) | State::Committing { .. } | State::Verifying(_)) => {
                (state, Step::nothing())
            }
            State::Authenticating(exchange) => self.response(exchange, bytes),
            // A client that speaks TLS from the first byte would otherwise wait for an answer that never comes.
            State::Connected if bytes.starts_with(&[TLS_HANDSHAKE]) && self.line.is_empty() => {
                let (state, step) = Self::close(reply::TLS_NOT_HERE);
                (state, Step { consumed: bytes.len(), ..step })
            }
            state => self.line(state, bytes),
        }
    }

    fn line<'a>(&mut self, state: State, bytes: &'a [u8]) -> Next<'a> {
        let (consumed, line) = self.line.take(bytes, self.settings.limits.command_line);
        let (state, mut step) = match line {
            None => (state, Step::nothing()),
            Some(Line::Overlong) => self.fault(state, reply::LINE_TOO_LONG),
            Some(Line::Whole(line)) => match line::text(&line) {
                None => self.fault(state, reply::BAD_LINE),
                Some(text) => match command::parse(text) {
                    Ok(command) => self.command(state, command),
                    Err(Fault::Reply(reply)) => self.fault(state, reply),
                    Err(Fault::FramingLost) => Self::close(reply::FRAMING_LOST),
                    Err(Fault::Http) => Self::close(reply::NOT_HTTP),
                },
            },
        };
        // RFC 3207 §4.2: what came with STARTTLS goes with it.
        step.consumed = if matches!(state, State::Securing) { bytes.len() } else { consumed };
        (state, step)
    }

    fn command<'a>(&mut self, state: State, command: Command) -> Next<'a> {
        if command.is_idle() && !self.is_free() {
            self.errors = self.errors.saturating_add(1);
            if self.errors >= self.settings.limits.errors {
                return Self::close(reply::TOO_MANY_ERRORS);
            }
        }
        match (state, command) {
            (state, Command::Bdat { size, last }) => self.bdat(state, size, last),
            (state, Command::Quit) => {
                drop(state);
                (State::Closed, Step { consumed: 0, reply: Some(reply::GOODBYE), effect: Effect::Close })
            }
            (state, Command::Noop) => (state, Step::reply(reply::NOTHING_DONE)),
            (state, Command::Vrfy) => (state, Step::reply(reply::CANNOT_VERIFY)),
            (state, Command::Help) => (state, Step::reply(reply::HELP)),
            (state, Command::Rset) => Self::reset(state),
            (state, Command::Lhlo(_)) if self.settings.dialect != Dialect::Lmtp => {
                self.fault(state, reply::UNKNOWN_COMMAND)
            }
            (state, Command::Ehlo(_) | Command::Helo(_)) if self.settings.dialect == Dialect::Lmtp => {
                self.fault(state, reply::THIS_IS_LMTP)
            }
            (state, Command::Ehlo(helo) | Command::Lhlo(helo)) => {
                let reply = match self.channel {
                    Channel::Upgradable => self.settings.replies.ehlo_offering_tls(),
                    Channel::Encrypted if self.offers_auth() => self.settings.replies.ehlo_offering_auth(),
                    Channel::Clear | Channel::Encrypted => self.settings.replies.ehlo(),
                };
                self.greet(&state, helo, reply)
            }
            (state, Command::Helo(helo)) => self.greet(&state, helo, self.settings.replies.helo()),
            (state, Command::StartTls) => self.start_tls(state),
            (State::BetweenChunks(transaction), _) => {
                self.fault(State::BetweenChunks(transaction), reply::BDAT_GOES_ON) // RFC 3030 §3
            }
            (state, Command::Auth { mechanism, initial }) => self.auth(state, &mechanism, initial.as_deref()),
            (state, Command::Mail(mail)) => self.mail(state, *mail),
            (state, Command::Rcpt(rcpt)) => self.rcpt(state, *rcpt),
            (state, Command::Data) => self.data(state),
        }
    }

    /// RFC 5321 §4.1.4: EHLO and HELO end an open transaction as RSET does.
    fn greet<'a>(&self, state: &State, helo: Box<str>, reply: Reply) -> Next<'a> {
        let effect = if matches!(state, State::BetweenChunks(_)) { Effect::Discard } else { Effect::None };
        let greeted = Greeted { helo, dialect: self.settings.dialect };
        (State::Greeted(greeted), Step { consumed: 0, reply: Some(reply), effect })
    }

    fn reset<'a>(state: State) -> Next<'a> {
        let (state, effect) = match state {
            State::Addressing(transaction) => (transaction.end(), Effect::None),
            State::BetweenChunks(transaction) => (transaction.end(), Effect::Discard),
            state => (state, Effect::None),
        };
        (state, Step { consumed: 0, reply: Some(reply::RESET), effect })
    }

    /// Only between transactions: RFC 3207 §4.2 throws away all that was said in the clear, and what is refused here cannot
    /// be left over there. Nothing of a message may be open when the handshake begins.
    fn start_tls<'a>(&mut self, state: State) -> Next<'a> {
        match (self.channel, &state) {
            (Channel::Clear, _) => self.fault(state, reply::NOT_IMPLEMENTED),
            (Channel::Encrypted, _) => self.fault(state, reply::TLS_ALREADY),
            (Channel::Upgradable, State::BetweenChunks(_)) => self.fault(state, reply::BDAT_GOES_ON), // RFC 3030 §3
            (Channel::Upgradable, State::Connected | State::Greeted(_)) => {
                (State::Securing, Step { consumed: 0, reply: Some(reply::START_TLS), effect: Effect::Secure })
            }
            (Channel::Upgradable, _) => self.fault(state, reply::TLS_INSIDE_TRANSACTION),
        }
    }

    /// Whether one more idle command is free. A peer that does nothing else would cost a processor and hand nothing over.
    fn is_free(&mut self) -> bool {
        self.idle_commands = self.idle_commands.saturating_add(1);
        self.idle_commands <= self.settings.limits.idle_commands
    }

    /// Refuses a command; one refusal too many ends the session.
    fn fault<'a>(&mut self, state: State, reply: Reply) -> Next<'a> {
        if reply.is_permanent() {
            self.errors = self.errors.saturating_add(1);
        }
        if self.errors >= self.settings.limits.errors {
            return Self::close(reply::TOO_MANY_ERRORS);
        }
        (state, Step::reply(reply))
    }

    fn close<'a>(reply: Reply) -> Next<'a> {
        (State::Closed, Step { consumed: 0, reply: Some(reply), effect: Effect::Close })
    }
}

#[cfg(test)]
mod tests;
