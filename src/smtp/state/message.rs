//! DATA and BDAT: the octets of one message, to their true end.
//!
//! A message that is refused on the way is read on and dropped, and the refusal is the answer to its end: its lines must
//! never be taken for commands. NUL is kept in DATA and BDAT alike; only bare CR and LF in DATA are a fault, as they are
//! what other servers disagree about. BDAT is exact to the octet, bare line breaks included.

use super::{Commission, Effect, Machine, Next, State, Step, Transaction};
use crate::mail::envelope::{BodyKind, TransferDefect};
use crate::smtp::body::{DataReceiver, Piece};
use crate::smtp::command;
use crate::smtp::reply::{self, Reply};

/// Inside DATA.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) transaction: Box<Transaction>,
    receiver: DataReceiver,
    fate: Fate,
    defects: Vec<TransferDefect>,
}

/// What will become of a message.
#[derive(Debug)]
enum Fate {
    Keep,
    Refuse(Reply),
    /// A copy that is over its limit: nobody will send it again.
    Lose,
}

/// Inside the octets of a BDAT.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) transaction: Box<Transaction>,
    left: u64,
    last: command::Chunk,
}

/// Inside the octets of a BDAT that is refused: they are dropped, then the refusal is said.
#[derive(Debug)]
pub(super) struct Skipping {
    left: u64,
    reply: Reply,
    next: State,
    /// The copy that is lost by it, and whether its beginning is remembered.
    lost: Option<(Box<Commission>, bool)>,
}

impl Machine {
    pub(super) fn data<'a>(&mut self, state: State) -> Next<'a> {
        match state {
            State::Addressing(transaction) if !transaction.has_recipients() => {
                self.fault(State::Addressing(transaction), reply::RCPT_FIRST)
            }
            State::Addressing(transaction) if transaction.body() == BodyKind::BinaryMime => {
                self.fault(State::Addressing(transaction), reply::BINARY_NEEDS_BDAT)
            }
            State::Addressing(transaction) => {
                let receiver = DataReceiver::new();
                let receiving = Receiving { transaction, receiver, fate: Fate::Keep, defects: Vec::new() };
                (State::Receiving(Box::new(receiving)), Step::reply(reply::START_DATA))
            }
            state => self.fault(state, reply::MAIL_FIRST),
        }
    }

    pub(super) fn bdat<'a>(&mut self, state: State, size: u64, last: command::Chunk) -> Next<'a> {
        match state {
            State::Addressing(transaction) | State::BetweenChunks(transaction) if transaction.has_recipients() => {
                if transaction.size.saturating_add(size) > transaction.limit {
                    let reply = reply::TOO_LARGE.times(replies(&transaction, last));
                    let skipping = if transaction.is_copy() {
                        let remembers = transaction.remembers_head();
                        let (next, commission) = lose(*transaction, Vec::new());
                        Skipping { left: size, reply, next, lost: Some((commission, remembers)) }
                    } else {
                        Skipping { left: size, reply, next: transaction.end(), lost: None }
                    };
                    return (State::Skipping(Box::new(skipping)), Step::effect(Effect::Discard));
                }
                (State::Chunk(Box::new(Chunk { transaction, left: size, last })), Step::nothing())
            }
            State::Addressing(transaction) => self.skip(State::Addressing(transaction), size, reply::RCPT_FIRST),
            state => self.skip(state, size, reply::MAIL_FIRST),
        }
    }

    /// RFC 3030 §2: the octets of a chunk follow whatever the answer will be.
    fn skip<'a>(&mut self, state: State, left: u64, reply: Reply) -> Next<'a> {
        let (next, step) = self.fault(state, reply);
        match step {
            Step { reply: Some(reply), effect: Effect::None, .. } => {
                (State::Skipping(Box::new(Skipping { left, reply, next, lost: None })), Step::nothing())
            }
            step => (next, step),
        }
    }
}

impl Receiving {
    pub(super) fn take<'a>(mut self: Box<Self>, bytes: &'a [u8]) -> Next<'a> {
        let (consumed, piece) = self.receiver.next(bytes);
        let (state, step) = match piece {
            Piece::Run(run) => self.keep(run),
            Piece::BareBreak(run) if self.transaction.is_copy() => {
                self.defects.push(TransferDefect::BareLf);
                self.keep(run)
            }
            Piece::BareBreak(run) => match self.keep(run) {
                (State::Receiving(receiving), Step { effect: Effect::Body(_) | Effect::None, .. }) => {
                    receiving.refuse(reply::BARE_LINE_BREAK)
                }
                over_the_limit => over_the_limit,
            },
            Piece::End => match self.fate {
                Fate::Keep => commit(*self.transaction, self.defects),
                Fate::Refuse(reply) => {
                    let reply = reply.times(self.transaction.replies());
                    (self.transaction.end(), Step::reply(reply))
                }
                Fate::Lose => {
                    let reply = reply::TOO_LARGE.times(self.transaction.replies());
                    let (next, commission) = lose(*self.transaction, self.defects);
                    (next, Step { consumed: 0, reply: Some(reply), effect: Effect::Lose(commission) })
                }
            },
        };
        match state {
            // Only an octet that was held back was dealt with, and nothing came of it: it must not look like waiting.
            State::Receiving(receiving) if consumed == 0 && step.is_idle() && !bytes.is_empty() => {
                receiving.take(bytes)
            }
            state => (state, Step { consumed, ..step }),
        }
    }

    fn keep<'a>(mut self: Box<Self>, run: &'a [u8]) -> Next<'a> {
        let remembers = self.transaction.remembers_head();
        match self.fate {
            Fate::Keep if !run.is_empty() => {}
            Fate::Lose if remembers && !run.is_empty() => {
                return (State::Receiving(self), Step::effect(Effect::Head(run)));
            }
            Fate::Keep | Fate::Lose | Fate::Refuse(_) => return (State::Receiving(self), Step::nothing()),
        }
        self.transaction.size = self.transaction.size.saturating_add(octets(run));
        if self.transaction.size > self.transaction.limit {
            if self.transaction.is_copy() {
                self.fate = Fate::Lose;
                let effect = if remembers { Effect::Head(run) } else { Effect::Discard };
                return (State::Receiving(self), Step::effect(effect));
            }
            return self.refuse(reply::TOO_LARGE); // RFC 1870 §6.3
        }
        (State::Receiving(self), Step::effect(Effect::Body(run)))
    }

    /// The first fault decides.
    fn refuse<'a>(mut self: Box<Self>, reply: Reply) -> Next<'a> {
        if !matches!(self.fate, Fate::Keep) {
            return (State::Receiving(self), Step::nothing());
        }
        self.fate = Fate::Refuse(reply);
        (State::Receiving(self), Step::effect(Effect::Discard))
    }

    /// The spool takes no more of it.
    pub(super) fn fail<'a>(self: Box<Self>) -> Next<'a> {
        self.refuse(reply::TRY_AGAIN)
    }
}

impl Chunk {
    /// Octets up to the end of the chunk; the step after the last of them, which may have no input, answers it.
    pub(super) fn take(mut self: Box<Self>, bytes: &[u8]) -> Next<'_> {
        if self.left == 0 {
            return self.end();
        }
        let run = within(bytes, self.left);
        if run.is_empty() {
            return (State::Chunk(self), Step::nothing());
        }
        self.left = self.left.saturating_sub(octets(run));
        self.transaction.size = self.transaction.size.saturating_add(octets(run));
        (State::Chunk(self), Step { consumed: run.len(), reply: None, effect: Effect::Body(run) })
    }

    fn end<'a>(self) -> Next<'a> {
        match self.last {
            command::Chunk::More => (State::BetweenChunks(self.transaction), Step::reply(reply::CHUNK_OK)),
            command::Chunk::Last => commit(*self.transaction, Vec::new()),
        }
    }

    /// The spool takes no more of it.
    pub(super) fn fail<'a>(self) -> Next<'a> {
        let reply = reply::TRY_AGAIN.times(replies(&self.transaction, self.last));
        let next = self.transaction.end();
        let skipping = Skipping { left: self.left, reply, next, lost: None };
        (State::Skipping(Box::new(skipping)), Step::effect(Effect::Discard))
    }
}

impl Skipping {
    /// As [`Chunk::take`], but nothing is kept but the beginning of a copy that is lost.
    pub(super) fn take<'a>(mut self: Box<Self>, bytes: &'a [u8]) -> Next<'a> {
        if self.left == 0 {
            let effect = self.lost.map_or(Effect::None, |(commission, _)| Effect::Lose(commission));
            return (self.next, Step { consumed: 0, reply: Some(self.reply), effect });
        }
        let run = within(bytes, self.left);
        self.left = self.left.saturating_sub(octets(bytes));
        let is_remembered = !run.is_empty() && self.lost.as_ref().is_some_and(|(_, remembers)| *remembers);
        let effect = if is_remembered { Effect::Head(run) } else { Effect::None };
        (State::Skipping(self), Step { consumed: run.len(), reply: None, effect })
    }
}

/// The part of `bytes` that belongs to a chunk with `left` octets to come.
fn within(bytes: &[u8], left: u64) -> &[u8] {
    usize::try_from(left).ok().and_then(|left| bytes.get(..left)).unwrap_or(bytes)
}

/// How many replies a chunk has: that of the end of the message where it is the last (RFC 2033 §4.3).
fn replies(transaction: &Transaction, chunk: command::Chunk) -> usize {
    match chunk {
        command::Chunk::More => 1,
        command::Chunk::Last => transaction.replies(),
    }
}

fn octets(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The session after a copy that is lost, and what is recorded of it.
fn lose(transaction: Transaction, mut defects: Vec<TransferDefect>) -> (State, Box<Commission>) {
    defects.push(TransferDefect::OverSize);
    let (greeted, envelope) = transaction.into_parts();
    (State::Greeted(greeted), Box::new(Commission { envelope, defects }))
}

fn commit<'a>(transaction: Transaction, defects: Vec<TransferDefect>) -> Next<'a> {
    let replies = transaction.replies();
    if transaction.is_submission() {
        let (greeted, recipients) = transaction.into_submission();
        return (State::Committing { greeted, replies }, Step::effect(Effect::Submit(recipients)));
    }
    let (greeted, envelope) = transaction.into_parts();
    (State::Committing { greeted, replies }, Step::effect(Effect::Commit(Box::new(Commission { envelope, defects }))))
}
