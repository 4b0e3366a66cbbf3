//! A webhook receiver whose answers the test decides.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connex::clock::Clock;
use connex::webhook::sign::{TOLERANCE, WebhookSecret, verify};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Hit {
    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether the signature is that of `secret`.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let secret = WebhookSecret::parse(secret).unwrap();
        verify(&self.headers, &self.body, &[secret], Clock::System.now(), TOLERANCE).is_ok()
    }
}

/// What to answer: a status code, or nothing until the sink is dropped.
type Script = dyn Fn(&Hit) -> Option<u16> + Send + Sync;

struct Shared {
    hits: Mutex<Vec<Hit>>,
    stopping: AtomicBool,
    script: Box<Script>,
}

/// A receiver; it stops listening when dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sink {
    /// Answers everything with 204.
    pub fn start() -> Self {
        Self::answering("127.0.0.1:0".parse().unwrap(), |_| Some(204))
    }

    /// Listens at `address` and answers what `script` says; None never answers.
    pub fn answering(address: SocketAddr, script: impl Fn(&Hit) -> Option<u16> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { hits: Mutex::default(), stopping: AtomicBool::new(false), script: Box::new(script) });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&serving)) else { return };
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Where events are posted to.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What arrived so far.
    pub fn hits(&self) -> Vec<Hit> {
        self.hits_after(0)
    }

    /// What arrived after the first `count`.
    pub fn hits_after(&self, count: usize) -> Vec<Hit> {
        self.shared.hits.lock().unwrap()[count..].to_vec()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut headers = HeaderMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let name: HeaderName = name.parse().ok()?;
        headers.insert(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let hit = Hit { headers, body };
    let status = (shared.script)(&hit);
    shared.hits.lock().unwrap().push(hit);
    let Some(status) = status else {
        while !shared.stopping.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        return None;
    };
    let answer = format!("HTTP/1.1 {status} Test\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()
}
