//! The socket loop of one mail server's connection: reads packets, stores what is shown, and always lets mail go on.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::Limits;
use super::packet::{CONTINUE, Command, LONGEST, Malformed};
use super::shown::{Effect, Missed, Shown};
use crate::ids::SessionId;
use crate::intake::{Acceptor, ForwardName, Intake, Offer, RecipientAnswer, RecipientQuery};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, MilterEnvelope, Origin};
use crate::spool::{Admission, Incoming, SpooledMessage};

/// Octets that are read ahead: most packets are smaller.
const READ_AHEAD: usize = 8 * 1_024;
/// Octets of the packet buffer that a connection keeps.
const KEPT: usize = 64 * 1_024;

/// What all sessions of a listener share.
pub(super) struct Shared<I> {
    pub(super) limits: Limits,
    pub(super) route: Mailbox,
    pub(super) intake: Arc<I>,
    pub(super) acceptor: Acceptor,
    pub(super) shutdown: CancellationToken,
}

/// Why a session ended before the mail server ended it.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the mail server was silent for too long")]
    Silent,
}

struct Session<I> {
    shared: Arc<Shared<I>>,
    id: SessionId,
    peer: Option<IpAddr>,
    shown: Shown,
    /// The message so far; `None` when there is none, or when it is missed.
    incoming: Option<Incoming>,
    /// What is left of the patience for this message.
    left: Duration,
}

/// Serves one connection to its end.
pub(super) async fn run<I: Intake>(
    shared: Arc<Shared<I>>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Option<IpAddr>,
) {
    let id: SessionId = shared.acceptor.clock().mint();
    let shown = Shown::new(shared.limits.message);
    let mut session = Session { id, peer, shown, incoming: None, left: shared.limits.patience, shared };
    debug!(session.id = %id, peer.ip = peer.map(tracing::field::display), "A mail server connected to the milter door");
    let ended = session.serve(BufReader::with_capacity(READ_AHEAD, stream)).await;
    match ended {
        Ok(()) => {}
        // A mail server that goes away in the middle of a message does not deliver it either.
        Err(Broken::Io(error)) => debug!(session.id = %id, error.kind = %error, "A mail server's connection ended"),
        Err(broken) if session.shown.is_in_message() => {
            report(id, session.shown.queue_id(), Missed::Malformed);
            debug!(session.id = %id, error.kind = %broken, "A mail server's connection was closed");
        }
        Err(broken) => debug!(session.id = %id, error.kind = %broken, "A mail server's connection was closed"),
    }
}

/// Counts a message that was not kept, and tells the operator.
pub(super) fn report(id: SessionId, queue_id: Option<&str>, missed: Missed) {
    metrics::counter!("connex_milter_missed_total", "reason" => missed.reason()).increment(1);
    let queue_id = queue_id.filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    error!(
        session.id = %id,
        error.kind = missed.reason(),
        "Mail went on that is not kept here: {missed} (queue id {})",
        queue_id.unwrap_or("unknown")
    );
}

impl<I: Intake> Session<I> {
    async fn serve(&mut self, mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>) -> Result<(), Broken> {
        let mut packet = Vec::new();
        loop {
            let Some(length) = self.length(&mut stream).await? else { return Ok(()) };
            if length > LONGEST {
                let letter = self.skip(&mut stream, length).await?;
                self.shown.miss(Missed::TooLarge);
                self.incoming = None;
                if letter == b'E' {
                    self.end(Missed::TooLarge);
                }
                if self.shown.agreed().is_letter_answered(letter) {
                    stream.write_all(&CONTINUE).await?;
                }
                continue;
            }
            self.read(&mut stream, length, &mut packet).await?;
            let command = Command::read(&packet)?;
            let last = self.shown.last(&command);
            self.apply(last).await;
            let effect = self.shown.hear(command);
            if effect == Effect::Close {
                return Ok(());
            }
            self.apply(effect).await;
            if matches!(command, Command::Negotiate { .. }) {
                stream.write_all(&self.shown.agreed().packet()).await?;
            } else if self.shown.agreed().is_answered(&command) {
                stream.write_all(&CONTINUE).await?;
            }
            stream.flush().await?;
            packet.clear();
            packet.shrink_to(KEPT);
        }
    }

    /// The length of the next packet; `None` at the end of the connection, or between messages at shutdown.
    async fn length(&self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<usize>, Broken> {
        let read = timeout(self.shared.limits.silence, stream.read_u32());
        let length = if self.shown.is_in_message() {
            read.await
        } else {
            tokio::select! {
                length = read => length,
                () = self.shared.shutdown.cancelled() => return Ok(None),
            }
        };
        match length.map_err(|_| Broken::Silent)? {
            Ok(0) => Err(Malformed::Empty.into()),
            Ok(length) => Ok(Some(usize::try_from(length).unwrap_or(usize::MAX))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a packet; the buffer grows as bytes come, and not by what was announced.
    async fn read(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        length: usize,
        packet: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let mut packet_bytes = stream.take(length as u64);
        let read = packet_bytes.read_to_end(packet);
        let count = timeout(self.shared.limits.silence, read).await.map_err(|_| Broken::Silent)??;
        if count < length { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
    }

    /// Reads over a packet; its letter.
    async fn skip(&self, stream: &mut (impl AsyncRead + Unpin), length: usize) -> Result<u8, Broken> {
        let skip = async {
            let letter = stream.read_u8().await?;
            let mut rest = stream.take((length as u64).saturating_sub(1));
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            Ok(letter)
        };
        timeout(self.shared.limits.silence, skip).await.map_err(|_| Broken::Silent)?
    }

    async fn apply(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::Nothing | Effect::Close => {}
            Effect::Begin => self.begin(),
            Effect::Bytes(bytes) => self.push(&bytes).await,
            Effect::Forget => self.incoming = None,
            Effect::Miss(missed) => {
                self.incoming = None;
                report(self.id, self.shown.queue_id(), missed);
            }
            Effect::Keep(envelope) => self.keep(envelope).await,
        }
    }

    fn begin(&mut self) {
        self.left = self.shared.limits.patience;
        if self.shared.acceptor.admission() == Admission::Open {
            self.incoming = Some(self.shared.acceptor.begin());
        } else {
            self.incoming = None;
            self.shown.miss(Missed::Spool);
        }
    }

    async fn push(&mut self, bytes: &[u8]) {
        let Some(mut incoming) = self.incoming.take() else { return };
        match patiently(&mut self.left, incoming.push(bytes)).await {
            Some(Ok(())) => self.incoming = Some(incoming),
            Some(Err(_)) => self.shown.miss(Missed::Spool),
            None => self.shown.miss(Missed::Late),
        }
    }

    async fn keep(&mut self, envelope: Box<MilterEnvelope>) {
        let Some(incoming) = self.incoming.take() else { return };
        let mut left = self.left;
        // Boxed: it must not make every idle session larger.
        let stored = Box::pin(patiently(&mut left, self.store(incoming, envelope))).await;
        match stored.unwrap_or(Err(Missed::Late)) {
            Ok(message) => {
                metrics::counter!("connex_milter_messages_total").increment(1);
                info!(
                    session.id = %self.id,
                    message.id = %message.id(),
                    size_bytes = message.size(),
                    "Kept `{}` as a mail server showed it",
                    message.id()
                );
            }
            Err(missed) => report(self.id, self.shown.queue_id(), missed),
        }
    }

    async fn store(&self, incoming: Incoming, told: Box<MilterEnvelope>) -> Result<SpooledMessage, Missed> {
        // An address that only the mail server understands stays in what it told.
        let reverse_path = ReversePath::try_from(told.reverse_path.clone()).unwrap_or(ReversePath::Null);
        let origin = Origin {
            door: Door::Milter,
            session: self.id,
            peer: self.peer,
            proxy: None,
            helo: String::new(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        };
        let query = RecipientQuery {
            name: ForwardName::Mailbox(&self.shared.route),
            reverse_path: &reverse_path,
            announced_size: Some(incoming.len()),
            origin: &origin,
        };
        let recipient = match self.shared.intake.recipient(&query).await {
            RecipientAnswer::Known { recipient, .. } if recipient.is_copy() => recipient,
            _ => return Err(Missed::Route),
        };
        let forward_paths = vec![ForwardPath::new(self.shared.route.clone(), recipient)];
        let body = BodyKind::EightBitMime;
        let envelope =
            Envelope { reverse_path, forward_paths, body, smtputf8: false, envelope_id: None, returned: None };
        let offer = Offer { envelope, origin, defects: Vec::new(), milter: Some(told) };
        self.shared.acceptor.accept(incoming, offer).await.map_err(|error| {
            debug!(session.id = %self.id, error.kind = %error, "The spool did not store a message");
            Missed::Spool
        })
    }

    /// A message whose end was skipped with its packet.
    fn end(&mut self, missed: Missed) {
        if self.shown.is_in_message() {
            report(self.id, self.shown.queue_id(), missed);
            self.shown.hear(Command::Abort);
        }
    }
}

/// Waits for `work` as long as there is patience `left`, and takes off what it took.
async fn patiently<T>(left: &mut Duration, work: impl Future<Output = T>) -> Option<T> {
    let start = Instant::now();
    let result = timeout(*left, work).await.ok();
    *left = left.saturating_sub(start.elapsed());
    result
}
