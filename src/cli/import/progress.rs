//! How far an import is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinError, JoinHandle};

use crate::cli::Output;

/// Counts, shared by the work and what shows it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    expected: AtomicU64,
    octets: AtomicU64,
    read: AtomicU64,
    imported: AtomicU64,
    skipped: AtomicU64,
    refused: AtomicU64,
}

/// How often the bar is drawn, and how often a line is written where there is none.
const DRAWN: Duration = Duration::from_millis(200);
const WRITTEN: Duration = Duration::from_secs(10);

impl Progress {
    /// So many octets are there.
    pub(super) fn expect(&self, octets: u64) {
        self.expected.store(octets, Ordering::Relaxed);
    }

    /// So many octets of a file were done before.
    pub(super) fn skip(&self, octets: u64) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// A message of so many octets was read.
    pub(super) fn found(&self, octets: u64) {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    pub(super) fn take(&self) {
        self.imported.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn imported(&self) -> u64 {
        self.imported.load(Ordering::Relaxed)
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Shows how far it is until `work` is done.
    pub(super) async fn show_until<T>(&self, mut work: JoinHandle<T>, out: &mut Output) -> Result<T, JoinError> {
        let is_terminal = std::io::stderr().is_terminal();
        // Draws on standard error, and only where that is a terminal.
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}  {eta} left") {
            bar.set_style(style);
        }
        let mut tick = tokio::time::interval(if is_terminal { DRAWN } else { WRITTEN });
        tick.tick().await;
        loop {
            tokio::select! {
                done = &mut work => {
                    bar.finish_and_clear();
                    return done;
                }
                _ = tick.tick() => {
                    let said = format!("{} imported, {} not taken", self.imported(), self.refused());
                    if is_terminal {
                        bar.set_length(self.expected.load(Ordering::Relaxed));
                        bar.set_position(self.octets.load(Ordering::Relaxed));
                        bar.set_message(said);
                    } else {
                        out.note(&said);
                    }
                }
            }
        }
    }
}
