//! `smtp-sink`, which comes with Postfix: a mail server that refuses, puts off or hangs up at the commands that it is told,
//! throws away what it takes, and counts.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::wait_for;

/// What it counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are over.
    pub sessions: u64,
    /// Messages that came to their final dot, whatever it was answered.
    pub messages: u64,
}

/// A running one; ended when dropped.
pub struct SmtpSink {
    child: Child,
    counts: Arc<Mutex<Counts>>,
}

impl SmtpSink {
    /// Starts one at this address with these options.
    pub fn start(address: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new("smtp-sink");
        command.arg("-c");
        if rustix::process::geteuid().is_root() {
            // It does not work as root.
            command.args(["-u", "nobody"]);
        }
        command.args(options).arg(address.to_string()).arg("100");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("smtp-sink does not start ({error}): ./tests/run installs what is missing"));
        let (output, counts) = (child.stdout.take().unwrap(), Arc::<Mutex<Counts>>::default());
        let counted = Arc::clone(&counts);
        // Ends with the output.
        std::thread::spawn(move || read(output, &counted));
        let mut sink = Self { child, counts };
        wait_for("smtp-sink to listen", || {
            let ended = sink.child.try_wait().unwrap();
            assert!(ended.is_none(), "smtp-sink ended: {ended:?}");
            TcpStream::connect(address).is_ok().then_some(())
        });
        // That was a session as well.
        wait_for("smtp-sink to count", || (sink.counts.lock().unwrap().sessions == 1).then_some(()));
        sink
    }

    /// What came since it started.
    pub fn counts(&self) -> Counts {
        let counted = *self.counts.lock().unwrap();
        Counts { sessions: counted.sessions - 1, ..counted }
    }

    /// Waits for so many messages to be counted, which is written beside the answers; fails where there are more.
    pub fn until(&self, messages: u64) {
        wait_for(&format!("message {messages} to be counted"), || {
            let counted = self.counts().messages;
            assert!(counted <= messages, "{counted} messages in place of {messages}");
            (counted == messages).then_some(())
        });
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines like `sess=1 quit=0 mesg=12`, each written over the one before.
fn read(mut output: ChildStdout, counts: &Mutex<Counts>) {
    let (mut text, mut bytes) = (String::new(), [0; 1024]);
    while let Ok(length @ 1..) = output.read(&mut bytes) {
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        // The last one may not be whole.
        let Some(end) = text.rfind('\r') else { continue };
        let last = text[..end].rsplit('\r').next().unwrap_or_default();
        let number = |name: &str| last.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok());
        if let (Some(sessions), Some(messages)) = (number("sess="), number("mesg=")) {
            *counts.lock().unwrap() = Counts { sessions, messages };
        }
        text.drain(..=end);
    }
}
