//! `smtp-sink`, which comes with Postfix: takes all mail, keeps none, and counts.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::CliError;

/// Without another message for so long, a round is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running sink; it ends with this.
pub(super) struct Sink {
    address: SocketAddr,
    counted: watch::Receiver<u64>,
    child: Child,
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It is over either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sink {
    /// Starts one on loopback, at an address that no gateway has: mail to a gateway's own would be a loop.
    pub(super) fn start(port: u16) -> Result<Self, CliError> {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
        let mut command = Command::new("smtp-sink");
        command.arg("-c");
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        command.arg(address.to_string()).arg("1000").stdin(Stdio::null()).stdout(Stdio::piped());
        let failed =
            |error| CliError::Unreachable(anyhow::Error::new(error).context("smtp-sink, which comes with Postfix"));
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| CliError::failed("smtp-sink has no output"))?;
        let (count, counted) = watch::channel(0);
        // Ends with the sink's output.
        std::thread::spawn(move || read(output, &count));
        Ok(Self { address, counted, child })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// So many messages from now on.
    pub(super) fn expect(&self, messages: u64) -> Expected {
        let mut counted = self.counted.clone();
        let base = *counted.borrow_and_update();
        Expected { counted, base, messages }
    }
}

/// Messages that are to come.
pub(super) struct Expected {
    counted: watch::Receiver<u64>,
    base: u64,
    messages: u64,
}

impl Expected {
    /// Waits for all; messages a second, from the first to the last.
    pub(super) async fn wait(mut self) -> Result<f64, CliError> {
        let mut first = None;
        loop {
            let count = self.counted.borrow_and_update().saturating_sub(self.base);
            let now = Instant::now();
            if count > 0 && first.is_none() {
                first = Some((now, count));
            }
            if let (true, Some((at, with))) = (count >= self.messages, first) {
                return Ok(super::figures::number(count - with) / (now - at).as_secs_f64().max(f64::EPSILON));
            }
            // The first waits for its time, which is minutes ahead at most.
            let patience = if first.is_some() { PATIENCE } else { PATIENCE * 20 };
            match tokio::time::timeout(patience, self.counted.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(CliError::failed(format!("the sink counted {count} of {} messages", self.messages))),
            }
        }
    }
}

fn read(mut output: impl Read, count: &watch::Sender<u64>) {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while let Ok(length @ 1..) = output.read(&mut bytes) {
        text.push_str(&String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()));
        // The last line may not be whole.
        let Some(end) = text.rfind('\r') else { continue };
        if let Some(messages) = text.get(..end).and_then(counted) {
            count.send_replace(messages);
        }
        text.drain(..end);
    }
}

/// The last count of messages in `sess=1 quit=0 mesg=12`.
fn counted(text: &str) -> Option<u64> {
    let (_, last) = text.rsplit_once("mesg=")?;
    last.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_count_counts() {
        assert_eq!(counted("sess=1 quit=0 mesg=9\rsess=1 quit=0 mesg=10"), Some(10));
        assert_eq!(counted("sess=1 quit=0"), None);
    }
}
