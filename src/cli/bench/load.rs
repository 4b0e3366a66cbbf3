//! The load: sessions that hand over messages, on a thread of their own.
//!
//! Without a rate each session sends its next message when the one before is answered (a closed loop): that measures how
//! many go, and the latency of each. With a rate each message has its time, and its latency counts from that time, also
//! when no session was free then (an open loop): a server that stalls cannot hide the messages that wait meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cpu;
use crate::cli::smtp_client::{
    Commands, MessageData, Security, ServerName, Settings, SmtpClient, SmtpError, Step, Transaction,
};
use crate::cli::{CliError, samples};
use crate::clock::Clock;
use crate::mail::address::{Mailbox, ReversePath};

/// What to send, and to whom.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) server: ServerName,
    pub(super) security: Security,
    pub(super) to: Mailbox,
    pub(super) sessions: u32,
    pub(super) messages: u64,
    pub(super) size: u64,
    pub(super) rate: Option<f64>,
    /// In front of the number of each message in its Message-ID.
    pub(super) run: String,
    /// Told of each message when its time has come.
    pub(super) due: Option<Due>,
}

/// Called with the number of a message and its time.
#[derive(Clone)]
pub(super) struct Due(pub(super) Arc<dyn Fn(u64, Instant) + Send + Sync>);

impl std::fmt::Debug for Due {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Due")
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// MAIL to the reply behind the message, or from the message's time on; in microseconds.
    pub(super) latencies: Vec<u32>,
    /// Messages that were not taken, or of which nobody knows.
    pub(super) failed: u64,
    /// The first such failure, in words.
    pub(super) first_failure: Option<String>,
    /// From the first message to the last reply; connecting is not in it.
    pub(super) took: Duration,
    /// Processor time of the thread that sent; `None` where it is not told.
    pub(super) cpu: Option<Duration>,
}

/// Sends on a thread of its own, so that its processor time can be told from the server's in the same process.
pub(super) async fn send(load: Load) -> Result<Sent, CliError> {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let sent = match runtime {
            Ok(runtime) => runtime.block_on(drive(load)),
            Err(error) => Err(CliError::Unreachable(anyhow::Error::new(error).context("starting the load"))),
        };
        let _ = done.send(sent);
    });
    thread.map_err(|error| CliError::Unreachable(anyhow::Error::new(error).context("starting the load")))?;
    result.await.map_err(|_| CliError::failed("the load ended without a result"))?
}

async fn drive(load: Load) -> Result<Sent, CliError> {
    let load = Arc::new(load);
    let mut clients = Vec::new();
    for _ in 0..load.sessions {
        clients.push(connect(&load).await?);
    }
    let cpu = cpu::of_thread();
    let start = Instant::now();
    let shared = Arc::new(Shared { body: MessageData::new(&body(load.size)), next: AtomicU64::new(0), start, load });
    let mut sessions = JoinSet::new();
    for client in clients {
        let session = Session { shared: Arc::clone(&shared), client: Some(client), in_a_row: 0, sent: Sent::default() };
        sessions.spawn(session.run());
    }
    let mut all = Sent::default();
    while let Some(ended) = sessions.join_next().await {
        all.add(ended.map_err(anyhow::Error::new)?);
    }
    all.took = start.elapsed();
    all.cpu = cpu::of_thread().zip(cpu).map(|(after, before)| after.saturating_sub(before));
    Ok(all)
}

async fn connect(load: &Load) -> Result<SmtpClient, SmtpError> {
    // One command after the other, as common load generators do, so that figures can be compared with theirs.
    let settings = Settings { commands: Commands::OneByOne, ..Settings::new(load.security.clone()) };
    SmtpClient::connect(&load.server, &settings).await
}

struct Shared {
    load: Arc<Load>,
    body: MessageData,
    next: AtomicU64,
    start: Instant,
}

struct Session {
    shared: Arc<Shared>,
    client: Option<SmtpClient>,
    in_a_row: u32,
    sent: Sent,
}

/// Failures in a row after which a session gives up.
const MOST_FAILURES: u32 = 10;

impl Session {
    async fn run(mut self) -> Sent {
        let shared = Arc::clone(&self.shared);
        while self.in_a_row < MOST_FAILURES {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            if number >= shared.load.messages {
                break;
            }
            let data = shared.message(number);
            let begun = shared.when_due(number).await;
            match self.hand_over(&data).await {
                Ok(()) => {
                    self.in_a_row = 0;
                    self.sent.latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                Err(error) => {
                    self.in_a_row += 1;
                    self.sent.failed += 1;
                    self.sent.first_failure.get_or_insert_with(|| error.to_string());
                    if !error.leaves_session() {
                        self.client = None;
                    }
                }
            }
        }
        if let Some(client) = self.client {
            client.quit().await;
        }
        self.sent
    }

    async fn hand_over(&mut self, data: &MessageData) -> Result<(), SmtpError> {
        match self.try_once(data).await {
            // Servers let one connection hand over so many messages, and then ask to come again.
            Err(SmtpError::Refused { step: Step::Mail, reply }) if reply.is_closing() => {
                self.client = None;
                self.try_once(data).await
            }
            result => result,
        }
    }

    async fn try_once(&mut self, data: &MessageData) -> Result<(), SmtpError> {
        let load = &self.shared.load;
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(connect(load).await?),
        };
        let transaction = Transaction {
            reverse_path: &ReversePath::Mailbox(load.to.clone()),
            forward_paths: std::slice::from_ref(&load.to),
            data,
        };
        client.send(transaction).await.map(drop)
    }
}

impl Shared {
    /// A message that differs from all others.
    fn message(&self, number: u64) -> MessageData {
        let Load { to, run, .. } = &*self.load;
        let date = samples::date(&Clock::System);
        let head = format!(
            "From: Bench <{to}>\r\nTo: <{to}>\r\nSubject: Message {number}\r\nMessage-ID: <{run}.{number}@{domain}>\r\n\
             Date: {date}\r\n\r\n",
            domain = to.domain(),
        );
        self.body.behind(head.as_bytes())
    }

    /// Waits until the message's time; without a rate that is now.
    async fn when_due(&self, number: u64) -> Instant {
        let due = match self.load.rate {
            None => Instant::now(),
            Some(rate) => {
                let due = self.start + Duration::from_secs_f64(super::figures::number(number) / rate);
                tokio::time::sleep_until(due).await;
                due
            }
        };
        if let Some(told) = &self.load.due {
            (told.0)(number, due);
        }
        due
    }
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

/// A request and plain text behind it, so many octets in all.
fn body(size: u64) -> Vec<u8> {
    // Mail asks once and then goes on: a body of nothing but requests would measure the decision engine at its worst.
    const ASK: &[u8] = b"Could you please send the proof of funds by Friday?\r\n";
    const LINE: &[u8] = b"The committee met on Monday and went through the list of the open points.\r\n";
    let size = usize::try_from(size).unwrap_or(usize::MAX).max(2);
    let mut body: Vec<u8> = ASK.iter().chain(LINE.iter().cycle()).copied().take(size - 2).collect();
    // A cut must not leave half a line end.
    if let Some(last) = body.last_mut()
        && *last == b'\r'
    {
        *last = b'.';
    }
    body.extend_from_slice(b"\r\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_that_was_asked_for() {
        for size in [2, 50, 53, 54, 55, 56, 1_024, 10_240] {
            assert_eq!(MessageData::new(&body(size)).size(), size, "{size}");
        }
    }
}
