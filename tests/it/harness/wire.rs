//! A raw SMTP or LMTP client: writes what it is told and reads replies.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;

/// One connection.
pub struct Wire {
    stream: Box<dyn Write + Send>,
    reader: BufReader<Box<dyn Read + Send>>,
}

impl Wire {
    /// Connects; the greeting is not read yet.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(Box::new(stream.try_clone()?)), stream: Box::new(stream) })
    }

    /// As [`Wire::connect`], to a socket file.
    pub fn connect_file(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(Box::new(stream.try_clone()?)), stream: Box::new(stream) })
    }

    /// Connects, reads the greeting and says EHLO.
    pub fn hello(address: SocketAddr) -> Result<Self> {
        let mut wire = Self::connect(address)?;
        wire.reply()?;
        wire.command("EHLO client.example")?;
        Ok(wire)
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// One reply: its code, and its lines joined.
    pub fn reply(&mut self) -> Result<(u16, String)> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or(ErrorKind::InvalidData)?;
                return Ok((code, text));
            }
        }
    }

    /// Sends a line and reads its reply.
    pub fn command(&mut self, line: &str) -> Result<(u16, String)> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends one message to one recipient, dot-stuffed; the last reply, which is the first one that refuses.
    pub fn mail(&mut self, from: &str, to: &str, message: &[u8]) -> Result<(u16, String)> {
        for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
            let reply = self.command(&line)?;
            if reply.0 >= 400 {
                self.command("RSET")?;
                return Ok(reply);
            }
        }
        self.send(&stuffed(message))?;
        self.reply()
    }
}

/// A message as DATA carries it, with the end of data (RFC 5321 §4.5.2).
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
