//! `connex bench verdicts`: what the gate costs, with nothing looked up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::VerdictsArgs;
use super::figures::rounded;
use crate::cli::{CliError, Output};
use crate::service::verdict_bench::{BenchCase, cases};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    rounds: u32,
    cases: Vec<Figure>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    name: &'static str,
    verdict: &'static str,
    message_octets: usize,
    /// The median of the rounds.
    microseconds: f64,
    verdicts_per_second: f64,
}

const NOTES: [&str; 1] = [
    "One thread. A verdict reads the message, hashes it and asks every rule; what the facts cost to look up is not in it. \
     Cases take turns within each round; the figures are medians of the rounds.",
];

/// How long one case is measured in one round.
const SPAN: Duration = Duration::from_millis(200);

pub(super) fn run(args: &VerdictsArgs, out: &mut Output) -> Result<(), CliError> {
    let cases = cases();
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for _ in 0..args.rounds {
        for (case, found) in cases.iter().zip(&mut measured) {
            found.push(seconds_each(case));
        }
    }
    let figure = |(case, mut found): (&BenchCase, Vec<f64>)| {
        found.sort_by(f64::total_cmp);
        let seconds = found.get(found.len() / 2).copied().unwrap_or_default();
        Figure {
            name: case.name,
            verdict: case.judge(),
            message_octets: case.octets(),
            microseconds: rounded(seconds * 1e6, 2),
            verdicts_per_second: rounded(1.0 / seconds.max(1e-9), 0),
        }
    };
    let figures = cases.iter().zip(measured).map(figure).collect();
    let answer = Judged { rounds: args.rounds, cases: figures, notes: NOTES.map(str::to_owned).into() };
    out.answer(&answer, |out| {
        for one in &answer.cases {
            out.line(&format!(
                "{:<28} {:>8} octets {:>9.2} µs {:>9.0} verdicts/s  {}",
                one.name, one.message_octets, one.microseconds, one.verdicts_per_second, one.verdict
            ))?;
        }
        answer.notes.iter().try_for_each(|note| out.line(note))
    })
}

fn seconds_each(case: &BenchCase) -> f64 {
    let begun = Instant::now();
    let mut count = 0.0;
    loop {
        black_box(black_box(case).judge());
        count += 1.0;
        let elapsed = begun.elapsed();
        if elapsed >= SPAN {
            return elapsed.as_secs_f64() / count;
        }
    }
}
