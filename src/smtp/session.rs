//! The socket loop: reads bytes, hands them to the machine, and does what it says.
//!
//! All waiting of a session happens here, each wait with its bound; nothing about the protocol is decided here. Replies to
//! pipelined commands leave in one write (RFC 2920 §3.2). A session that waits for a command owns no read buffer and no
//! reply buffer, so that idle peers cost next to nothing; inside a message it reads 64 KiB at a time, and the slices go
//! from there into the spool's own buffer.
//!
//! A session that is dropped at any moment loses nothing that was answered 250: at worst a message is on disk whose 250
//! was never sent, and the peer sends it again.
//!
//! # Security
//! Logs carry the peer's address and name, sizes, counts and ids; never an address or a byte of a message.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::ids::SessionId;
use crate::intake::{Acceptor, Intake, Offer, RecipientAnswer, RecipientQuery};
use crate::mail::envelope::{Certificate, Door, Origin};
use crate::smtp::reply::{self, Reply};
use crate::smtp::state::{Channel, Commission, Effect, Input, Machine, Phase, Settings, Step};
use crate::spool::Incoming;
use crate::tls::{self, ServerTls};
use ledger::Ledger;

mod ledger;
mod wire;

pub(super) use wire::Wire;

/// Read at once where a command is awaited.
const COMMAND_READ: usize = 8 * 1024;
/// Read at once inside a message.
const MESSAGE_READ: usize = 64 * 1024;
/// Replies that may wait while pipelined commands are worked off.
const REPLIES_WAITING: usize = 8 * 1024;
/// How long and how much is still read from a peer that was told to go, so that it can read why.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 256 * 1024);

/// What all sessions of a listener share.
#[derive(Debug)]
pub(super) struct Shared<I> {
    pub(super) settings: Arc<Settings>,
    pub(super) door: Door,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) intake: Arc<I>,
    pub(super) acceptor: Acceptor,
    pub(super) shutdown: CancellationToken,
}

/// Who is connected.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Peer {
    /// Its address; `None` for a program of this machine.
    pub(super) address: Option<IpAddr>,
    /// The load balancer that speaks for it.
    pub(super) proxy: Option<IpAddr>,
}

/// Serves one connection to its end.
pub(super) async fn run<I: Intake>(shared: Arc<Shared<I>>, wire: Wire, peer: Peer) {
    let id: SessionId = shared.acceptor.clock().mint();
    let channel = match (&shared.tls, shared.door) {
        (None, _) => Channel::Clear,
        (Some(_), Door::Smtps) => Channel::Encrypted,
        (Some(_), _) => Channel::Upgradable,
    };
    let mut session = Session {
        id,
        peer,
        tls: None,
        certificate: None,
        wire,
        machine: Machine::new(Arc::clone(&shared.settings), channel),
        out: Vec::new(),
        incoming: None,
        ledger: None,
        command_deadline: Instant::now() + shared.settings.limits().command_timeout,
        message_deadline: None,
        shared,
    };
    let shown = peer.address.map(tracing::field::display);
    debug!(session.id = %id, peer.ip = shown, "Session `{id}` begins");
    let end = session.serve().await;
    session.close_ledger(0);
    let error = end.err().map(|error| tracing::field::display(error.kind()));
    debug!(session.id = %id, peer.ip = shown, error.kind = error, "Session `{id}` ends");
}

struct Session<I> {
    shared: Arc<Shared<I>>,
    id: SessionId,
    peer: Peer,
    /// Version and cipher suite, under TLS.
    tls: Option<Box<str>>,
    /// What the peer proved to hold, under TLS.
    certificate: Option<Box<Certificate>>,
    wire: Wire,
    machine: Machine,
    /// Replies that have not been sent.
    out: Vec<u8>,
    /// The message that is coming in.
    incoming: Option<Box<Incoming>>,
    /// What is written to the log about the open transaction.
    ledger: Option<Box<Ledger>>,
    command_deadline: Instant,
    message_deadline: Option<Instant>,
}

/// What came of waiting for the peer.
enum Heard {
    Bytes,
    End,
    Nothing(Input<'static>),
}

impl<I: Intake> Session<I> {
    async fn serve(&mut self) -> io::Result<()> {
        if self.shared.door == Door::Smtps {
            self.handshake().await?;
        }
        self.say(&self.machine.greeting());
        let mut inbox = Vec::new();
        loop {
            self.work_off(&inbox).await?;
            self.flush().await?;
            if self.machine.phase() == Phase::Closed {
                return self.hang_up().await;
            }
            inbox.clear();
            match self.hear(&mut inbox).await? {
                Heard::Bytes => {}
                Heard::End => return Ok(()),
                Heard::Nothing(why) => {
                    let step = self.machine.on(why);
                    self.perform(step).await?;
                }
            }
        }
    }

    /// Feeds the machine until it wants more.
    async fn work_off(&mut self, inbox: &[u8]) -> io::Result<()> {
        let mut rest = inbox;
        loop {
            let step = self.machine.on(Input::Bytes(rest));
            if step.is_idle() || self.machine.phase() == Phase::Closed && step.reply.is_none() {
                return Ok(());
            }
            rest = rest.get(step.consumed..).unwrap_or_default();
            self.perform(step).await?;
            if self.out.len() >= REPLIES_WAITING {
                self.flush().await?;
            }
        }
    }

    /// Writes the reply and does the effect of a step, and of those that its answers lead to.
    async fn perform(&mut self, mut step: Step<'_>) -> io::Result<()> {
        loop {
            if let Some(reply) = step.reply.take() {
                self.say(&reply);
                if !self.machine.is_in_transaction() {
                    self.close_ledger(reply.code());
                }
            }
            let answer = match step.effect {
                Effect::None | Effect::Close => return Ok(()),
                Effect::Body(run) => {
                    if self.keep(run).await {
                        return Ok(());
                    }
                    Input::BodyFailed
                }
                Effect::Discard => {
                    self.incoming = None;
                    return Ok(());
                }
                Effect::Admit => {
                    self.forget_message();
                    self.ledger = Some(Box::new(Ledger::open(self.shared.acceptor.clock().now())));
                    Input::Admission(self.shared.acceptor.admission())
                }
                Effect::Recipient => {
                    let answer = self.ask().await;
                    if let Some(ledger) = &mut self.ledger {
                        ledger.asked(answer);
                    }
                    Input::Recipient(answer)
                }
                Effect::Commit(commission) => {
                    // RFC 2920 §3.2: nothing that is already decided waits for the disk.
                    self.flush().await?;
                    self.commit(*commission).await
                }
                Effect::Secure => {
                    // RFC 3207 §4.2: no byte that came in the clear may be part of what follows under TLS.
                    self.forget_message();
                    self.flush().await?;
                    self.handshake().await?;
                    Input::Secured
                }
            };
            step = self.machine.on(answer);
        }
    }

    /// Drops all there is of a message that was not committed.
    fn forget_message(&mut self) {
        self.incoming = None;
        self.message_deadline = None;
        self.close_ledger(0);
    }

    async fn keep(&mut self, run: &[u8]) -> bool {
        let incoming = self.incoming.get_or_insert_with(|| Box::new(self.shared.acceptor.begin()));
        let result = incoming.push(run).await;
        if let Err(error) = &result {
            warn!(session.id = %self.id, error.kind = %error, temporary = true, "The spool takes no bytes");
        }
        result.is_ok()
    }

    async fn ask(&self) -> RecipientAnswer {
        let Some(question) = self.machine.asked() else {
            return RecipientAnswer::Unavailable;
        };
        let query = RecipientQuery {
            name: question.name,
            reverse_path: question.reverse_path,
            announced_size: question.announced_size,
            origin: &self.origin(question.helo),
        };
        // Boxed: the future of the layers above must not make every idle session larger.
        let answer = Box::pin(self.shared.intake.recipient(&query));
        let patience = self.shared.settings.limits().recipient_timeout;
        timeout(patience, answer).await.unwrap_or(RecipientAnswer::Unavailable)
    }

    /// Who hands the message over.
    fn origin(&self, helo: &str) -> Origin {
        Origin {
            door: self.shared.door,
            session: self.id,
            peer: self.peer.address,
            proxy: self.peer.proxy,
            helo: helo.to_owned(),
            tls: self.tls.as_deref().map(str::to_owned),
            authenticated: None,
            certificate: self.certificate.as_deref().cloned(),
        }
    }

    async fn commit(&mut self, commission: Commission) -> Input<'static> {
        self.message_deadline = None;
        let incoming = match self.incoming.take() {
            Some(incoming) => *incoming,
            None => self.shared.acceptor.begin(),
        };
        let offer = Offer {
            envelope: commission.envelope,
            origin: self.origin(self.machine.helo()),
            defects: commission.defects,
            milter: None,
        };
        // Boxed for the same reason as the question about a recipient.
        match Box::pin(self.shared.acceptor.accept(incoming, offer)).await {
            Ok(message) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.stored(&message);
                }
                Input::Stored(reply::accepted(&message))
            }
            Err(error) => {
                warn!(session.id = %self.id, error.kind = %error, temporary = true, "A message could not be stored");
                Input::NotStored
            }
        }
    }

    fn say(&mut self, reply: &Reply) {
        if !reply.reason().is_empty() {
            metrics::counter!("connex_smtp_refused_total", "reason" => reply.reason()).increment(1);
        }
        reply.write(&mut self.out);
        self.command_deadline = Instant::now() + self.shared.settings.limits().command_timeout;
    }

    fn close_ledger(&mut self, code: u16) {
        if let Some(ledger) = self.ledger.take() {
            ledger.close(self, code);
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        let wire = &mut self.wire;
        let send = async {
            wire.write_all(&out).await?;
            wire.flush().await
        };
        timeout(self.shared.settings.limits().command_timeout, send).await?
    }

    /// Waits for bytes, as long as the phase allows.
    async fn hear(&mut self, inbox: &mut Vec<u8>) -> io::Result<Heard> {
        let limits = self.shared.settings.limits();
        let now = Instant::now();
        let (deadline, size, may_stop) = match self.machine.phase() {
            Phase::Message => {
                let whole = *self.message_deadline.get_or_insert(now + limits.message_timeout);
                (whole.min(now + limits.data_timeout), MESSAGE_READ, false)
            }
            Phase::Command | Phase::Closed => {
                self.message_deadline = None;
                (self.command_deadline, COMMAND_READ, true)
            }
        };
        // Asked first: a peer that never stops sending would otherwise never be late.
        if now >= deadline {
            return Ok(Heard::Nothing(Input::TimedOut));
        }
        tokio::select! {
            biased;
            () = self.shared.shutdown.cancelled(), if may_stop => Ok(Heard::Nothing(Input::ShuttingDown)),
            read = read_some(&mut self.wire, inbox, size) => Ok(if read? == 0 { Heard::End } else { Heard::Bytes }),
            () = sleep_until(deadline) => Ok(Heard::Nothing(Input::TimedOut)),
        }
    }

    async fn handshake(&mut self) -> io::Result<()> {
        let (Some(tls), Wire::Plain(stream)) = (&self.shared.tls, std::mem::replace(&mut self.wire, Wire::Gone)) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let handshake = Box::pin(tls.accept(stream));
        let result = timeout(self.shared.settings.limits().handshake_timeout, handshake).await;
        let outcome = if matches!(result, Ok(Ok(_))) { "ok" } else { "failed" };
        metrics::counter!("connex_smtp_handshakes_total", "outcome" => outcome).increment(1);
        let stream = result??;
        self.tls = Some(tls::description(&stream));
        self.certificate = tls.client_certificate(&stream, self.shared.acceptor.clock().now()).map(Box::new);
        self.wire = Wire::Tls(Box::new(stream));
        self.command_deadline = Instant::now() + self.shared.settings.limits().command_timeout;
        Ok(())
    }

    /// Ends the connection so that the last reply arrives: a close with unread bytes would be a reset that overtakes it.
    async fn hang_up(&mut self) -> io::Result<()> {
        let (patience, most) = LINGER;
        let wire = &mut self.wire;
        let farewell = async {
            wire.shutdown().await?;
            let mut read = 0;
            let mut scrap = Vec::new();
            while read < most {
                scrap.clear();
                match read_some(wire, &mut scrap, COMMAND_READ).await? {
                    0 => break,
                    count => read += count,
                }
            }
            Ok(())
        };
        timeout(patience, farewell).await?
    }
}

/// Reads into `inbox` what is there; while nothing is, no buffer of a command's size is kept.
async fn read_some(wire: &mut Wire, inbox: &mut Vec<u8>, size: usize) -> io::Result<usize> {
    poll_fn(|context| {
        inbox.reserve_exact(size);
        let poll = {
            let read = pin!(wire.read_buf(inbox));
            read.poll(context)
        };
        if poll.is_pending() && size < MESSAGE_READ {
            *inbox = Vec::new();
        }
        poll
    })
    .await
}
