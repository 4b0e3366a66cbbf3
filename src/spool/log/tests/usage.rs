//! What callers see when nothing fails.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;

#[test]
fn what_is_committed_is_read_back_in_order_and_byte_exact() {
    let disk = SimulatedDisk::new(1);
    let (spool, report) = open(&disk);
    assert!(report.findings.is_empty() && report.segments == 0);
    runtime().block_on(async {
        for (number, length) in [0, 1, 7, 8, 2047, 2048, 2049, 5000].into_iter().enumerate() {
            let bytes = body(number as u64, length);
            let (stored, position) = store(&spool, number as u64, &bytes).await.unwrap();
            assert_eq!((stored.id(), stored.size()), (manifest(number as u64).id, length as u64));
            assert_eq!(position, *spool.committed().borrow());
        }
    });
    let found = everything(&spool);
    assert_eq!(found.len(), 8);
    for (number, length) in [0, 1, 7, 8, 2047, 2048, 2049, 5000].into_iter().enumerate() {
        assert_eq!(found[number].0, manifest(number as u64).id);
        assert_eq!(found[number].1.as_ref().unwrap(), &body(number as u64, length));
    }
    assert_eq!(spool.verify().unwrap(), []);
    spool.close();
}

#[test]
fn a_log_that_was_closed_opens_without_findings_and_goes_on() {
    let disk = SimulatedDisk::new(1);
    for round in 0..4 {
        let (spool, report) = open(&disk);
        assert_eq!((report.findings.as_slice(), report.scanned_segments), (&[][..], 0));
        let _ = runtime().block_on(store(&spool, round, &body(round, 300))).unwrap();
        spool.close();
        spool.close();
        assert!(matches!(runtime().block_on(store(&spool, 9, b"late")), Err(SpoolError::Closed)));
    }
    let (spool, _) = open(&disk);
    let found = everything(&spool);
    assert_eq!(found.len(), 4);
    (0..4).for_each(|number| assert_stored(&found, number, &body(number, 300), "four lives"));
    spool.close();
    assert_eq!(disk.paths().len(), 4, "a life without mail leaves no segment");
}

#[test]
fn a_body_larger_than_a_segment_spans_segments() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    let large = body(7, 100_000);
    let _ = runtime().block_on(store(&spool, 7, &large)).unwrap();
    let message = spool.read_after(Position::START, 9, 1).unwrap().remove(0);
    let first = message.body.extents.first().unwrap().segment;
    assert!(message.body.extents.last().unwrap().segment >= first + 3);
    assert_eq!(spool.read_body(&message.body).unwrap(), large);
    spool.close();
    let (spool, report) = open(&disk);
    assert_eq!(report.findings, []);
    assert_stored(&everything(&spool), 7, &large, "after reopening");
    spool.close();
}

#[test]
fn a_hundred_sessions_at_once_share_flushes_and_lose_nothing() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    let lengths = |number: u64| usize::try_from(number * 97 % 3000).unwrap();
    runtime().block_on(async {
        let sessions = (0..100).map(|session| {
            let spool = spool.clone();
            async move {
                for round in 0..5 {
                    let number = session * 5 + round;
                    let _ = store(&spool, number, &body(number, lengths(number))).await.unwrap();
                }
            }
        });
        join_all(sessions).await;
    });
    let status = spool.status();
    assert_eq!(status.commits, 500);
    assert!(status.flushes < 400, "{} flushes for 500 commits", status.flushes);
    assert_eq!((status.waiting_bytes, status.failures), (0, 0));
    let found = everything(&spool);
    assert_eq!(found.len(), 500);
    (0..500).for_each(|number| assert_stored(&found, number, &body(number, lengths(number)), "many sessions"));
    spool.close();
}

#[test]
fn a_body_that_is_dropped_leaves_no_message() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        let mut abandoned = spool.begin();
        abandoned.push(&body(1, 9_000)).await.unwrap();
        assert_eq!(abandoned.len(), 9_000);
        drop(abandoned);
        let _ = store(&spool, 2, b"kept").await.unwrap();
    });
    let found = everything(&spool);
    assert_eq!(found.len(), 1);
    assert_stored(&found, 2, b"kept", "behind garbage");
    spool.close();
}

#[test]
fn a_reader_gets_no_more_than_it_asks_for_and_always_something() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        for number in 0..6 {
            let _ = store(&spool, number, &body(number, 1000)).await.unwrap();
        }
    });
    assert_eq!(spool.read_after(Position::START, 4, u64::MAX).unwrap().len(), 4);
    assert_eq!(spool.read_after(Position::START, 99, 2_500).unwrap().len(), 3);
    assert_eq!(spool.read_after(Position::START, 99, 0).unwrap().len(), 1);
    let end = *spool.committed().borrow();
    assert_eq!(spool.read_after(end, 99, u64::MAX).unwrap().len(), 0);
    let ahead = Position { segment: end.segment, offset: end.offset + 8 };
    assert!(matches!(spool.read_after(ahead, 99, 1), Err(SpoolError::Ahead)));
    spool.close();
}

#[test]
fn an_erased_body_is_gone_from_the_disk_and_its_neighbours_are_not() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    let secret = b"a very particular text ".repeat(400);
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    runtime().block_on(async {
        let _ = store(&spool, 1, &body(1, 500)).await.unwrap();
        let _ = store(&spool, 2, &secret).await.unwrap();
        let _ = store(&spool, 3, &body(3, 500)).await.unwrap();
        let message = spool.read_after(Position::START, 9, u64::MAX).unwrap().remove(1);
        let bytes = disk.bytes(&segment_path(1));
        let chunk = |extent: &Extent| bytes[extent.offset as usize + format::RECORD_HEADER..][..64].to_vec();
        sealed.extend(message.body.extents.iter().map(chunk));
        sealed.push(message.body.sealed.as_ref().unwrap().key.octets().to_vec());
        spool.erase(&message.body).await.unwrap();
        spool.erase(&message.body).await.unwrap();
        assert!(matches!(spool.read_body(&message.body), Err(SpoolError::Erased)));
        let wrong = BodyRef { extents: vec![Extent { segment: 1, offset: 8200, length: 9 }], ..message.body };
        assert!(matches!(spool.erase(&wrong).await, Err(SpoolError::Damaged { .. })));
    });
    spool.close();
    disk.kill_process();
    assert_eq!(sealed.len(), 6, "five chunks and their key");
    for path in disk.paths() {
        let bytes = disk.bytes(&path);
        for piece in &sealed {
            assert!(!bytes.windows(piece.len()).any(|window| window == piece), "{} keeps a part", path.display());
        }
    }
    let (spool, report) = open(&disk);
    assert_eq!(report.findings, []);
    let found = everything(&spool);
    assert_eq!(found.len(), 2);
    assert_stored(&found, 1, &body(1, 500), "before the tombstone");
    assert_stored(&found, 3, &body(3, 500), "behind the tombstone");
    assert_eq!(spool.verify().unwrap(), []);
    spool.close();
}

#[test]
fn under_the_reserve_no_new_mail_is_admitted() {
    let disk = SimulatedDisk::new(1);
    let clock = clock();
    let reserve = Reserve { bytes: 1 << 30, percent: 5 };
    let (spool, _) = Log::open(SpoolOptions { reserve, ..options() }, disk.files(), keys(), clock.clone()).unwrap();
    // Behind this the writer is at rest, and the calls below are ours.
    let _ = runtime().block_on(store(&spool, 1, b"first")).unwrap();
    assert_eq!(spool.admission(), Admission::Open);
    disk.set_free((64 << 30) / 100 * 5 - 1);
    assert_eq!(spool.admission(), Admission::Open, "the answer is at most a second old");
    clock.advance(Duration::from_secs(1));
    assert_eq!(spool.admission(), Admission::Reserve);
    let calls = disk.calls();
    (0..100).for_each(|_| assert_eq!(spool.admission(), Admission::Reserve));
    assert_eq!(disk.calls(), calls, "one question a second");
    let _ = runtime().block_on(store(&spool, 2, b"what had begun is still stored")).unwrap();
    disk.set_free(5 << 30);
    clock.advance(Duration::from_secs(1));
    assert_eq!(spool.admission(), Admission::Open);
    spool.close();
}

#[test]
fn a_reserve_of_zero_is_off() {
    assert_eq!(Reserve::OFF.of(u64::MAX), 0);
    assert_eq!(Reserve::default().of(10 << 30), 1 << 30);
    assert_eq!(Reserve::default().of(1000 << 30), (1000 << 30) / 100 * 5);
}

#[test]
fn a_manifest_that_does_not_fit_is_refused_and_the_log_goes_on() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        let mut large = manifest(1);
        large.origin.helo = "x".repeat(40_000);
        let error = spool.begin().commit(large).await.unwrap_err();
        assert!(matches!(error, SpoolError::TooLarge { .. }) && !error.is_temporary());
        let _ = store(&spool, 2, b"fits").await.unwrap();
    });
    assert_eq!(everything(&spool).len(), 1);
    spool.close();
}

#[test]
fn options_outside_their_range_are_refused() {
    let disk = SimulatedDisk::new(1);
    let refused = |options| matches!(Log::open(options, disk.files(), keys(), clock()), Err(SpoolError::Options(_)));
    assert!(refused(SpoolOptions { segment_bytes: 4096, ..options() }));
    assert!(refused(SpoolOptions { chunk_bytes: 20_000, ..options() }));
    assert!(refused(SpoolOptions { queue_bytes: 100, ..options() }));
    assert_eq!(SpoolOptions::default().check().err().map(|error| error.to_string()), None);
}

#[test]
fn on_a_real_folder_it_works_alike_and_only_one_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = SpoolOptions { dir: folder.path().join("a/spool"), ..options() };
    let (spool, _) = Log::open(options.clone(), Files::Real, keys(), Clock::System).unwrap();
    assert!(matches!(Log::open(options.clone(), Files::Real, keys(), Clock::System), Err(SpoolError::InUse)));
    runtime().block_on(async {
        join_all((0..40).map(|number| {
            let spool = spool.clone();
            async move { store(&spool, number, &body(number, 4_000)).await.unwrap().0.size() }
        }))
        .await;
        let last = spool.read_after(Position::START, 99, u64::MAX).unwrap().pop().unwrap();
        spool.erase(&last.body).await.unwrap();
    });
    // As a crash leaves it: a copy of the folder while it is in use.
    let copy = SpoolOptions { dir: folder.path().join("copy"), ..options.clone() };
    std::fs::create_dir(&copy.dir).unwrap();
    for entry in std::fs::read_dir(&options.dir).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.dir.join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(everything(&spool).len(), 39);
    assert!(spool.status().free_bytes > 0);
    spool.close();
    for options in [options, copy] {
        let (spool, report) = Log::open(options, Files::Real, keys(), Clock::System).unwrap();
        assert!(report.findings.iter().all(|finding| finding.loss == Loss::None), "{:?}", report.findings);
        assert_eq!(everything(&spool).len(), 39);
        spool.close();
    }
}

#[test]
fn folder_segments_and_lock_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let options = SpoolOptions { dir: folder.path().join("spool"), ..options() };
    let (spool, _) = Log::open(options.clone(), Files::Real, keys(), Clock::System).unwrap();
    let _ = runtime().block_on(store(&spool, 1, &body(1, 100))).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&options.dir), 0o700);
    let paths: Vec<_> = std::fs::read_dir(&options.dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(paths.len() > 1, "the lock and a segment: {paths:?}");
    paths.iter().for_each(|path| assert_eq!(mode(path), 0o600, "{}", path.display()));
    spool.close();
}
