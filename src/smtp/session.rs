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
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::ids::{KeyId, SessionId};
use crate::intake::{Acceptor, AuthenticationAnswer, Credentials, Intake, Offer, RecipientAnswer, RecipientQuery};
use crate::mail::envelope::{Certificate, Door, Origin};
use crate::smtp::memory::Share;
use crate::smtp::pool::Pool;
use crate::smtp::reply::{self, Reply};
use crate::smtp::state::{Channel, Commission, Effect, Input, Machine, Phase, Settings, Step};
use crate::spool::{Admission, Incoming, SpoolError};
use crate::tls::{self, ClientCertificates, ServerTls};
use head::Head;
use ledger::Ledger;
use pace::Pace;
use submitting::Gathered;

mod counters;
mod head;
mod ledger;
mod pace;
mod submitting;
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
    pub(super) pool: Pool,
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
        (Some(_), door) if door.is_tls_first() => Channel::Encrypted,
        (Some(_), _) => Channel::Upgradable,
    };
    let now = Instant::now();
    let mut session = Session {
        id,
        peer,
        tls: None,
        certificate: None,
        authenticated: None,
        wire,
        machine: Machine::new(Arc::clone(&shared.settings), channel),
        out: Vec::new(),
        incoming: None,
        head: None,
        gathered: None,
        ledger: None,
        command_deadline: now + shared.settings.limits().command_timeout,
        pace: Pace::new(now, shared.settings.limits()),
        punished: 0,
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
    /// The key by which it authenticated.
    authenticated: Option<KeyId>,
    wire: Wire,
    machine: Machine,
    /// Replies that have not been sent.
    out: Vec<u8>,
    /// The message that is coming in.
    incoming: Option<Box<(Incoming, Share)>>,
    /// Its beginning, where it may be all that there will be of it.
    head: Option<Box<Head>>,
    /// A submission that is coming in.
    gathered: Option<Box<Gathered>>,
    /// What is written to the log about the open transaction.
    ledger: Option<Box<Ledger>>,
    command_deadline: Instant,
    pace: Pace,
    /// Errors whose replies were held back.
    punished: u32,
}

/// What came of waiting for the peer.
enum Heard {
    Bytes,
    End,
    Nothing(Input<'static>),
}

impl<I: Intake> Session<I> {
    async fn serve(&mut self) -> io::Result<()> {
        if self.shared.door.is_tls_first() {
            self.handshake().await?;
        }
        let patience = self.shared.settings.limits().greeting_delay;
        // RFC 5321 §3.1: the server speaks first. Who does not wait does not read answers either.
        // A balancer's timing is not its client's.
        let is_watched = matches!(self.shared.door, Door::Smtp | Door::Submission) && self.peer.proxy.is_none();
        if is_watched && self.wire.talks_within(patience).await {
            self.say(&reply::TALKS_FIRST);
            self.flush().await?;
            return self.hang_up().await;
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
                    if self.shared.door.is_submission() {
                        if self.gather(run) {
                            return Ok(());
                        }
                    } else if self.keep(run).await {
                        return Ok(());
                    }
                    Input::BodyFailed
                }
                Effect::Discard => {
                    (self.incoming, self.gathered) = (None, None);
                    if !self.machine.is_in_transaction() {
                        self.head = None;
                    }
                    return Ok(());
                }
                Effect::Head(run) => {
                    self.incoming = None;
                    self.remember(run);
                    return Ok(());
                }
                Effect::Lose(commission) => {
                    self.lose(*commission).await;
                    return Ok(());
                }
                Effect::Admit => {
                    self.forget_message();
                    self.pace.mail(Instant::now(), self.shared.settings.limits());
                    self.ledger = Some(Box::new(Ledger::open(self.shared.acceptor.clock().now(), self.machine.helo())));
                    Input::Admission(self.admission())
                }
                Effect::Recipient => {
                    let answer = self.ask().await;
                    let tenants = &self.shared.pool.tenants;
                    if self.ledger.as_mut().is_none_or(|ledger| ledger.asked(answer, tenants)) {
                        Input::Recipient(answer)
                    } else {
                        Input::TenantBusy
                    }
                }
                Effect::Commit(commission) => {
                    // RFC 2920 §3.2: nothing that is already decided waits for the disk.
                    self.flush().await?;
                    self.commit(*commission).await
                }
                Effect::Submit(recipients) => {
                    self.flush().await?;
                    self.submit(recipients).await
                }
                Effect::Authenticate(credentials) => {
                    self.flush().await?;
                    Input::Authenticated(self.authenticate(*credentials).await)
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
        (self.incoming, self.head, self.gathered) = (None, None, None);
        self.close_ledger(0);
    }

    fn admission(&self) -> Admission {
        if self.shared.pool.memory.is_spent() { Admission::Reserve } else { self.shared.acceptor.admission() }
    }

    fn remember(&mut self, run: &[u8]) {
        self.head.get_or_insert_with(|| Box::new(Head::new(&self.shared.pool.memory))).push(run);
    }

    /// Records a copy that its peer was told, or is about to be told, will never be taken.
    async fn lose(&mut self, commission: Commission) {
        let head = self.head.take();
        let offer = Offer {
            envelope: commission.envelope,
            origin: self.origin(self.machine.helo()),
            defects: commission.defects,
            milter: None,
        };
        let mut incoming = self.shared.acceptor.begin();
        // Boxed for the same reason as the question about a recipient.
        let recorded = Box::pin(async {
            incoming.push(head.as_ref().map_or(&[], |head| head.octets())).await?;
            self.shared.acceptor.accept(incoming, offer).await
        });
        match recorded.await {
            Ok(record) => {
                let id = record.id();
                warn!(session.id = %self.id, message.id = %id, error.kind = "too_large", "A copy is larger than its route takes and is lost; `{id}` is the record of it");
            }
            Err(error) => {
                warn!(session.id = %self.id, error.kind = %error, "A copy is larger than its route takes and is lost, and no record of it could be made");
            }
        }
    }

    async fn keep(&mut self, run: &[u8]) -> bool {
        if self.machine.remembers_head() {
            self.remember(run);
        }
        let shared = &self.shared;
        let begin = || Box::new((shared.acceptor.begin(), shared.pool.memory.share()));
        let (incoming, share) = &mut **self.incoming.get_or_insert_with(begin);
        if !share.grow(run.len()) {
            warn!(session.id = %self.id, error.kind = "memory", temporary = true, "No memory is left for the body of a message");
            return false;
        }
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

    async fn authenticate(&mut self, credentials: Credentials) -> AuthenticationAnswer {
        let origin = self.origin(self.machine.helo());
        let limits = self.shared.settings.limits();
        let asked = Box::pin(self.shared.intake.authenticate(&credentials, &origin));
        let answer = timeout(limits.recipient_timeout, asked).await.unwrap_or(AuthenticationAnswer::Unavailable);
        match answer {
            AuthenticationAnswer::Known(key) => {
                self.authenticated = Some(key);
                debug!(session.id = %self.id, key.id = %key, "Session `{}` authenticated", self.id);
            }
            // A guesser pays with its own time.
            AuthenticationAnswer::Refused => {
                tokio::select! {
                    () = sleep(limits.auth_failure_delay) => {}
                    () = self.shared.shutdown.cancelled() => {}
                }
            }
            AuthenticationAnswer::TooOften | AuthenticationAnswer::Unavailable => {}
        }
        answer
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
            authenticated: self.authenticated,
            certificate: self.certificate.as_deref().cloned(),
            provider: None,
            client: None,
        }
    }

    async fn commit(&mut self, commission: Commission) -> Input<'static> {
        self.head = None;
        let (incoming, _share) = match self.incoming.take() {
            Some(incoming) => *incoming,
            None => (self.shared.acceptor.begin(), self.shared.pool.memory.share()),
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
                self.pace.taken(Instant::now(), self.shared.settings.limits());
                if let Some(ledger) = &mut self.ledger {
                    ledger.stored(&message);
                }
                Input::Stored(reply::accepted(&message))
            }
            Err(SpoolError::Refused) => Input::Refused,
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
        counters::replied(self.shared.door, reply.code());
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
        self.hold_back().await;
        let out = std::mem::take(&mut self.out);
        let wire = &mut self.wire;
        let send = async {
            wire.write_all(&out).await?;
            wire.flush().await
        };
        timeout(self.shared.settings.limits().reply_timeout, send).await?
    }

    /// Lets a peer wait for the refusals that it asks for again and again.
    async fn hold_back(&mut self) {
        let errors = self.machine.errors();
        if errors <= self.punished || self.machine.phase() == Phase::Closed {
            return;
        }
        self.punished = errors;
        let penalty = pace::penalty(errors, self.shared.settings.limits());
        if !penalty.is_zero() {
            metrics::counter!("connex_smtp_held_back_total", "door" => self.shared.door.as_str()).increment(1);
            // Boxed: well-behaved sessions have no room for it.
            let _ = timeout(penalty, Box::pin(self.shared.shutdown.cancelled())).await;
        }
    }

    /// Waits for bytes, as long as the phase allows.
    async fn hear(&mut self, inbox: &mut Vec<u8>) -> io::Result<Heard> {
        let limits = self.shared.settings.limits();
        let now = Instant::now();
        let is_message = self.machine.phase() == Phase::Message;
        let (deadline, size) = if is_message {
            (self.pace.data_due(now, limits), MESSAGE_READ)
        } else {
            (self.command_deadline.min(self.pace.due()), COMMAND_READ)
        };
        // Asked first: a peer that never stops sending would otherwise never be late.
        if now >= deadline {
            return Ok(Heard::Nothing(Input::TimedOut));
        }
        let octets = tokio::select! {
            biased;
            () = self.shared.shutdown.cancelled(), if !is_message => return Ok(Heard::Nothing(Input::ShuttingDown)),
            read = read_some(&mut self.wire, inbox, size) => read?,
            () = sleep_until(deadline) => return Ok(Heard::Nothing(Input::TimedOut)),
        };
        if is_message {
            self.pace.received(octets, now.elapsed(), limits);
        }
        Ok(if octets == 0 { Heard::End } else { Heard::Bytes })
    }

    async fn handshake(&mut self) -> io::Result<()> {
        let (Some(tls), Wire::Plain(stream)) = (&self.shared.tls, std::mem::replace(&mut self.wire, Wire::Gone)) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let handshake = Box::pin(async {
            let is_asked = self.shared.intake.wants_client_certificates().await;
            tls.accept(stream, if is_asked { ClientCertificates::Ask } else { ClientCertificates::Off }).await
        });
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
