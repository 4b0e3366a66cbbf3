//! Clients that send mail without end and note what was answered 250.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Wire, message, sha256, wait_within};

/// How long it may take until all is read: a debug build reads large messages slowly, the more so on a busy machine.
pub const READING: Duration = Duration::from_secs(300);

/// So many messages are sent beyond those that are waited for: the load goes on while a test does something to a node.
const AHEAD: usize = 100;

/// Message-ID and SHA-256 of what was answered 250.
pub type Taken = BTreeMap<String, String>;

/// Sessions that send until they are told to stop, a little ahead of what is waited for. What was not answered is sent again with the same Message-ID and
/// content, as MTAs do; with several addresses, to the next one.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients share.
#[derive(Default)]
struct Shared {
    to: String,
    addresses: Mutex<Vec<SocketAddr>>,
    stop: AtomicBool,
    /// The test has failed: nobody waits for answers any more.
    is_abandoned: AtomicBool,
    /// How often a message was answered 250.
    answered: AtomicUsize,
    /// Nothing is sent beyond this: accepting is much quicker than reading, and a test must not drown in its own mail.
    allowed: AtomicUsize,
    taken: Mutex<Taken>,
    refusals: Mutex<Vec<String>>,
}

impl Load {
    /// Starts so many sessions, which wait until [`Load::go_to`] tells where the gateway is.
    pub fn start(sessions: usize, to: &str, seed: u64) -> Self {
        let shared = Arc::new(Shared { to: to.to_owned(), allowed: AtomicUsize::new(AHEAD), ..Shared::default() });
        let clients = (0..sessions).map(|session| client(session, seed, Arc::clone(&shared))).collect();
        Self { shared, clients }
    }

    /// Where mail goes from now on: the sessions are spread over these addresses.
    pub fn go_to(&self, addresses: &[SocketAddr]) {
        *self.shared.addresses.lock().unwrap() = addresses.to_vec();
    }

    /// How often a message was answered 250.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Waits until so many more were answered 250.
    pub fn more(&self, count: usize, patience: Duration, what: &str) {
        let wanted = self.answered() + count;
        self.shared.allowed.fetch_max(wanted + AHEAD, Ordering::SeqCst);
        wait_within(patience, what, || (self.answered() >= wanted).then_some(()));
    }

    /// What was answered 250 so far.
    pub fn taken(&self) -> Taken {
        self.shared.taken.lock().unwrap().clone()
    }

    /// Ends it, when each session has had its last message answered; what was answered 250, and the replies that a
    /// healthy gateway never gives.
    pub fn finish(mut self) -> (Taken, Vec<String>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        std::mem::take(&mut self.clients).into_iter().for_each(|client| client.join().unwrap());
        let refusals = std::mem::take(&mut *self.shared.refusals.lock().unwrap());
        let taken = std::mem::take(&mut *self.shared.taken.lock().unwrap());
        (taken, refusals)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_abandoned.store(true, Ordering::SeqCst);
    }
}

fn client(session: usize, seed: u64, shared: Arc<Shared>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut random = random(seed ^ (session as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (mut wire, mut turn) = (None, session);
        for number in 0.. {
            while shared.answered.load(Ordering::SeqCst) >= shared.allowed.load(Ordering::SeqCst) {
                if shared.stop.load(Ordering::SeqCst) || shared.is_abandoned.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            let id = format!("load-{session}-{number}@lakeside.example");
            let bytes = some_message(&id, &shared.to, &mut random);
            while !is_answered(&mut wire, turn, &bytes, &shared) {
                if shared.is_abandoned.load(Ordering::SeqCst) {
                    return;
                }
                wire = None;
                turn += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            shared.taken.lock().unwrap().insert(id, sha256(&bytes));
            shared.answered.fetch_add(1, Ordering::SeqCst);
            if shared.stop.load(Ordering::SeqCst) || shared.is_abandoned.load(Ordering::SeqCst) {
                return;
            }
        }
    })
}

/// One try; true when the answer was 250.
fn is_answered(wire: &mut Option<Wire>, turn: usize, bytes: &[u8], shared: &Shared) -> bool {
    if wire.is_none() {
        let addresses = shared.addresses.lock().unwrap().clone();
        let Some(address) = addresses.get(turn % addresses.len().max(1)) else { return false };
        *wire = Wire::hello(*address).ok();
    }
    let Some(connection) = wire else { return false };
    match connection.mail("ann@lakeside.example", &shared.to, bytes) {
        Ok((250, _)) => true,
        // 421: the limit of messages on one connection.
        Ok((421, _)) | Err(_) => false,
        Ok((_, reply)) => {
            shared.refusals.lock().unwrap().push(reply);
            false
        }
    }
}

/// Mostly small, sometimes large: what is above 1 MiB goes to the spool in pieces, before it is complete.
fn some_message(id: &str, to: &str, random: &mut Random) -> Vec<u8> {
    let lines = match random.below(100) {
        0 => 15_000,
        1..6 => 2_000,
        _ => random.below(100),
    };
    let body: String =
        (0..lines).map(|line| format!("{line}: .What is your price for 40 seats, please? {id}\r\n")).collect();
    message(id, to, &format!("Quote {}", random.below(1_000_000)), &body)
}

/// The seed of this run: that of `CONNEX_TEST_SEED`, or another one each time. It is shown, so that it can be given.
pub fn seed() -> u64 {
    let given = std::env::var("CONNEX_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9);
    eprintln!("CONNEX_TEST_SEED={seed}");
    seed
}

/// Numbers from a seed.
pub fn random(seed: u64) -> Random {
    Random(seed | 1)
}

/// Xorshift: the same seed makes the same messages.
pub struct Random(u64);

impl Random {
    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}
