//! `connex bench bombs`: what a message costs that is built to be expensive to read.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::BombsArgs;
use super::figures::rounded;
use crate::cli::{CliError, Output};
use crate::mail::message::{Defect, Limits, read};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exploded {
    bombs: Vec<Bomb>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bomb {
    name: &'static str,
    size_bytes: usize,
    /// The median of the rounds.
    milliseconds: f64,
    /// What memory grew by at most while it was read; null where the system does not tell.
    memory_bytes: Option<u64>,
    defects: Vec<Defect>,
}

const ROUNDS: usize = 5;

pub(super) fn run(_args: &BombsArgs, out: &mut Output) -> Result<(), CliError> {
    let bombs = BOMBS.iter().map(|(name, build)| explode(name, build().as_bytes())).collect();
    let answer = Exploded { bombs, notes: NOTES.map(str::to_owned).into() };
    out.answer(&answer, |out| show(&answer, out))
}

const NOTES: [&str; 1] =
    ["Memory is what the resident set of the process grew by at its highest, from before the message was read."];

type Build = fn() -> String;

const BOMBS: [(&str, Build); 7] = [
    ("an ordinary message", || {
        format!("From: a@b.example\r\nSubject: Plain\r\n\r\n{}", "A line of text.\r\n".repeat(600))
    }),
    ("10,000 nested multiparts", || {
        (0..10_000)
            .map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"))
            .collect()
    }),
    ("10,000 nested messages", || "Content-Type: message/rfc822\r\n\r\n".repeat(10_000)),
    ("200,000 parts", || {
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(200_000))
    }),
    ("a header field of 5 MB", || format!("From: a@b.example\r\nSubject: {}\r\n\r\nHello\r\n", "x".repeat(5_000_000))),
    ("50,000 encoded words", || format!("Subject:{}\r\n\r\n", " =?utf-8?Q?a?=\r\n".repeat(50_000))),
    ("100,000 nested comments", || format!("From: {}a@b.example{}\r\n\r\n", "(".repeat(100_000), ")".repeat(100_000))),
];

fn explode(name: &'static str, bytes: &[u8]) -> Bomb {
    let before = highest_from_now();
    let mut times = Vec::with_capacity(ROUNDS);
    let mut defects = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let message = read(bytes, &Limits::default());
        times.push(begun.elapsed());
        defects = message.defects;
    }
    times.sort_unstable();
    let median = times.get(ROUNDS / 2).map_or(0.0, Duration::as_secs_f64);
    Bomb {
        name,
        size_bytes: bytes.len(),
        milliseconds: rounded(median * 1_000.0, 2),
        memory_bytes: before.zip(highest()).map(|(before, after)| after.saturating_sub(before)),
        defects,
    }
}

/// Has the highest resident set counted anew, and tells what it is now (proc(5): clear_refs).
fn highest_from_now() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    highest()
}

/// The highest resident set of this process in bytes (proc(5): VmHWM).
fn highest() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

fn show(answer: &Exploded, out: &mut Output) -> Result<(), CliError> {
    for bomb in &answer.bombs {
        let memory = bomb.memory_bytes.map_or_else(String::new, |bytes| format!(", {} KiB", bytes >> 10));
        out.line(&format!("{:<26} {:>9} bytes  {} ms{memory}", bomb.name, bomb.size_bytes, bomb.milliseconds))?;
    }
    answer.notes.iter().try_for_each(|note| out.line(&format!("* {note}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bomb_is_found_out() {
        for (name, build) in &BOMBS[1..] {
            assert!(!explode(name, build().as_bytes()).defects.is_empty(), "{name}");
        }
    }
}
