//! Messages out of files, one at a time, as they go over the wire.
//!
//! A message waits in memory while it is small, and in a scratch file when it is not, so that it can be sent again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};
use tempfile::SpooledTempFile;

use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::crlf::ToCrlf;
use crate::mail::mbox::{Piece, Quoting, Splitter};
use crate::mail::message::{self, Limits};

/// Octets of a message that are kept in memory.
const IN_MEMORY: usize = 1024 * 1024;
/// Octets of a line that are looked at together.
const PIECE: u64 = 64 * 1024;
/// Octets of a header that are looked at for the sender.
const HEADER: u64 = 256 * 1024;

/// A message.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it begins in its file, and where the next one does.
    pub(super) begin: u64,
    pub(super) end: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub(super) sha256: String,
    pub(super) body: SpooledTempFile,
    /// Who sent it, as far as it can be known.
    pub(super) reverse_path: ReversePath,
}

/// The message that a file is.
pub(super) fn whole(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let mut writing = Writing::new(0, None);
    let mut piece = Vec::new();
    let mut end = 0;
    loop {
        piece.clear();
        let read = Read::by_ref(&mut file).take(PIECE).read_to_end(&mut piece)?;
        if read == 0 {
            return writing.found(end);
        }
        end += u64::try_from(read).unwrap_or_default();
        writing.push(&piece)?;
    }
}

/// Reads a mailbox file.
#[derive(Debug)]
pub(super) struct MboxReader {
    file: BufReader<File>,
    offset: u64,
    splitter: Splitter,
    /// Of the message whose first line was read.
    next: Option<Writing>,
}

impl MboxReader {
    /// From the message that begins at `offset`.
    pub(super) fn open(path: &Path, quoting: Quoting, offset: u64) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, offset, splitter: Splitter::new(quoting), next: None })
    }

    /// The next message.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let mut piece = Vec::new();
        let mut is_start = true;
        loop {
            piece.clear();
            let begin = self.offset;
            let read = self.file.by_ref().take(PIECE).read_until(b'\n', &mut piece)?;
            if read == 0 {
                return self.next.take().map(|writing| writing.found(begin)).transpose();
            }
            self.offset = begin.saturating_add(u64::try_from(read).unwrap_or_default());
            match (self.splitter.line(&piece, is_start), &mut self.next) {
                (Piece::Separator(sender), next) => {
                    let done = next.replace(Writing::new(begin, Some(sender)));
                    if let Some(writing) = done {
                        return writing.found(begin).map(Some);
                    }
                }
                (Piece::Text(held, text), Some(writing)) => {
                    writing.push(held.unwrap_or_default())?;
                    writing.push(text)?;
                }
                (Piece::Held, Some(_)) => {}
                (Piece::Stray, _) | (_, None) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "no message begins here"));
                }
            }
            is_start = piece.ends_with(b"\n");
        }
    }
}

/// A message that is being read.
#[derive(Debug)]
struct Writing {
    begin: u64,
    sender: Option<String>,
    body: SpooledTempFile,
    ends: ToCrlf,
    out: Vec<u8>,
    hash: Hash,
}

/// A digest that `Debug` need not show.
struct Hash(Context);

impl std::fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hash")
    }
}

impl Writing {
    fn new(begin: u64, sender: Option<&[u8]>) -> Self {
        Self {
            begin,
            sender: sender.map(|sender| String::from_utf8_lossy(sender).into_owned()),
            body: SpooledTempFile::new(IN_MEMORY),
            ends: ToCrlf::default(),
            out: Vec::new(),
            hash: Hash(Context::new(&SHA256)),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.clear();
        self.ends.push(bytes, &mut self.out);
        self.hash.0.update(&self.out);
        self.body.write_all(&self.out)
    }

    fn found(mut self, end: u64) -> io::Result<Found> {
        let reverse_path = reverse_path(&header(&mut self.body)?, self.sender.as_deref());
        let digest = self.hash.0.finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Found { begin: self.begin, end, sha256, body: self.body, reverse_path })
    }
}

/// What stands before the first empty line.
fn header(body: &mut SpooledTempFile) -> io::Result<Vec<u8>> {
    body.seek(SeekFrom::Start(0))?;
    let mut header = Vec::new();
    Read::by_ref(body).take(HEADER).read_to_end(&mut header)?;
    if let Some(end) = memchr::memmem::find(&header, b"\r\n\r\n") {
        header.truncate(end.saturating_add(2));
    }
    Ok(header)
}

/// What was noted at delivery, else the sender of the separator, else the author. A null reverse-path says that a program
/// wrote the message: it must not come from not knowing.
fn reverse_path(header: &[u8], sender: Option<&str>) -> ReversePath {
    let read = message::read(header, &Limits::default());
    let mailbox = |text: &str| Mailbox::parse(text).ok().map(ReversePath::Mailbox);
    match read.trace.return_path.as_deref() {
        Some("") => return ReversePath::Null,
        Some(path) if let Some(path) = mailbox(path) => return path,
        _ => {}
    }
    let author = || read.author.and_then(|author| author.mailbox).map(ReversePath::Mailbox);
    sender.and_then(mailbox).or_else(author).unwrap_or(ReversePath::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(found: &mut Found) -> String {
        let mut text = String::new();
        found.body.seek(SeekFrom::Start(0)).unwrap();
        found.body.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_mailbox_file_is_read_from_any_message_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(200_000);
        let first = format!("From ann@lake.example Mon Nov 23 09:01:00 2026\nSubject: 1\n\n{long}\n>From y\n\n");
        let second = "From - Mon Nov 23 09:02:00 2026\nFrom: Bob <bob@lake.example>\n\nTwo";
        std::fs::write(file.path(), format!("{first}{second}")).unwrap();
        let mut reader = MboxReader::open(file.path(), Quoting::Mboxrd, 0).unwrap();
        let mut one = reader.next().unwrap().unwrap();
        assert_eq!(bytes(&mut one), format!("Subject: 1\r\n\r\n{long}\r\nFrom y\r\n"));
        assert_eq!((one.begin, one.end), (0, first.len() as u64));
        assert_eq!(one.reverse_path.to_string(), "ann@lake.example");
        let mut two = reader.next().unwrap().unwrap();
        assert_eq!(bytes(&mut two), "From: Bob <bob@lake.example>\r\n\r\nTwo");
        assert_eq!(two.reverse_path.to_string(), "bob@lake.example", "`-` is nobody");
        assert!(reader.next().unwrap().is_none());
        let mut again = MboxReader::open(file.path(), Quoting::Mboxrd, one.end).unwrap();
        assert_eq!(again.next().unwrap().unwrap().sha256, two.sha256);
        let mut inside = MboxReader::open(file.path(), Quoting::Mboxrd, 10).unwrap();
        assert!(inside.next().is_err());
    }

    #[test]
    fn a_null_return_path_is_kept_and_no_other_is_made_up() {
        let of = |header: &str, sender: Option<&str>| reverse_path(header.as_bytes(), sender).to_string();
        assert_eq!(of("Return-Path: <>\r\nFrom: a@b.example\r\n", Some("c@d.example")), "");
        assert_eq!(of("Return-Path: <r@b.example>\r\nFrom: a@b.example\r\n", Some("c@d.example")), "r@b.example");
        assert_eq!(of("From: a@b.example\r\n", Some("MAILER-DAEMON")), "a@b.example");
    }
}
