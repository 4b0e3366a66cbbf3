//! Where mail is delivered in the end: a server that takes everything for everybody, and keeps it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::{PATIENCE, wait_for};

/// One transaction that it took.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The reverse-path.
    pub from: String,
    /// The forward-paths.
    pub to: Vec<String>,
    /// The message, without dot-stuffing.
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    delivered: Mutex<Vec<Delivered>>,
    is_over: AtomicBool,
}

/// A mail server without TLS; it stops listening when dropped.
pub struct Destination {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Destination {
    /// Takes mail on a free port of loopback.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&serving)) else { return };
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// The port on loopback.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that it took so far.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.shared.delivered.lock().unwrap().clone()
    }

    /// What it took with this Message-ID, once that was for all of `to`, in one transaction or several.
    pub fn arrival(&self, id: &str, to: &[&str]) -> Delivered {
        wait_for(&format!("<{id}> at its destination for {to:?}"), || {
            let mut own = self.delivered();
            own.retain(|one| String::from_utf8_lossy(&one.bytes).contains(&format!("Message-ID: <{id}>")));
            let is_for = |to: &&str| own.iter().any(|one| one.to.iter().any(|path| path == to));
            to.iter().all(is_for).then(|| own.swap_remove(0))
        })
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    stream.write_all(b"220 far.example\r\n").ok()?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let line = line_of(&mut reader)?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let path = || line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned());
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => stream.write_all(b"250-far.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n").ok()?,
            "MAIL" => {
                (from, to) = (path()?, Vec::new());
                stream.write_all(b"250 2.1.0 Ok\r\n").ok()?;
            }
            "RCPT" => {
                to.push(path()?);
                stream.write_all(b"250 2.1.5 Ok\r\n").ok()?;
            }
            "DATA" => {
                stream.write_all(b"354 Go on\r\n").ok()?;
                let bytes = body_of(&mut reader)?;
                shared.delivered.lock().unwrap().push(Delivered { from: from.clone(), to: to.clone(), bytes });
                stream.write_all(b"250 2.0.0 Ok\r\n").ok()?;
            }
            "QUIT" => return stream.write_all(b"221 2.0.0 Bye\r\n").ok(),
            _ => stream.write_all(b"250 2.0.0 Ok\r\n").ok()?,
        }
    }
}

fn line_of(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    (reader.read_until(b'\n', &mut line).ok()? > 0).then_some(line)
}

/// What DATA carries up to its end (RFC 5321 §4.5.2).
fn body_of(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let line = line_of(reader)?;
        if line == b".\r\n" {
            return Some(bytes);
        }
        bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
