//! The message that is piped in: read once, and given as often as there are transactions.
//!
//! It waits in a scratch file without a name, not in memory, whatever its size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::mail::crlf::ToCrlf;
use crate::mail::message::{self, HeaderAddress, Limits};

/// The message as it goes over the wire.
#[derive(Debug)]
pub(super) struct Piped {
    file: File,
    /// Who its header names, where that was asked for.
    pub(super) recipients: Vec<String>,
}

/// Octets of a header in which recipients are looked for; a longer one is refused, as none of them may be missed.
const HEADER: usize = 1024 * 1024;
/// Recipients that a header may name.
const RECIPIENTS: usize = 10_000;
/// Octets of a line that are looked at together.
const PIECE: u64 = 64 * 1024;

impl Piped {
    /// Reads to the end of `input`, or to a line with a dot alone unless `ignore_dots`.
    pub(super) fn read(input: impl Read, ignore_dots: bool, from_header: bool) -> io::Result<Self> {
        let mut input = BufReader::new(input);
        let mut out = BufWriter::new(tempfile::tempfile()?);
        let mut ends = ToCrlf::default();
        let mut header = Header { is_open: from_header, text: Vec::new(), skips: false };
        let (mut piece, mut line, mut is_start, mut is_first) = (Vec::new(), Vec::new(), true, true);
        loop {
            piece.clear();
            if input.by_ref().take(PIECE).read_until(b'\n', &mut piece)? == 0 {
                break;
            }
            if is_start && !ignore_dots && matches!(piece.as_slice(), b".\n" | b".\r\n" | b".") {
                break;
            }
            // The line of a mailbox file that some programs put first is no header field.
            let is_separator = is_first && piece.starts_with(b"From ");
            is_first = false;
            let kept = !is_separator && header.takes(&piece, is_start)?;
            is_start = piece.ends_with(b"\n");
            if kept {
                line.clear();
                ends.push(&piece, &mut line);
                out.write_all(&line)?;
            }
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, recipients: header.recipients() })
    }

    /// Begins again.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0)).map(drop)
    }

    /// Puts the next `most` octets into `chunk`, or what is left.
    pub(super) fn next(&mut self, chunk: &mut Vec<u8>, most: usize) -> io::Result<()> {
        chunk.clear();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        Read::by_ref(&mut self.file).take(most).read_to_end(chunk).map(drop)
    }
}

/// The header, while it is read for recipients.
struct Header {
    is_open: bool,
    text: Vec<u8>,
    /// Whether the lines at hand are of a Bcc field.
    skips: bool,
}

impl Header {
    /// Whether the line goes into the message.
    fn takes(&mut self, line: &[u8], is_start: bool) -> io::Result<bool> {
        if !self.is_open {
            return Ok(true);
        }
        if is_start && matches!(line, b"\n" | b"\r\n") {
            self.is_open = false;
            return Ok(true);
        }
        self.text.extend_from_slice(line);
        if self.text.len() > HEADER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the header is too long to look for recipients in"));
        }
        if is_start && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            self.skips = line.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"bcc:"));
        }
        Ok(!self.skips)
    }

    fn recipients(self) -> Vec<String> {
        let limits = Limits { header_block: HEADER, list: RECIPIENTS, value: HEADER, ..Limits::default() };
        let read = message::read(&self.text, &limits);
        let address = |address: HeaderAddress| address.address;
        read.to.into_iter().chain(read.cc).chain(read.bcc).map(address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piped(input: &str, ignore_dots: bool, from_header: bool) -> (String, Vec<String>) {
        let mut piped = Piped::read(input.as_bytes(), ignore_dots, from_header).unwrap();
        let (mut all, mut chunk) = (Vec::new(), Vec::new());
        piped.rewind().unwrap();
        loop {
            piped.next(&mut chunk, 7).unwrap();
            all.extend_from_slice(&chunk);
            if chunk.len() < 7 {
                return (String::from_utf8(all).unwrap(), piped.recipients);
            }
        }
    }

    #[test]
    fn a_dot_alone_ends_the_message_unless_it_is_to_be_ignored() {
        assert_eq!(piped("a\n..\n.\nb\n", false, false).0, "a\r\n..\r\n");
        assert_eq!(piped("a\n..\n.\nb\n", true, false).0, "a\r\n..\r\n.\r\nb\r\n");
        assert_eq!(piped("From x Mon\nA: b\n\nFrom x\n", true, false).0, "A: b\r\n\r\nFrom x\r\n");
    }

    #[test]
    fn recipients_are_those_of_the_header_and_bcc_goes() {
        let input = "To: Ann <ann@a.example>,\n bob@a.example\nBCC: eve@a.example,\n\tkim@a.example\nSubject: x\ncc: lee@a.example\n\n\
                     To: none@a.example\nBcc: none\n";
        let (message, mut recipients) = piped(input, true, true);
        recipients.sort_unstable();
        assert_eq!(recipients, ["ann", "bob", "eve", "kim", "lee"].map(|name| format!("{name}@a.example")));
        let expected = "To: Ann <ann@a.example>,\n bob@a.example\nSubject: x\ncc: lee@a.example\n\nTo: none@a.example\nBcc: none\n";
        assert_eq!(message, expected.replace('\n', "\r\n"));
        assert!(piped(input, true, false).1.is_empty());
    }
}
