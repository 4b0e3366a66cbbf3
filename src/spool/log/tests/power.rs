//! Power that goes at any call, with any part of the unflushed writes on the disk.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;

fn length(number: u64) -> usize {
    usize::try_from(number * 1_371 % 5_000).unwrap()
}

/// Three sessions until the power goes; returns what was accepted.
fn traffic(spool: &Log, first: u64) -> BTreeSet<u64> {
    let accepted = runtime().block_on(join_all((0..3).map(|session| {
        let spool = spool.clone();
        async move {
            let mut accepted = Vec::new();
            for round in 0..6 {
                let number = first + session * 6 + round;
                if store(&spool, number, &body(number, length(number))).await.is_ok() {
                    accepted.push(number);
                }
            }
            accepted
        }
    })));
    accepted.into_iter().flatten().collect()
}

fn check(spool: &Log, report: &RecoveryReport, accepted: &BTreeSet<u64>, context: &str) {
    let found = everything(spool);
    for number in accepted {
        assert_stored(&found, *number, &body(*number, length(*number)), context);
    }
    assert!(found.iter().all(|(_, body)| body.is_ok()), "nothing half-done is seen: {context}");
    let lost: Vec<_> = report.findings.iter().filter(|finding| finding.loss != Loss::None).collect();
    assert!(lost.is_empty(), "a power cut is no loss: {context}: {lost:?}");
    let damage: Vec<_> =
        spool.verify().unwrap().into_iter().filter(|finding| finding.kind != FindingKind::TornTail).collect();
    assert!(damage.is_empty(), "a power cut is no damage: {context}: {damage:?}");
}

#[test]
fn a_power_cut_at_any_call_takes_nothing_accepted_and_shows_nothing_half_done() {
    let mut cuts = 0;
    for seed in 0..6 {
        for nth in 1.. {
            let context = format!("seed {seed}, power gone at call {nth}");
            let disk = SimulatedDisk::new(seed * 1_000 + nth);
            disk.cut_power_at(nth);
            let mut accepted = BTreeSet::new();
            if let Ok((spool, _)) = Log::open(options(), disk.files(), keys(), clock()) {
                accepted = traffic(&spool, 0);
                spool.close();
            }
            let is_over = disk.calls() < nth;
            disk.power_on(seed * 7_919 + nth);
            let (spool, report) = open(&disk);
            check(&spool, &report, &accepted, &context);
            spool.close();
            cuts += 1;
            if is_over {
                assert_eq!(accepted.len(), 18, "a life without a cut accepts all");
                break;
            }
        }
    }
    assert!(cuts > 300, "{cuts}");
}

#[test]
fn power_cuts_one_after_the_other_also_during_recovery_take_nothing() {
    for seed in 0..40u64 {
        let disk = SimulatedDisk::new(seed);
        let mut accepted = BTreeSet::new();
        for life in 0..6 {
            let context = format!("seed {seed}, life {life}");
            // Some lives are so short that the power goes while the log is recovered.
            disk.cut_power_at(disk.calls() + 3 + (seed * 31 + life * 17) % 90);
            if let Ok((spool, report)) = Log::open(options(), disk.files(), keys(), clock()) {
                let lost: Vec<_> = report.findings.iter().filter(|finding| finding.loss != Loss::None).collect();
                assert!(lost.is_empty(), "{context}: {lost:?}");
                accepted.extend(traffic(&spool, life * 100));
                spool.close();
            }
            disk.power_on(seed * 101 + life);
        }
        let (spool, report) = open(&disk);
        check(&spool, &report, &accepted, &format!("seed {seed}"));
        spool.close();
    }
}

#[test]
fn a_killed_process_takes_nothing_with_it() {
    let disk = SimulatedDisk::new(3);
    let (spool, _) = open(&disk);
    let accepted = traffic(&spool, 0);
    disk.kill_process();
    let (next, report) = open(&disk);
    check(&next, &report, &accepted, "killed");
    assert!(report.scanned_segments > 0);
    spool.close();
    next.close();
}

#[test]
fn a_segment_that_was_open_at_a_crash_is_read_through_once_and_never_written_again() {
    let disk = SimulatedDisk::new(3);
    let (spool, _) = open(&disk);
    let _ = runtime().block_on(store(&spool, 1, b"before the crash")).unwrap();
    disk.kill_process();
    spool.close();
    let before = disk.bytes(&segment_path(1));
    for life in 0..3 {
        let (spool, report) = open(&disk);
        assert_eq!(report.scanned_segments, u64::from(life == 0), "life {life}");
        let _ = runtime().block_on(store(&spool, 2 + life, b"behind it")).unwrap();
        spool.close();
    }
    let after = disk.bytes(&segment_path(1));
    let (kept, given_back) = before.split_at(after.len());
    assert_eq!(kept, after);
    assert!(given_back.len() > 10_000 && given_back.iter().all(|byte| *byte == 0), "only blank space goes");
    let (spool, _) = open(&disk);
    assert_eq!(everything(&spool).len(), 4);
    spool.close();
}
