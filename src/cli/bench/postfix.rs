//! A Postfix of whoever measures: filled while its queue manager stands still, which then delivers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::CliError;

/// A running Postfix that takes mail and relays all to the sink.
pub(super) struct Postfix {
    server: SocketAddr,
    manager: Pid,
    is_stopped: bool,
}

impl Postfix {
    /// The one with this folder of settings, that takes mail at `server`.
    pub(super) fn at(folder: &Path, server: SocketAddr) -> Result<Self, CliError> {
        let failed = |text: String| CliError::Usage(format!("{}: {text}", folder.display()));
        let asked = Command::new("postconf").arg("-c").arg(folder).args(["-h", "queue_directory"]).output();
        let queue = asked.map_err(|error| failed(error.to_string()))?.stdout;
        let queue = PathBuf::from(String::from_utf8_lossy(&queue).trim());
        let text = std::fs::read_to_string(queue.join("pid/master.pid"));
        let text = text.map_err(|error| failed(format!("no running Postfix: {error}")))?;
        let manager = text.trim().parse().ok().and_then(manager_of);
        let manager = manager.ok_or_else(|| failed("its queue manager does not run".to_owned()))?;
        Ok(Self { server, manager, is_stopped: false })
    }

    /// Puts so many messages into its queue, of which none is delivered yet.
    pub(super) async fn fill(&mut self, messages: u64, size: u64) -> Result<(), CliError> {
        self.signal(Signal::STOP)?;
        self.is_stopped = true;
        let mut source = Command::new("smtp-source");
        source.args(["-d", "-s", "10", "-f", "sender@bench.localhost", "-t", "to@sink.example"]);
        source.args(["-m", &messages.to_string(), "-l", &size.to_string(), &self.server.to_string()]);
        let done = tokio::task::spawn_blocking(move || source.status()).await.map_err(anyhow::Error::new)?;
        let done = done.map_err(|error| CliError::Unreachable(anyhow::Error::new(error)))?;
        if done.success() { Ok(()) } else { Err(CliError::failed("smtp-source failed")) }
    }

    /// Lets it deliver.
    pub(super) fn go_on(&mut self) -> Result<(), CliError> {
        self.is_stopped = false;
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), CliError> {
        kill_process(self.manager, signal).map_err(|error| CliError::Unreachable(anyhow::Error::new(error)))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if self.is_stopped {
            let _ = self.go_on();
        }
    }
}

/// The queue manager among the children of Postfix's master.
fn manager_of(master: i32) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = ids.find(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // proc_pid_stat(5): number, (name), state, number of the parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        stat.contains("(qmgr)") && parent == Some(master)
    });
    found.and_then(Pid::from_raw)
}
