//! A small SMTP client: it hands one message after another to one server, and tells what the server said.
//!
//! It is for the command line (`send`, `dev`, `bench`) and no mail transfer agent: no queue, no second attempt, no MX
//! look-up, no authentication. Nothing of the gateway may send mail to others with it; that takes a release.
//!
//! Standards: RFC 5321 (session, §4.5.2 transparency), RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS),
//! RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
//!
//! # Security
//! Addresses come as parsed types, which hold no line break, so that nothing can be slipped into a command. Replies are
//! read with bounds. What a server says in clear behind its answer to STARTTLS ends the session (RFC 3207 §6). Where TLS
//! was begun and fails, nothing is sent in clear.

mod data;
mod error;
mod server;
mod tls;

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ids::MessageId;
use crate::mail::address::{Mailbox, ReversePath};
use crate::outbound::reply::{Offer, ReplyBuffer};

pub use crate::outbound::reply::Reply;
pub use data::MessageData;
pub use error::{SmtpError, Step};
pub use server::{InvalidServerName, ServerName};
pub use tls::{InvalidAuthority, TrustedRoots};

/// Whether TLS is used.
#[derive(Debug, Clone)]
pub enum Security {
    /// Never.
    Plain,
    /// With STARTTLS where the server offers it.
    IfOffered(TrustedRoots),
    /// With STARTTLS, or not at all.
    Required(TrustedRoots),
}

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Look-up, TCP, and the TLS handshake, each.
    pub connect: Duration,
    /// Until a reply is there; also until a command is taken.
    pub reply: Duration,
    /// Until the whole message is taken, and then until the reply to it is there.
    pub message: Duration,
}

impl Default for Timeouts {
    /// Shorter than RFC 5321 §4.5.3.2 asks of a mail transfer agent: a person waits.
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), reply: Duration::from_secs(60), message: Duration::from_secs(120) }
    }
}

/// Whether commands go out together where the server allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commands {
    /// MAIL and the RCPTs in groups where PIPELINING is announced.
    Pipelined,
    /// Each after the reply to the one before, as simple clients and common load generators do.
    OneByOne,
}

/// How to talk to a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// TLS.
    pub security: Security,
    /// Times.
    pub timeouts: Timeouts,
    /// Groups of commands.
    pub commands: Commands,
}

impl Settings {
    /// Usual times, pipelining where it is announced.
    #[must_use]
    pub fn new(security: Security) -> Self {
        Self { security, timeouts: Timeouts::default(), commands: Commands::Pipelined }
    }
}

/// One message and its envelope.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// RCPT TO, at least one.
    pub forward_paths: &'a [Mailbox],
    /// The message.
    pub data: &'a MessageData,
}

/// The server took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its last reply.
    pub reply: Reply,
    /// Recipients that it refused, with its reasons; the others got the message.
    pub refused: Vec<(Mailbox, Reply)>,
}

impl Accepted {
    /// The id under which a gateway of ours keeps the message; `None` from other servers.
    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        self.reply.text().split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).find_map(|word| word.parse().ok())
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A session behind EHLO, between two transactions.
pub struct SmtpClient {
    stream: Box<dyn Stream>,
    replies: ReplyBuffer,
    offer: Offer,
    timeouts: Timeouts,
    commands: Commands,
    tls: bool,
    /// Commands that wait to be written; kept to be used again.
    out: Vec<u8>,
}

/// RCPTs that go out before their replies are read: more could fill both sides' buffers and lock them (RFC 2920 §3.1).
const GROUP: usize = 50;

impl SmtpClient {
    /// Connects, greets, and begins TLS as asked.
    ///
    /// # Errors
    /// See [`SmtpError`].
    pub async fn connect(server: &ServerName, settings: &Settings) -> Result<Self, SmtpError> {
        let stream = open(server, settings.timeouts.connect).await?;
        let mut client = Self {
            stream: Box::new(stream),
            replies: ReplyBuffer::default(),
            offer: Offer::default(),
            timeouts: settings.timeouts,
            commands: settings.commands,
            tls: false,
            out: Vec::new(),
        };
        let greeting = client.reply(Step::Greeting).await?;
        expect(Step::Greeting, greeting, 2)?;
        client.hello().await?;
        match &settings.security {
            Security::Plain => Ok(client),
            Security::IfOffered(_) if !client.offer.starttls => Ok(client),
            Security::Required(_) if !client.offer.starttls => Err(SmtpError::NoTls { server: server.clone() }),
            Security::IfOffered(roots) | Security::Required(roots) => client.secured(server, roots).await,
        }
    }

    /// Whether the session is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// Hands over one message.
    ///
    /// Recipients that are refused do not keep it from the others. After [`SmtpError::Refused`] and
    /// [`SmtpError::NoRecipient`] the session can go on with another one, unless the code was 421.
    ///
    /// # Errors
    /// See [`SmtpError`]. When [`SmtpError::is_unclear`], the server may have taken the message.
    pub async fn send(&mut self, transaction: Transaction<'_>) -> Result<Accepted, SmtpError> {
        let parameters = self.parameters(&transaction)?;
        let refused = match self.envelope(&transaction, &parameters).await {
            Ok(refused) => refused,
            Err(error) => return Err(self.reset_after(error).await),
        };
        let go_ahead = self.command(Step::Data, "DATA\r\n").await?;
        if let Err(error) = expect(Step::Data, go_ahead, 3) {
            return Err(self.reset_after(error).await);
        }
        let reply = self.message(transaction.data).await?;
        let reply = expect(Step::EndOfData, reply, 2)?;
        Ok(Accepted { reply, refused })
    }

    /// Says goodbye; whatever the server makes of it.
    pub async fn quit(mut self) {
        // RFC 5321 §4.1.1.10: wait for the reply before closing.
        let _ = self.command(Step::Quit, "QUIT\r\n").await;
        let _ = self.stream.shutdown().await;
    }

    async fn secured(mut self, server: &ServerName, roots: &TrustedRoots) -> Result<Self, SmtpError> {
        let reply = self.command(Step::StartTls, "STARTTLS\r\n").await?;
        expect(Step::StartTls, reply, 2)?;
        if !self.replies.is_empty() {
            return Err(SmtpError::Malformed { step: Step::StartTls, what: "something follows the answer in clear" });
        }
        let handshake = roots.handshake(&server.host, self.stream);
        let stream = within(self.timeouts.connect, Step::Handshake, handshake).await?;
        let stream = stream.map_err(|source| SmtpError::Tls { server: server.clone(), source })?;
        self.stream = Box::new(stream);
        self.tls = true;
        // RFC 3207 §4.2: what was announced in clear counts for nothing.
        self.hello().await?;
        Ok(self)
    }

    async fn hello(&mut self) -> Result<(), SmtpError> {
        // RFC 5321 §4.1.4: an address literal where the client has no name of its own.
        let reply = self.command(Step::Hello, "EHLO [127.0.0.1]\r\n").await?;
        let reply = if reply.code() == 500 || reply.code() == 502 {
            // RFC 5321 §3.2: a server without extensions.
            self.command(Step::Hello, "HELO [127.0.0.1]\r\n").await?
        } else {
            reply
        };
        let reply = expect(Step::Hello, reply, 2)?;
        self.offer = Offer::read(&reply);
        Ok(())
    }

    /// The parameters of MAIL, with the blanks in front of them.
    fn parameters(&self, transaction: &Transaction<'_>) -> Result<String, SmtpError> {
        let (data, offer) = (transaction.data, self.offer);
        let mut parameters = String::new();
        if offer.size {
            if offer.largest > 0 && data.size() > offer.largest {
                return Err(SmtpError::TooLarge { size: data.size(), limit: offer.largest });
            }
            parameters.push_str(&format!(" SIZE={}", data.size()));
        }
        if !data.is_ascii() {
            if !offer.eight_bit {
                return Err(SmtpError::NotOffered {
                    extension: "8BITMIME",
                    why: "the message has bytes outside ASCII",
                });
            }
            parameters.push_str(" BODY=8BITMIME");
        }
        let addresses = transaction.reverse_path.mailbox().into_iter().chain(transaction.forward_paths);
        let has_utf8_address = addresses.into_iter().any(|mailbox| !mailbox.local().is_ascii());
        if has_utf8_address || data.has_utf8_header() {
            if !offer.smtputf8 {
                let why = "an address or a header field has letters outside ASCII";
                return Err(SmtpError::NotOffered { extension: "SMTPUTF8", why });
            }
            parameters.push_str(" SMTPUTF8");
        }
        Ok(parameters)
    }

    /// MAIL and every RCPT; the recipients that were refused, which are not all.
    async fn envelope(
        &mut self,
        transaction: &Transaction<'_>,
        parameters: &str,
    ) -> Result<Vec<(Mailbox, Reply)>, SmtpError> {
        let mut refused = Vec::new();
        let pipelined = self.offer.pipelining && self.commands == Commands::Pipelined;
        let group = if pipelined { GROUP } else { 1 };
        self.queue(format_args!("MAIL FROM:<{}>{parameters}\r\n", transaction.reverse_path));
        if !pipelined {
            self.flush(Step::Mail).await?;
            expect(Step::Mail, self.reply(Step::Mail).await?, 2)?;
        }
        for (number, recipients) in transaction.forward_paths.chunks(group).enumerate() {
            for recipient in recipients {
                self.queue(format_args!("RCPT TO:<{recipient}>\r\n"));
            }
            self.flush(Step::Rcpt).await?;
            let mail = if pipelined && number == 0 { Some(self.open_reply(Step::Mail).await?) } else { None };
            let mut replies = Vec::with_capacity(recipients.len());
            for _ in recipients {
                replies.push(self.open_reply(Step::Rcpt).await?);
            }
            // Judged when every reply of the group is read, so that the session stays usable.
            mail.map_or(Ok(()), |mail| expect(Step::Mail, mail, 2).map(drop))?;
            let answered = recipients.iter().zip(replies).filter(|(_, reply)| !reply.is_success());
            refused.extend(answered.map(|(recipient, reply)| (recipient.clone(), reply)));
        }
        if refused.len() == transaction.forward_paths.len() {
            return Err(SmtpError::NoRecipient { refused });
        }
        Ok(refused)
    }

    async fn message(&mut self, data: &MessageData) -> Result<Reply, SmtpError> {
        let writing = async {
            self.stream.write_all(data.bytes()).await?;
            self.stream.flush().await
        };
        let written = within(self.timeouts.message, Step::Message, writing).await?;
        let reply = self.reply_within(Step::EndOfData, self.timeouts.message).await;
        match (written, reply) {
            // A server that has had enough says why, and closes while we still write.
            (Err(_), Ok(reply)) if !reply.is_success() => Ok(reply),
            (Err(source), _) => Err(SmtpError::Broken { step: Step::Message, source }),
            (Ok(()), reply) => reply,
        }
    }

    /// Ends a transaction that was refused, so that the next can begin.
    async fn reset_after(&mut self, error: SmtpError) -> SmtpError {
        if error.leaves_session() {
            let _ = self.command(Step::Reset, "RSET\r\n").await;
        }
        error
    }

    async fn command(&mut self, step: Step, line: &str) -> Result<Reply, SmtpError> {
        self.queue(format_args!("{line}"));
        self.flush(step).await?;
        self.reply(step).await
    }

    fn queue(&mut self, line: fmt::Arguments<'_>) {
        use std::io::Write as _;
        // Writing to memory does not fail.
        let _ = self.out.write_fmt(line);
    }

    async fn flush(&mut self, step: Step) -> Result<(), SmtpError> {
        let (stream, out) = (&mut self.stream, &self.out);
        let writing = async {
            stream.write_all(out).await?;
            stream.flush().await
        };
        // A connection that broke is told when the reply is read: there may be one that says why.
        let _ = within(self.timeouts.reply, step, writing).await?;
        self.out.clear();
        Ok(())
    }

    async fn reply(&mut self, step: Step) -> Result<Reply, SmtpError> {
        self.reply_within(step, self.timeouts.reply).await
    }

    /// A reply of a group: behind one that closes the session there are no others.
    async fn open_reply(&mut self, step: Step) -> Result<Reply, SmtpError> {
        let reply = self.reply(step).await?;
        if reply.is_closing() { Err(SmtpError::Refused { step, reply }) } else { Ok(reply) }
    }

    async fn reply_within(&mut self, step: Step, limit: Duration) -> Result<Reply, SmtpError> {
        let (stream, replies) = (&mut self.stream, &mut self.replies);
        let reading = async {
            loop {
                match replies.take() {
                    Ok(Some(reply)) => return Ok(reply),
                    Ok(None) => {}
                    Err(what) => return Err(SmtpError::Malformed { step, what }),
                }
                match stream.read_buf(replies.space()).await {
                    Ok(0) => return Err(SmtpError::Closed { step }),
                    Ok(_) => {}
                    Err(source) => return Err(SmtpError::Broken { step, source }),
                }
            }
        };
        within(limit, step, reading).await?
    }
}

impl fmt::Debug for SmtpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmtpClient").field("offer", &self.offer).field("tls", &self.tls).finish_non_exhaustive()
    }
}

async fn open(server: &ServerName, limit: Duration) -> Result<TcpStream, SmtpError> {
    #[expect(clippy::disallowed_methods, reason = "this is one of the two clients")]
    let connecting = TcpStream::connect((server.host.as_str(), server.port));
    let unreachable = |source| SmtpError::Unreachable { server: server.clone(), source };
    let stream = within(limit, Step::Connect, connecting).await?.map_err(unreachable)?;
    // Commands are small and each waits for its reply.
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

async fn within<T>(limit: Duration, step: Step, work: impl Future<Output = T>) -> Result<T, SmtpError> {
    tokio::time::timeout(limit, work).await.map_err(|_| SmtpError::TimedOut { step })
}

/// `reply`, when its code is of the wanted class.
fn expect(step: Step, reply: Reply, class: u16) -> Result<Reply, SmtpError> {
    if reply.code() / 100 == class { Ok(reply) } else { Err(SmtpError::Refused { step, reply }) }
}

#[cfg(test)]
mod tests;
