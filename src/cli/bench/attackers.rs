//! Peers that hold connections and hand nothing over, each in its own way, from addresses of their own.
//!
//! They come back as soon as they are cut, so that their number stays. Only loopback is ever attacked: the gateway that the
//! measurement itself has started.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cli::CliError;

/// What an attacker does once it is connected.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing.
    Silent,
    /// EHLO, an octet a second.
    Letters,
    /// A message, an octet a second.
    Drip,
    /// Commands as fast as they are taken, and never reads a reply.
    Deaf,
    /// NOOP and RSET without end.
    Chatter,
    /// AUTH with a new password each time.
    Guesser,
    /// STARTTLS, and then the first octets of a handshake.
    Handshake,
}

const KINDS: [Kind; 7] =
    [Kind::Silent, Kind::Letters, Kind::Drip, Kind::Deaf, Kind::Chatter, Kind::Guesser, Kind::Handshake];

/// A running attack; it goes on until it is ended.
pub(super) struct Attack {
    seen: Arc<Seen>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Seen {
    open: AtomicU64,
    connections: AtomicU64,
    cut: AtomicU64,
    longest: Mutex<Duration>,
}

/// What came of an attack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    /// Connections that the attackers made.
    pub(super) connections: u64,
    /// Those that the server ended.
    pub(super) cut: u64,
    /// Those that were open when nobody was waited for any more.
    pub(super) open: u64,
    /// The longest that one lasted.
    pub(super) longest: Duration,
}

impl Attack {
    /// Starts so many attackers on a thread of their own; as many connections as that were made when it returns.
    pub(super) async fn start(server: SocketAddr, number: u32, to: &str) -> Result<Self, CliError> {
        let attack = Self { seen: Arc::default(), stop: CancellationToken::new() };
        let (seen, stop, to) = (Arc::clone(&attack.seen), attack.stop.clone(), Arc::<str>::from(to));
        let failed = |error| CliError::Unreachable(anyhow::Error::new(error).context("starting the attackers"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = std::thread::Builder::new().name("attackers".to_owned());
        let work = move || {
            runtime.block_on(async {
                let mut attackers = JoinSet::new();
                for index in 0..number {
                    attackers.spawn(attacker(index, server, Arc::clone(&to), Arc::clone(&seen), stop.clone()));
                }
                while attackers.join_next().await.is_some() {}
            });
        };
        thread.spawn(work).map_err(failed)?;
        let connected =
            timeout(CONNECTING, attack.until(|seen| seen.connections.load(Ordering::Relaxed) >= u64::from(number)))
                .await;
        connected.map_err(|_| CliError::failed("the attackers could not all connect"))?;
        Ok(attack)
    }

    /// Lets nobody come back, and waits until all are cut, or for so long.
    pub(super) async fn end(self, patience: Duration) -> Outcome {
        self.stop.cancel();
        let _ = timeout(patience, self.until(|seen| seen.open.load(Ordering::Relaxed) == 0)).await;
        let seen = &self.seen;
        Outcome {
            connections: seen.connections.load(Ordering::Relaxed),
            cut: seen.cut.load(Ordering::Relaxed),
            open: seen.open.load(Ordering::Relaxed),
            longest: *seen.longest.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    async fn until(&self, holds: impl Fn(&Seen) -> bool) {
        while !holds(&self.seen) {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// How long all attackers together may take to connect.
const CONNECTING: Duration = Duration::from_secs(60);
/// Between two octets or commands of a slow attacker.
const SLOW: Duration = Duration::from_secs(1);
/// Between two commands of one that talks.
const BUSY: Duration = Duration::from_millis(100);

async fn attacker(index: u32, server: SocketAddr, to: Arc<str>, seen: Arc<Seen>, stop: CancellationToken) {
    let kind = usize::try_from(index).ok().and_then(|index| KINDS.get(index % KINDS.len()).copied());
    let Some(kind) = kind else { return };
    while !stop.is_cancelled() {
        if let Ok(stream) = connect(index, server).await {
            seen.connections.fetch_add(1, Ordering::Relaxed);
            seen.open.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            // How it ends is the same to an attacker.
            let _ = hold(kind, stream, &to).await;
            seen.open.fetch_sub(1, Ordering::Relaxed);
            seen.cut.fetch_add(1, Ordering::Relaxed);
            let mut longest = seen.longest.lock().unwrap_or_else(PoisonError::into_inner);
            *longest = begun.elapsed().max(*longest);
        }
        sleep(BUSY).await;
    }
}

/// From an address of its own, of a network that few others share: 127.0.0.0/8 is this machine.
async fn connect(index: u32, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let [.., high, low] = index.to_be_bytes();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 1 + high, low, 1), 0)))?;
    socket.connect(server).await
}

/// Until the server ends the connection.
async fn hold(kind: Kind, mut stream: TcpStream, to: &str) -> io::Result<()> {
    // Who talks first is sent away at once; these know better.
    let _ = stream.read(&mut [0; 128]).await?;
    match kind {
        Kind::Silent => listen(&mut stream).await,
        Kind::Letters => drip(stream, &b"EHLO ".iter().chain(&[b'a'; 2_000]).copied().collect::<Vec<_>>()).await,
        Kind::Drip => {
            let begin = format!("EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
            stream.write_all(begin.as_bytes()).await?;
            drip(stream, &b"slowly\r\n".repeat(1_000)).await
        }
        Kind::Deaf => loop {
            stream.write_all(&b"NOOP\r\n".repeat(500)).await?;
        },
        Kind::Chatter => repeat(stream, b"NOOP\r\nRSET\r\n").await,
        Kind::Guesser => repeat(stream, b"AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=\r\n").await,
        Kind::Handshake => {
            stream.write_all(b"EHLO slow.example\r\nSTARTTLS\r\n").await?;
            sleep(SLOW).await;
            // RFC 8446 §5.1: a handshake record whose rest never comes.
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").await?;
            listen(&mut stream).await
        }
    }
}

async fn listen(stream: &mut TcpStream) -> io::Result<()> {
    let mut scrap = [0; 1_024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

async fn drip(mut stream: TcpStream, octets: &[u8]) -> io::Result<()> {
    for octet in octets {
        stream.write_all(std::slice::from_ref(octet)).await?;
        if let Ok(ended) = timeout(SLOW, listen(&mut stream)).await {
            return ended;
        }
    }
    listen(&mut stream).await
}

async fn repeat(mut stream: TcpStream, commands: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(commands).await?;
        if let Ok(ended) = timeout(BUSY, listen(&mut stream)).await {
            return ended;
        }
    }
}
