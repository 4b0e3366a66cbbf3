//! Calls to the disk that fail, one after the other, and what must be true all the same.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;
use crate::spool::log::faults::Call;

/// Length of a message's body: some fit one append, some are spilled in chunks.
fn length(number: u64) -> usize {
    [10, 900, 2_000, 7_000][usize::try_from(number % 4).unwrap()]
}

/// Four sessions, five messages each; returns those that were answered with yes.
fn session_traffic(spool: &Log) -> BTreeSet<u64> {
    let accepted = runtime().block_on(join_all((0..4).map(|session| {
        let spool = spool.clone();
        async move {
            let mut accepted = Vec::new();
            for round in 0..5 {
                let number = session * 5 + round;
                if store(&spool, number, &body(number, length(number))).await.is_ok() {
                    accepted.push(number);
                }
            }
            accepted
        }
    })));
    accepted.into_iter().flatten().collect()
}

fn check_after_restart(disk: &SimulatedDisk, accepted: &BTreeSet<u64>, context: &str) {
    let (spool, report) = open(disk);
    let found = everything(&spool);
    for number in accepted {
        assert_stored(&found, *number, &body(*number, length(*number)), &format!("{context} {:?}", report.findings));
    }
    assert!(found.iter().all(|(_, body)| body.is_ok()), "nothing half-done is seen: {context}");
    let lost = report.findings.iter().filter(|finding| finding.loss != Loss::None).collect::<Vec<_>>();
    assert!(lost.is_empty(), "{context}: {lost:?}");
    let _ = runtime().block_on(store(&spool, 99, b"mail flows again")).unwrap();
    assert_stored(&everything(&spool), 99, b"mail flows again", context);
    spool.close();
}

/// How many calls a life takes in which nothing fails.
fn calls_of_a_good_life() -> u64 {
    let disk = SimulatedDisk::new(0);
    let (spool, _) = open(&disk);
    assert_eq!(session_traffic(&spool).len(), 20);
    spool.close();
    disk.calls()
}

#[test]
fn whichever_call_fails_nothing_accepted_is_missing_after_a_power_cut_and_mail_flows_again() {
    for nth in 1..=calls_of_a_good_life() + 5 {
        let disk = SimulatedDisk::new(nth);
        disk.fail_call(nth);
        let context = format!("call {nth} fails");
        let spool = Log::open(options(), disk.files(), keys(), clock()).map(|(spool, _)| spool);
        let accepted = spool.as_ref().map(session_traffic).unwrap_or_default();
        if let Ok(spool) = &spool {
            disk.heal();
            let again = runtime().block_on(store(spool, 50, b"again"));
            assert!(again.is_ok(), "later commits work again without help: {context}: {again:?}");
            let seen: BTreeSet<_> = everything(spool).into_iter().map(|(id, _)| id).collect();
            assert!(accepted.iter().all(|number| seen.contains(&manifest(*number).id)), "{context}");
        }
        // The power goes while the spool is open: nothing may rest on an orderly end.
        disk.cut_power_at(disk.calls() + 1);
        if let Ok(spool) = spool {
            spool.close();
        }
        disk.power_on(nth);
        check_after_restart(&disk, &accepted, &context);
    }
}

#[test]
fn whichever_call_fails_from_then_on_every_commit_is_answered_with_a_temporary_error() {
    for kind in [Call::Create, Call::Write, Call::Sync, Call::SyncFolder] {
        let disk = SimulatedDisk::new(7);
        let (spool, _) = open(&disk);
        let first = session_traffic(&spool);
        disk.break_calls(kind);
        runtime().block_on(async {
            // A segment that is open still takes mail when no new one can be made, as long as it lasts.
            let mut failed = 0;
            let bytes = body(1, 1_500);
            for number in 100..140 {
                let answer = tokio::time::timeout(std::time::Duration::from_secs(2), store(&spool, number, &bytes));
                match answer.await.expect("an answer within two seconds") {
                    Ok(_) => {}
                    Err(error) => {
                        assert!(error.is_temporary(), "{error}");
                        failed += 1;
                    }
                }
            }
            assert!(failed > 0, "{kind:?}");
        });
        assert!(spool.status().is_failing && spool.status().failures > 0, "{kind:?}");
        assert_eq!(spool.admission(), Admission::Failing);
        disk.heal();
        let _ = runtime().block_on(store(&spool, 50, b"again")).unwrap();
        assert_eq!(spool.admission(), Admission::Open, "{kind:?}");
        spool.close();
        disk.power_on(1);
        check_after_restart(&disk, &first, &format!("{kind:?} was broken"));
    }
}

#[test]
fn a_failing_spool_finds_out_by_itself_that_the_fault_is_gone() {
    let disk = SimulatedDisk::new(7);
    let clock = clock();
    let (spool, _) = Log::open(options(), disk.files(), keys(), clock.clone()).unwrap();
    let _ = runtime().block_on(store(&spool, 1, b"before")).unwrap();
    disk.break_calls(Call::Sync);
    assert!(runtime().block_on(store(&spool, 2, b"refused")).is_err());
    assert_eq!(spool.admission(), Admission::Failing);
    disk.heal();
    // Nobody is let in, so nobody commits; asking is enough.
    while spool.admission() != Admission::Open {
        clock.advance(std::time::Duration::from_secs(1));
        std::thread::yield_now();
    }
    spool.close();
}

#[test]
fn after_a_failed_flush_the_segment_is_never_flushed_again_and_what_it_forgot_is_not_accepted() {
    // For many ways in which the failed flush may have kept and forgotten bytes.
    for seed in 0..200 {
        let disk = SimulatedDisk::new(seed);
        let (spool, _) = open(&disk);
        let large = body(9, 9_000);
        let refused = runtime().block_on(async {
            let _ = store(&spool, 1, &body(1, length(1))).await.unwrap();
            // Chunks of a body are in the segment, written but not flushed, when another's commit fails.
            let mut half = spool.begin();
            let before = spool.status().written_bytes;
            half.push(&large[..6_000]).await.unwrap();
            while spool.status().written_bytes < before + 2 * 2_048 {
                std::thread::yield_now();
            }
            disk.break_calls(Call::Sync);
            assert!(store(&spool, 2, &body(2, length(2))).await.is_err());
            disk.heal();
            let _ = store(&spool, 3, &body(3, length(3))).await.unwrap();
            match half.push(&large[6_000..]).await {
                Ok(()) => half.commit(manifest(9)).await.map(|_| ()),
                Err(error) => Err(error),
            }
        });
        assert!(matches!(refused, Err(SpoolError::Lost)), "its chunks went with the segment: {refused:?}");
        assert_eq!(spool.status().failed_segments, 1);
        assert_eq!(everything(&spool).len(), 2, "an unanswered commit is not seen");
        disk.cut_power_at(disk.calls() + 1);
        spool.close();
        disk.power_on(seed);
        check_after_restart(&disk, &[1, 3].into(), &format!("seed {seed}"));
        let (spool, _) = open(&disk);
        let ids: Vec<_> = everything(&spool).into_iter().map(|(id, _)| id).collect();
        assert!(!ids.contains(&manifest(2).id), "refused mail does not come back: seed {seed}");
        spool.close();
    }
}

#[test]
fn with_a_full_disk_it_opens_and_reads_refuses_quickly_and_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::new(7);
    let (spool, _) = open(&disk);
    let accepted = session_traffic(&spool);
    spool.close();
    disk.set_free(1_000);
    let (spool, report) = open(&disk);
    assert_eq!(report.findings, []);
    assert_eq!(everything(&spool).len(), 20);
    let refused = runtime().block_on(store(&spool, 60, b"no room")).unwrap_err();
    assert!(refused.is_temporary(), "{refused}");
    disk.set_free(1 << 30);
    let _ = runtime().block_on(store(&spool, 61, b"room")).unwrap();
    spool.close();
    check_after_restart(&disk, &accepted, "the disk was full");
}

#[test]
fn a_disk_that_does_not_read_now_makes_the_reader_wait_not_pass_over() {
    let disk = SimulatedDisk::new(7);
    let (spool, _) = open(&disk);
    session_traffic(&spool);
    spool.close();
    let (spool, _) = open(&disk);
    disk.break_calls(Call::Read);
    assert!(matches!(spool.read_after(Position::START, 99, u64::MAX), Err(SpoolError::Io { .. })));
    disk.heal();
    assert_eq!(everything(&spool).len(), 20);
    assert_eq!(spool.findings(), []);
    spool.close();
    // The same while it opens: the segments are not given up.
    disk.break_calls(Call::Read);
    let (spool, report) = open(&disk);
    assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::Io && finding.loss == Loss::None));
    assert!(spool.read_after(Position::START, 99, u64::MAX).is_err());
    disk.heal();
    assert_eq!(everything(&spool).len(), 20);
    spool.close();
}

#[test]
fn sessions_wait_when_the_queue_is_full_and_all_of_them_end() {
    let disk = SimulatedDisk::new(7);
    let small = SpoolOptions { queue_bytes: 4 << 10, ..options() };
    let (spool, _) = Log::open(small, disk.files(), keys(), clock()).unwrap();
    let large = body(1, 20_000);
    runtime().block_on(join_all((0..30).map(|number| {
        let (spool, large) = (spool.clone(), &large);
        async move { store(&spool, number, large).await.map(|_| ()).unwrap() }
    })));
    assert_eq!(everything(&spool).len(), 30);
    assert_eq!(spool.status().waiting_bytes, 0);
    spool.close();
}
