//! Puts a signed message onto the wire: one transaction with one server, and with the next where the first gives no answer or
//! says that it takes nothing now.
//! A connection that waits from an earlier transaction is used again, behind RSET.
//!
//! [`send`] spends the message, asks the caller to record the begin of the end of data before the final dot is written,
//! and tells for each recipient what came of it. It decides nothing of its own: [`super::dialogue`] does, and this does what
//! that says. It must never write the final dot without that record, and never go on to another server behind it.
//!
//! Standards: RFC 5321 §4.5.3.2 (times), §5.1 (several servers), RFC 3207 §5 (what was said before TLS), RFC 7435 (encryption
//! where it can be had).
//!
//! # Security
//! Every wait ends, and all of them together before the final dot. Replies are read with bounds.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Attempt, Outcome, Reason, Report};
use super::data::{self, END, Pieces};
use super::dialogue::{Action, Dialogue, Encryption, Ending, Envelope, Input, Rules, Step};
use super::pool::{Kept, Peer, Pool};
use super::reply::{Offer, ReplyBuffer};
use super::route::Route;
use super::sign::{Outgoing, SignedMessage};
use super::tls::{ClientTls, Trust};
use crate::mail::address::{Domain, Mailbox};

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// The server's first words (RFC 5321 §4.5.3.2.1).
    pub greeting: Duration,
    /// EHLO, STARTTLS and AUTH, each.
    pub hello: Duration,
    /// MAIL (RFC 5321 §4.5.3.2.2).
    pub mail: Duration,
    /// RCPT (RFC 5321 §4.5.3.2.3).
    pub rcpt: Duration,
    /// DATA (RFC 5321 §4.5.3.2.4).
    pub data: Duration,
    /// Until 64 KiB of the message are taken (RFC 5321 §4.5.3.2.5).
    pub block: Duration,
    /// Until the final dot is answered (RFC 5321 §4.5.3.2.6): a shorter time makes duplicates at slow servers.
    pub end: Duration,
    /// QUIT; nothing depends on its reply.
    pub quit: Duration,
    /// All that comes before the final dot, with all servers that are tried. Beyond it there is at most `end` and `quit`.
    pub until_end_of_data: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            greeting: minutes(5),
            hello: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            end: minutes(10),
            quit: Duration::from_secs(5),
            until_end_of_data: minutes(30),
        }
    }
}

impl Timeouts {
    const fn of(&self, step: Step) -> Duration {
        match step {
            Step::Greeting => self.greeting,
            Step::Hello => self.hello,
            Step::Mail => self.mail,
            Step::Rcpt => self.rcpt,
            Step::Data => self.data,
            Step::End => self.end,
        }
    }
}

/// How this gateway sends.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Our name, for EHLO; it should lead to our address.
    pub hello: Domain,
    /// Times.
    pub timeouts: Timeouts,
    /// Certificates that are believed.
    pub tls: ClientTls,
    /// Connections that were made before.
    pub pool: Pool,
}

/// What is about to be ended: to be recorded before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOfData {
    /// The recipients whom the server took; nobody else can get the message by this attempt.
    pub recipients: Vec<Mailbox>,
    /// The server.
    pub host: String,
    /// Its address.
    pub address: SocketAddr,
}

/// Sends `message` by `route`, in one transaction. Gives one [`Attempt`] for each recipient.
///
/// When all is written but the final dot, `begin_end_of_data` is awaited, at most once: when it fails, nothing more is
/// written and the recipients are deferred. When it succeeds and no reply to the final dot is read, for whatever reason,
/// they are [`Outcome::Unknown`]. To drop this future behind it is such a reason, too.
pub async fn send<F, R, E>(message: SignedMessage, route: &Route, terms: &Terms, begin_end_of_data: F) -> Vec<Attempt>
where
    F: FnOnce(EndOfData) -> R,
    R: Future<Output = Result<(), E>>,
{
    let outgoing = message.into_outgoing();
    let (recipients, strangers): (Vec<_>, Vec<_>) =
        outgoing.recipients.iter().cloned().partition(|recipient| route.leads_to(recipient));
    let misled = Report::because(Reason::WrongRoute, "the route is not one to this recipient");
    let mut done = Attempt::all(strangers, Outcome::Deferred, &misled);
    let nowhere = Report::because(Reason::Unreachable, "the route has no server");
    // For whom nothing is decided, with what the last server came to.
    let mut open = Attempt::all(recipients, Outcome::Deferred, &nowhere);
    let mut sending = Sending {
        outgoing: &outgoing,
        terms,
        record: Some(begin_end_of_data),
        deadline: Instant::now() + terms.timeouts.until_end_of_data,
    };
    // RFC 7504 §2.1: 521 says that there is no mail service; it counts when every server says so.
    let (mut is_no_service, mut put_offs) = (true, 0);
    for peer in route.peers() {
        if open.is_empty() || put_offs >= PUT_OFFS || !sending.may_go_on() {
            break;
        }
        let recipients = open.drain(..).map(|attempt| attempt.recipient).collect();
        let ending = sending.try_server(peer, recipients).await;
        // RFC 5321 §5.1: the next server may take what this one puts off.
        let (put_off, settled): (Vec<_>, Vec<_>) = ending.settled.into_iter().partition(is_put_off);
        put_offs += usize::from(!put_off.is_empty());
        done.extend(settled);
        open = put_off;
        if let Some((recipients, report)) = ending.open {
            open.extend(Attempt::all(recipients, Outcome::Deferred, &report));
        }
        is_no_service &= open.iter().all(|attempt| attempt.report.code == Some(521));
    }
    if is_no_service {
        let no_service = open.iter_mut().filter(|attempt| attempt.report.code == Some(521));
        no_service.for_each(|attempt| attempt.outcome = Outcome::Rejected);
    }
    done.extend(open);
    done
}

/// Servers that may put the same message off in one attempt: a domain with many would be asked again and again.
const PUT_OFFS: usize = 2;

/// Whether a server said "later", of the recipient or the message.
fn is_put_off(attempt: &Attempt) -> bool {
    let Attempt { outcome, report, .. } = attempt;
    *outcome == Outcome::Deferred && report.reason == Reason::Reply && matches!(report.code, Some(400..=499))
}

struct Sending<'a, F> {
    outgoing: &'a Outgoing,
    terms: &'a Terms,
    /// Taken when it is called.
    record: Option<F>,
    deadline: Instant,
}

impl<F, R, E> Sending<'_, F>
where
    F: FnOnce(EndOfData) -> R,
    R: Future<Output = Result<(), E>>,
{
    /// Whether another server may be tried.
    fn may_go_on(&self) -> bool {
        self.record.is_some() && Instant::now() < self.deadline
    }

    /// One address, once more in clear where the offered TLS is broken and nobody asks for it.
    async fn try_server(&mut self, peer: Peer, recipients: Vec<Mailbox>) -> Ending {
        let in_clear = (peer.encryption == Encryption::IfOffered).then(|| Peer {
            encryption: Encryption::Never,
            trust: Trust::Any,
            ..peer.clone()
        });
        let mut ending = self.session(peer, recipients).await;
        if let Some(peer) = in_clear
            && self.may_go_on()
            && let Some((open, _)) = ending.open.take_if(|(_, report)| report.reason == Reason::Tls)
        {
            let settled = std::mem::take(&mut ending.settled);
            ending = self.session(peer, open).await;
            ending.settled.extend(settled);
        }
        ending
    }

    /// A connection that waits, else a new one; also where the server wants no more of the one that waited.
    async fn session(&mut self, peer: Peer, recipients: Vec<Mailbox>) -> Ending {
        let Some(kept) = self.again(&peer).await else { return self.new_session(peer, recipients).await };
        let Kept { offer, is_encrypted, transactions, since, wire, .. } = kept;
        let begun = Dialogue::resume(self.envelope(recipients), self.rules(&peer), offer, is_encrypted);
        let mut ending = self.converse(Line { peer: peer.clone(), wire, transactions, since }, begun).await;
        if self.may_go_on()
            && let Some((open, _)) = ending.open.take()
        {
            let settled = std::mem::take(&mut ending.settled);
            ending = self.new_session(peer, open).await;
            ending.settled.extend(settled);
        }
        ending
    }

    /// A connection that waited, and that the server says is ready.
    async fn again(&self, peer: &Peer) -> Option<Kept> {
        while let Some(mut kept) = self.terms.pool.take(peer) {
            kept.wire.deadline = self.deadline;
            if kept.wire.reset().await {
                return Some(kept);
            }
        }
        None
    }

    async fn new_session(&mut self, peer: Peer, recipients: Vec<Mailbox>) -> Ending {
        let is_encrypted = peer.encryption == Encryption::Begun;
        let unheard = |peer: &Peer, reason, text: &str, open| {
            let ending =
                Ending { settled: Vec::new(), open: Some((open, Report::because(reason, text))), is_quit_due: false };
            located(ending, peer, is_encrypted)
        };
        let mut wire = match self.connect(&peer).await {
            Ok(wire) => wire,
            Err((reason, text)) => return unheard(&peer, reason, &text, recipients),
        };
        if is_encrypted && let Err(text) = wire.encrypt(&peer).await {
            return unheard(&peer, Reason::Tls, &text, recipients);
        }
        let begun = Dialogue::begin(self.envelope(recipients), self.rules(&peer));
        self.converse(Line { peer, wire, transactions: 0, since: Instant::now() }, begun).await
    }

    fn rules(&self, peer: &Peer) -> Rules {
        Rules { hello: self.terms.hello.clone(), encryption: peer.encryption, credentials: peer.credentials.clone() }
    }

    fn envelope(&self, recipients: Vec<Mailbox>) -> Envelope {
        Envelope {
            reverse_path: self.outgoing.reverse_path.clone(),
            recipients,
            size: data::size(&self.outgoing.bytes),
            needs: self.outgoing.needs,
        }
    }

    async fn converse(&mut self, line: Line, (mut dialogue, mut action): (Dialogue, Action)) -> Ending {
        let Line { peer, mut wire, transactions, since } = line;
        loop {
            let input = match action {
                Action::Say(bytes, step) => wire.say(&bytes, step).await,
                Action::Listen(step) => wire.listen(step).await,
                Action::Encrypt => match wire.encrypt(&peer).await {
                    Ok(()) => Input::Encrypted,
                    Err(text) => Input::NotEncrypted(text),
                },
                Action::WriteMessage => wire.write_message(&self.outgoing.bytes).await,
                Action::Record(recipients) => {
                    let end = EndOfData { recipients, host: peer.name.clone(), address: peer.address };
                    self.record(&mut wire, end).await
                }
                Action::WriteEnd => wire.write_end().await,
                Action::Finish(ending) => {
                    let is_encrypted = dialogue.is_encrypted();
                    let ending = located(ending, &peer, is_encrypted);
                    if ending.is_quit_due {
                        let line = Line { peer, wire, transactions, since };
                        // A server that decided nothing is not asked on the same connection again.
                        let offer = dialogue.offer().filter(|_| ending.open.is_none());
                        self.put_away(line, offer, is_encrypted).await;
                    }
                    return ending;
                }
            };
            (dialogue, action) = dialogue.on(input);
        }
    }

    /// Keeps the connection for the next message, or ends it.
    async fn put_away(&self, line: Line, offer: Option<Offer>, is_encrypted: bool) {
        let Line { peer, mut wire, transactions, since } = line;
        if let Some(offer) = offer {
            let (transactions, idle_since) = (transactions + 1, Instant::now());
            let kept = Kept { wire, offer, is_encrypted, transactions, since, idle_since };
            let Some(unwanted) = self.terms.pool.keep(peer, kept) else { return };
            wire = unwanted.wire;
        }
        wire.quit().await;
    }

    async fn connect(&self, peer: &Peer) -> Result<Wire, (Reason, String)> {
        let timeouts = self.terms.timeouts;
        let until = self.deadline.min(Instant::now() + timeouts.connect);
        #[expect(
            clippy::disallowed_methods,
            reason = "this is one of the two clients; the route has judged the address"
        )]
        let connecting = TcpStream::connect(peer.address);
        let stream = match timeout_at(until, connecting).await {
            Err(_) => return Err((Reason::Timeout, "no connection in time".to_owned())),
            Ok(Err(error)) => return Err((Reason::Unreachable, error.to_string())),
            Ok(Ok(stream)) => stream,
        };
        // Commands are small and each waits for its reply. Without it things are slower, and that is all.
        let _ = stream.set_nodelay(true);
        Ok(Wire {
            stream: Box::new(stream),
            replies: ReplyBuffer::default(),
            tls: self.terms.tls.clone(),
            timeouts,
            deadline: self.deadline,
        })
    }

    /// Has the caller record the end, where the server is still there and silent; it is looked at once more behind it, since
    /// a server that is gone can still be told from one that may have the message.
    async fn record(&mut self, wire: &mut Wire, end: EndOfData) -> Input {
        if let Some(spoken) = wire.spoken() {
            return spoken;
        }
        let Some(record) = self.record.take() else { return Input::NotRecorded };
        match record(end).await {
            Ok(()) => wire.spoken().unwrap_or(Input::Recorded),
            Err(_) => Input::NotRecorded,
        }
    }
}

/// Where it happened.
fn located(mut ending: Ending, peer: &Peer, is_encrypted: bool) -> Ending {
    let settled = ending.settled.iter_mut().map(|attempt| &mut attempt.report);
    for report in settled.chain(ending.open.as_mut().map(|(_, report)| report)) {
        report.host.clone_from(&peer.name);
        report.address = Some(peer.address.ip());
        report.encrypted = is_encrypted;
    }
    ending
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection in use.
struct Line {
    peer: Peer,
    wire: Wire,
    /// Transactions that went before.
    transactions: u32,
    since: Instant,
}

/// A connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    replies: ReplyBuffer,
    tls: ClientTls,
    timeouts: Timeouts,
    deadline: Instant,
}

impl Wire {
    /// Ends the transaction before (RFC 5321 §4.1.1.5); whether the server is ready for the next one. It is not waited for as
    /// long as it may take: a new connection costs less.
    async fn reset(&mut self) -> bool {
        if self.spoken().is_some() {
            return false;
        }
        let until = self.until(self.timeouts.quit);
        let written = timeout_at(until, self.write(b"RSET\r\n")).await;
        matches!(written, Ok(Ok(()))) && matches!(self.reply(until).await, Input::Reply(reply) if reply.is_success())
    }

    async fn say(&mut self, bytes: &[u8], step: Step) -> Input {
        // What came without being asked for would be taken for the reply to this.
        match self.unread() {
            Some(Input::Reply(reply)) if !reply.is_closing() => return out_of_turn(),
            Some(input) => return input,
            None => {}
        }
        let until = self.until(self.timeouts.of(step));
        match timeout_at(until, self.write(bytes)).await {
            Err(_) => lost(Reason::Timeout, "the server does not take the command in time"),
            // A connection that broke is told when the reply is read: there may be one that says why.
            Ok(_) => self.reply(until).await,
        }
    }

    async fn listen(&mut self, step: Step) -> Input {
        self.reply(self.until(self.timeouts.of(step))).await
    }

    async fn write_message(&mut self, message: &[u8]) -> Input {
        let (mut pieces, mut piece) = (Pieces::new(message), Vec::new());
        while pieces.next(&mut piece) {
            if let Some(input) = self.spoken() {
                return input;
            }
            match timeout_at(self.until(self.timeouts.block), self.write(&piece)).await {
                Err(_) => return lost(Reason::Timeout, "the server does not take the message in time"),
                Ok(Err(_)) => return self.reply(self.until(self.timeouts.quit)).await,
                Ok(Ok(())) => {}
            }
        }
        Input::Written
    }

    /// From here on whoever took RCPT may have the message.
    async fn write_end(&mut self) -> Input {
        let until = Instant::now() + self.timeouts.end;
        match timeout_at(until, self.write(END)).await {
            Err(_) => lost(Reason::Timeout, "the server does not take the end of the message in time"),
            Ok(_) => self.reply(until).await,
        }
    }

    /// Says goodbye.
    pub(super) async fn quit(&mut self) {
        let until = Instant::now() + self.timeouts.quit;
        let quitting = async {
            self.write(b"QUIT\r\n").await?;
            // RFC 5321 §4.1.1.10: wait for the reply before closing.
            let _ = self.reply(until).await;
            self.stream.shutdown().await
        };
        let _ = timeout_at(until, quitting).await;
    }

    async fn encrypt(&mut self, peer: &Peer) -> Result<(), String> {
        // RFC 3207 §5: nothing said in clear counts behind TLS.
        if !self.replies.is_empty() {
            return Err("the server says more in clear behind its answer to STARTTLS".to_owned());
        }
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let until = self.until(self.timeouts.handshake);
        let handshake = self.tls.handshake(&peer.trust, &peer.name, peer.address.ip(), stream);
        let stream = timeout_at(until, handshake).await.map_err(|_| "no TLS in time".to_owned())?;
        self.stream = Box::new(stream.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// What the server said, or did, without being asked: looked at and not waited for.
    fn spoken(&mut self) -> Option<Input> {
        if let Some(input) = self.unread() {
            return Some(input);
        }
        let reading = self.stream.read_buf(self.replies.space()).now_or_never()?;
        Some(match reading {
            Ok(0) => closed(),
            Ok(_) => self.unread().unwrap_or_else(out_of_turn),
            Err(error) => broken(&error),
        })
    }

    /// What was read and not used; a part of a reply is out of turn.
    fn unread(&mut self) -> Option<Input> {
        if self.replies.is_empty() {
            return None;
        }
        Some(match self.replies.take() {
            Ok(Some(reply)) => Input::Reply(reply),
            Ok(None) => out_of_turn(),
            Err(what) => lost(Reason::NotSmtp, what),
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn reply(&mut self, until: Instant) -> Input {
        loop {
            match self.replies.take() {
                Ok(Some(reply)) => return Input::Reply(reply),
                Ok(None) => {}
                Err(what) => return lost(Reason::NotSmtp, what),
            }
            match timeout_at(until, self.stream.read_buf(self.replies.space())).await {
                Err(_) => return lost(Reason::Timeout, "no reply in time"),
                Ok(Ok(0)) => return closed(),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return broken(&error),
            }
        }
    }

    fn until(&self, limit: Duration) -> Instant {
        self.deadline.min(Instant::now() + limit)
    }
}

fn lost(reason: Reason, text: &str) -> Input {
    Input::Lost(reason, text.to_owned())
}

/// The library's words for a TLS session that just ends are for programmers.
fn broken(error: &io::Error) -> Input {
    if error.kind() == io::ErrorKind::UnexpectedEof { closed() } else { lost(Reason::Closed, &error.to_string()) }
}

fn closed() -> Input {
    lost(Reason::Closed, "the server closed the connection")
}

fn out_of_turn() -> Input {
    lost(Reason::NotSmtp, "the server speaks out of turn")
}

#[cfg(test)]
mod tests;
