//! What the tests share: a running gateway, clients, a webhook receiver, and waiting with a deadline.

mod browser;
mod complete;
mod destination;
mod disk;
mod engine;
mod exim;
mod gateway;
mod haproxy;
mod http;
mod installation;
mod load;
mod message;
mod pebble;
mod pki;
mod postfix;
mod postgres;
mod promise;
mod receiver;
mod sink;
mod smtp_sink;
mod wire;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use connex::dns::zone::Zone;
use serde_json::Value;

pub use browser::Browser;
pub use destination::Destination;
pub use disk::Disk;
pub use engine::Engine;
pub(crate) use engine::on_both_engines;
pub use exim::{Exim, EximServer};
pub use gateway::{Done, Gateway, SECRET_FILE, configuration, connex, set_up};
pub use haproxy::Haproxy;
pub use http::{Answer, http};
pub use installation::Installation;
pub use load::{Load, READING, Taken, random, seed};
pub use message::{fresh_id, message, proof_of_funds};
pub use pebble::{Pebble, free_port};
pub use pki::{Authority, Pair, TlsSession, Way, handshake};
pub use postfix::Postfix;
pub use postgres::{Cluster, Database};
pub use promise::{each_is_one_event, expect_one_log, expect_stored};
pub use receiver::{Do, Receiver};
pub use sink::{Hit, Sink};
pub use smtp_sink::{Counts, SmtpSink};
pub use wire::{Wire, stuffed};

/// The name server that every gateway of the tests asks; it knows nothing but what tests tell it.
pub fn zone() -> &'static Zone {
    static ZONE: LazyLock<Zone> = LazyLock::new(|| Zone::start().unwrap());
    &ZONE
}

/// How long anything may take that should happen soon; generous, because machines can be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first value that `attempt` finds, asked again and again until [`PATIENCE`] is over.
pub fn wait_for<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, attempt)
}

/// As [`wait_for`], with a deadline of its own.
pub fn wait_within<T>(patience: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    // Asking takes work from what is asked: the longer it took already, the longer it may go on alone.
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for {what}");
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
}

/// A file of this folder.
pub fn client(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// Python with the libraries of `tests/verify/requirements.txt`.
pub fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/venv/bin/python");
    std::env::var_os("CONNEX_TEST_PYTHON").map_or(own, PathBuf::from)
}

/// Gives a Python client its job as JSON and returns its JSON answer.
pub fn run_client(name: &str, job: &Value) -> Value {
    let output = run(Command::new(python()).arg(client(name)), job.to_string().as_bytes());
    assert!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name} answered no JSON ({error}): {text}"))
}

/// Runs a program to its end with this standard input.
pub fn run(command: &mut Command, input: &[u8]) -> std::process::Output {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown} does not start ({error}): ./tests/run installs what is missing"));
    // One that ends without reading says why on its standard error.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text at a JSON pointer; empty when there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list at a JSON pointer; empty when there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
