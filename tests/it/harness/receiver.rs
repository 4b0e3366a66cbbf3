//! A mail server on loopback that takes, refuses, puts off or drops mail as the test decides.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A message that was taken, or of which the answer was withheld.
#[derive(Debug, Clone)]
pub struct Taken {
    /// MAIL FROM, as it was written.
    pub reverse_path: String,
    /// Each RCPT TO that was answered 250.
    pub recipients: Vec<String>,
    /// Its octets without dot-stuffing.
    pub bytes: Vec<u8>,
}

/// What to do with one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// 250.
    Take,
    /// This reply at the end of the data.
    Answer(String),
    /// Close behind the final dot, without an answer.
    Drop,
    /// Close before the data.
    HangUp,
}

type Script = dyn Fn(&[String]) -> Do + Send + Sync;

struct Shared {
    taken: Mutex<Vec<Taken>>,
    stopping: AtomicBool,
    script: Box<Script>,
}

/// It listens until it is dropped, on an address of loopback that no gateway has.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    /// One that does with each transaction, told its recipients, what `script` says.
    pub fn start(script: impl Fn(&[String]) -> Do + Send + Sync + 'static) -> Self {
        // All of 127/8 is this machine, and gateways listen on the first address: mail to them would be a loop.
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, stopping) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { taken, stopping, script: Box::new(script) });
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A peer that goes away in the middle is what some tests are about.
                std::thread::spawn(move || drop(serve(&shared, &stream.unwrap())));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that came.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(super::PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let say = |text: &str| (&*stream).write_all(format!("{text}\r\n").as_bytes());
    let mut transaction = Taken { reverse_path: String::new(), recipients: Vec::new(), bytes: Vec::new() };
    say("220 receiver.example ESMTP")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => say("250-receiver.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8")?,
            "MAIL" => {
                transaction = Taken { reverse_path: path(), recipients: Vec::new(), bytes: Vec::new() };
                say("250 ok")?;
            }
            "RCPT" => {
                transaction.recipients.push(path());
                say("250 ok")?;
            }
            "DATA" => {
                let what = (shared.script)(&transaction.recipients);
                if what == Do::HangUp {
                    return Ok(());
                }
                say("354 go on")?;
                transaction.bytes = data(&mut reader)?;
                let answer = match &what {
                    Do::Answer(reply) => reply.clone(),
                    _ => {
                        shared.taken.lock().unwrap().push(transaction.clone());
                        "250 2.0.0 taken".to_owned()
                    }
                };
                if what == Do::Drop {
                    return Ok(());
                }
                say(&answer)?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 ok")?,
        }
    }
}

fn data(reader: &mut impl std::io::BufRead) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(bytes);
        }
        bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
