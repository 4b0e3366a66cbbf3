//! Hands the messages over, one after the other, and waits as long as it makes sense.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::journal::{Journal, Mark};
use super::places::{Kind, Source};
use super::progress::Progress;
use super::reader::{Found, MboxReader, whole};
use crate::cli::CliError;
use crate::cli::lmtp_client::{LmtpClient, LmtpError};
use crate::ids::MessageId;
use crate::mail::mbox::Quoting;
use crate::outbound::reply::Reply;

/// How long a gateway that went away, or that puts mail off, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Sent at once.
const CHUNK: usize = 256 * 1024;
/// Refusals that the report names.
const NAMED: usize = 1_000;

/// A message that was not taken, or a file that cannot be read.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    /// The file, and where in it the message begins.
    pub(super) place: String,
    /// Why.
    pub(super) reason: String,
}

/// What is left when all were handed over, or no more could be.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) journal: Journal,
    pub(super) refusals: Vec<Refusal>,
    /// Why it ended before its time.
    pub(super) stopped: Option<CliError>,
}

/// The work of one import.
#[derive(Debug)]
pub(super) struct HandOver<'a> {
    socket: PathBuf,
    client: Option<LmtpClient>,
    address: String,
    quoting: Quoting,
    journal: Journal,
    refusals: Vec<Refusal>,
    progress: &'a Progress,
}

/// What was said to one message.
enum Verdict {
    Taken(MessageId),
    /// For good.
    Refused(Reply),
    /// For now.
    Later(Reply),
    /// The destination is not there any more.
    NoDestination(Reply),
}

impl<'a> HandOver<'a> {
    pub(super) fn new(
        socket: &Path,
        address: String,
        quoting: Quoting,
        journal: Journal,
        progress: &'a Progress,
    ) -> Self {
        Self { socket: socket.to_owned(), client: None, address, quoting, journal, refusals: Vec::new(), progress }
    }

    /// Hands over what is in `sources`.
    pub(super) fn all(mut self, sources: &[Source]) -> Result<HandedOver, CliError> {
        // Nothing is read for a gateway that is not there.
        self.client = Some(LmtpClient::connect(&self.socket).map_err(unreachable)?);
        let mut stopped = None;
        for source in sources {
            let result = match source.kind {
                Kind::Message => self.message(source),
                Kind::Mbox => self.mbox(source),
            };
            if let Err(error) = result {
                stopped = Some(error);
                break;
            }
        }
        Ok(HandedOver { journal: self.journal, refusals: self.refusals, stopped })
    }

    fn message(&mut self, source: &Source) -> Result<(), CliError> {
        if self.journal.mark(source) == Some(&Mark::Whole { size: source.size, modified: source.modified }) {
            self.progress.skip(source.size);
            return Ok(());
        }
        match whole(&source.path) {
            Ok(found) => self.one(source, found),
            Err(error) => {
                self.refuse(source.path.display().to_string(), format!("cannot be read: {error}"));
                Ok(())
            }
        }
    }

    fn mbox(&mut self, source: &Source) -> Result<(), CliError> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        let mut begin = 0;
        if let Some(Mark::UpTo { begin: last, end, sha256 }) = self.journal.mark(source) {
            // Trusted only while the last message is where it was.
            let last = MboxReader::open(&source.path, self.quoting, *last).and_then(|mut reader| reader.next());
            if last.ok().flatten().is_some_and(|found| found.end == *end && found.sha256 == *sha256) {
                begin = *end;
                self.progress.skip(begin);
            }
        }
        if begin >= source.size {
            return Ok(());
        }
        let mut reader = match MboxReader::open(&source.path, self.quoting, begin) {
            Ok(reader) => reader,
            Err(error) => {
                self.refuse(source.path.display().to_string(), unreadable(error));
                return Ok(());
            }
        };
        loop {
            match reader.next() {
                Ok(None) => return Ok(()),
                Ok(Some(found)) => {
                    begin = found.end;
                    self.one(source, found)?;
                }
                Err(error) => {
                    self.refuse(format!("{}:{begin}", source.path.display()), unreadable(error));
                    return Ok(());
                }
            }
        }
    }

    /// One message, until it is taken or refused.
    fn one(&mut self, source: &Source, mut found: Found) -> Result<(), CliError> {
        self.progress.found(found.end.saturating_sub(found.begin));
        let start = Instant::now();
        loop {
            let trouble = match self.offer(&mut found) {
                Ok(Verdict::Taken(id)) => {
                    self.journal.done(source, &found, id, source.kind == Kind::Message)?;
                    self.progress.take();
                    return Ok(());
                }
                Ok(Verdict::Refused(reply)) => {
                    let place = match source.kind {
                        Kind::Message => source.path.display().to_string(),
                        Kind::Mbox => format!("{}:{}", source.path.display(), found.begin),
                    };
                    self.refuse(place, reply.to_string());
                    return Ok(());
                }
                Ok(Verdict::NoDestination(reply)) => {
                    return Err(CliError::failed(format!("the destination takes no mail: {reply}")));
                }
                Ok(Verdict::Later(reply)) => CliError::Unreachable(anyhow::anyhow!("mail is put off: {reply}")),
                Err(Trouble::Scratch(error)) => {
                    return Err(anyhow::Error::new(error).context("keeping a message").into());
                }
                Err(Trouble::Gateway(error)) => {
                    self.client = None;
                    unreachable(error)
                }
            };
            if start.elapsed() > PATIENCE {
                return Err(trouble);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn offer(&mut self, found: &mut Found) -> Result<Verdict, Trouble> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(LmtpClient::connect(&self.socket)?),
        };
        let refused = |reply: Reply| if reply.code() >= 500 { Verdict::Refused(reply) } else { Verdict::Later(reply) };
        let replies = match client.open(&found.reverse_path, std::slice::from_ref(&self.address))? {
            Ok(replies) => replies,
            Err(reply) => {
                // What was pipelined behind it is answered, and there is no transaction.
                return Ok(refused(reply));
            }
        };
        if let Some(reply) = replies.into_iter().find(|reply| !reply.is_success()) {
            client.reset()?;
            return Ok(if reply.code() >= 500 { Verdict::NoDestination(reply) } else { Verdict::Later(reply) });
        }
        found.body.seek(SeekFrom::Start(0)).map_err(Trouble::Scratch)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let reply = loop {
            chunk.clear();
            let most = u64::try_from(CHUNK).unwrap_or(u64::MAX);
            found.body.by_ref().take(most).read_to_end(&mut chunk).map_err(Trouble::Scratch)?;
            if chunk.len() < CHUNK {
                break client.last_chunk(&chunk, 1)?.into_iter().next();
            }
            let reply = client.chunk(&chunk)?;
            if !reply.is_success() {
                break Some(reply);
            }
        };
        match reply {
            Some(reply) if reply.is_success() => match id_of(&reply) {
                Some(id) => Ok(Verdict::Taken(id)),
                None => Err(LmtpError::Malformed("it names no message").into()),
            },
            Some(reply) => Ok(refused(reply)),
            None => Err(LmtpError::Malformed("there is none").into()),
        }
    }

    fn refuse(&mut self, place: String, reason: String) {
        self.progress.refuse();
        if self.refusals.len() < NAMED {
            self.refusals.push(Refusal { place, reason });
        }
    }
}

/// Why a message was neither taken nor refused.
#[derive(Debug)]
enum Trouble {
    Gateway(LmtpError),
    /// The scratch file.
    Scratch(io::Error),
}

impl From<LmtpError> for Trouble {
    fn from(error: LmtpError) -> Self {
        Self::Gateway(error)
    }
}

fn unreachable(error: LmtpError) -> CliError {
    CliError::Unreachable(
        anyhow::Error::new(error).context("start it with `connex serve`; the same command goes on where this one was"),
    )
}

/// The id at the end of `2.0.0 Ok: msg_…`.
fn id_of(reply: &Reply) -> Option<MessageId> {
    reply.text().rsplit(' ').next()?.parse().ok()
}
