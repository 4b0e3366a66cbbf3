//! Hands messages to the running gateway over a socket file of its data folder, by LMTP.
//!
//! Only the gateway may write into the spool, so the commands that bring mail go through its door as any mail server does,
//! and end in the same accept. It blocks: call it where that may be. It must never say that a message was taken which was not
//! answered 250.
//!
//! Standards: RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 6531 (SMTPUTF8).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::mail::address::ReversePath;
use crate::outbound::reply::{Reply, ReplyBuffer};

/// Longest wait for a reply: longer than the gateway waits for its disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum LmtpError {
    /// Nobody listens at the socket file, or there is none.
    #[error("the gateway of this installation does not run ({0})")]
    Down(#[source] io::Error),
    /// The connection broke.
    #[error("the gateway broke off: {0}")]
    Broken(#[from] io::Error),
    /// What came is no reply.
    #[error("the gateway answered what is no reply: {0}")]
    Malformed(&'static str),
    /// The gateway does not want to talk.
    #[error("the gateway refuses: {0}")]
    Refused(Reply),
}

/// One connection.
#[derive(Debug)]
pub(super) struct LmtpClient {
    stream: UnixStream,
    replies: ReplyBuffer,
}

impl LmtpClient {
    /// Connects, and says LHLO.
    pub(super) fn connect(socket: &Path) -> Result<Self, LmtpError> {
        let stream = UnixStream::connect(socket).map_err(LmtpError::Down)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, replies: ReplyBuffer::default() };
        client.expect()?;
        client.stream.write_all(b"LHLO localhost\r\n")?;
        client.expect()?;
        Ok(client)
    }

    /// Opens a transaction; what was answered to MAIL, or else to each RCPT.
    pub(super) fn open(
        &mut self,
        reverse_path: &ReversePath,
        forward_paths: &[String],
    ) -> Result<Result<Vec<Reply>, Reply>, LmtpError> {
        let reverse_path = reverse_path.to_string();
        let is_ascii = reverse_path.is_ascii() && forward_paths.iter().all(|path| path.is_ascii());
        let smtputf8 = if is_ascii { "" } else { " SMTPUTF8" };
        let mut commands = format!("MAIL FROM:<{reverse_path}> BODY=8BITMIME{smtputf8}\r\n");
        for path in forward_paths {
            commands.push_str(&format!("RCPT TO:<{path}>\r\n"));
        }
        self.stream.write_all(commands.as_bytes())?;
        let mail = self.reply()?;
        let rcpt = forward_paths.iter().map(|_| self.reply()).collect::<Result<Vec<_>, _>>()?;
        Ok(if mail.is_success() { Ok(rcpt) } else { Err(mail) })
    }

    /// Sends a part of the message; the reply, which ends the transaction where it is no success.
    pub(super) fn chunk(&mut self, bytes: &[u8]) -> Result<Reply, LmtpError> {
        self.stream.write_all(format!("BDAT {}\r\n", bytes.len()).as_bytes())?;
        self.stream.write_all(bytes)?;
        self.reply()
    }

    /// Sends the last part; a reply for each of `recipients` that were taken.
    pub(super) fn last_chunk(&mut self, bytes: &[u8], recipients: usize) -> Result<Vec<Reply>, LmtpError> {
        self.stream.write_all(format!("BDAT {} LAST\r\n", bytes.len()).as_bytes())?;
        self.stream.write_all(bytes)?;
        (0..recipients).map(|_| self.reply()).collect()
    }

    /// Ends a transaction without a message.
    pub(super) fn reset(&mut self) -> Result<(), LmtpError> {
        self.stream.write_all(b"RSET\r\n")?;
        self.expect()
    }

    fn expect(&mut self) -> Result<(), LmtpError> {
        let reply = self.reply()?;
        if reply.is_success() { Ok(()) } else { Err(LmtpError::Refused(reply)) }
    }

    fn reply(&mut self) -> Result<Reply, LmtpError> {
        let mut piece = [0; 4096];
        loop {
            if let Some(reply) = self.replies.take().map_err(LmtpError::Malformed)? {
                // The session is over, whatever was asked (RFC 5321 §3.8).
                return if reply.is_closing() { Err(LmtpError::Refused(reply)) } else { Ok(reply) };
            }
            let read = self.stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.replies.space().extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }
}
