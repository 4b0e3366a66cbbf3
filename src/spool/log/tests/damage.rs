//! Bytes that change, segments that go, and mail that pretends to be a record.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const COUNT: u64 = 6;

fn length(number: u64) -> usize {
    [30, 200, 0, 100, 2_100, 9][usize::try_from(number).unwrap()]
}

/// A log with one segment of six messages; as a crash leaves it, or closed in order.
fn one_segment(is_closed: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new(5);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        for number in 0..COUNT {
            let _ = store(&spool, number, &body(number, length(number))).await.unwrap();
        }
    });
    if !is_closed {
        disk.kill_process();
    }
    spool.close();
    assert_eq!(disk.paths(), [segment_path(1)]);
    disk.copy()
}

/// Where each message's records are: from its first byte to the end of its COMMIT.
fn places(disk: &SimulatedDisk) -> BTreeMap<u64, std::ops::Range<u64>> {
    let disk = disk.copy();
    let (spool, _) = open(&disk);
    let mut from = format::DATA_START;
    let messages = spool.read_after(Position::START, 99, u64::MAX).unwrap();
    let places = messages.iter().zip(0..).map(|(message, number)| {
        let place = from..message.next.offset;
        from = message.next.offset;
        (number, place)
    });
    let places = places.collect();
    spool.close();
    places
}

/// After byte `at` was changed, every message whose records do not hold that byte is whole; returns the findings.
fn check_flip(disk: &SimulatedDisk, places: &BTreeMap<u64, std::ops::Range<u64>>, at: usize, flip: u8) -> Vec<Finding> {
    let disk = disk.copy();
    disk.tamper(&segment_path(1), |bytes| bytes[at] ^= flip);
    let (spool, _) = open(&disk);
    let found = everything(&spool);
    for (number, place) in places {
        if !place.contains(&(at as u64)) {
            assert_stored(&found, *number, &body(*number, length(*number)), &format!("byte {at}"));
        }
    }
    for (id, bytes) in &found {
        let number = (0..COUNT).find(|number| manifest(*number).id == *id).expect("no message is made up");
        // A flip in a manifest or a body is seen; nothing wrong is handed out as right.
        assert!(bytes.as_ref().is_err() || *bytes.as_ref().unwrap() == body(number, length(number)), "byte {at}");
    }
    let _ = spool.verify().unwrap();
    let findings = spool.findings();
    spool.close();
    findings
}

#[test]
fn a_flipped_byte_anywhere_costs_at_most_its_own_message_and_is_found() {
    for is_closed in [true, false] {
        let disk = one_segment(is_closed);
        let (places, records) = (places(&disk), records(&disk));
        let end = places.values().map(|place| place.end).max().unwrap();
        assert_eq!(places.len() as u64, COUNT);
        let total = disk.bytes(&segment_path(1)).len();
        for at in 0..total {
            // All that holds records, and a sample of the blank space.
            let is_used = (format::DATA_START..end + format::FOOTER_BYTES).contains(&(at as u64));
            // (Of the closed one a fifth will do: the records are the same.)
            if (!is_used && at % 64 != 0 && at % 4096 > 100)
                || (is_used && is_closed && !at.is_multiple_of(5) && (at as u64) < end)
            {
                continue;
            }
            let findings = check_flip(&disk, &places, at, 1 << (at % 8));
            // Zeros between two records are covered by no checksum, and read by nobody.
            let covers = |header: &format::RecordHeader| {
                (u64::from(header.offset)..header.payload_start() + u64::from(header.length)).contains(&(at as u64))
            };
            assert!(!findings.is_empty() || !records.iter().any(covers), "byte {at} is found");
        }
    }
}

/// The headers of the records in segment 1.
fn records(disk: &SimulatedDisk) -> Vec<format::RecordHeader> {
    let copy = disk.copy();
    let segment = segment::Segment::open(&copy.files(), &options(), 1).unwrap().unwrap();
    let mut walk = segment::Walk::new(&segment, format::DATA_START, u64::MAX);
    let mut headers = Vec::new();
    while let Some(segment::Step::Record(header)) = walk.step().unwrap() {
        headers.push(header);
    }
    headers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn many_changed_bytes_never_panic_and_spare_what_they_do_not_touch(
        changes in prop::collection::vec((8192usize..15_500, 1u8..), 1..30),
        is_closed: bool,
    ) {
        let disk = one_segment(is_closed);
        let places = places(&disk);
        disk.tamper(&segment_path(1), |bytes| {
            for (at, flip) in &changes {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte ^= flip;
                }
            }
        });
        let (spool, _) = open(&disk);
        let found = everything(&spool);
        for (number, place) in places {
            if !changes.iter().any(|(at, _)| place.contains(&(*at as u64))) {
                assert_stored(&found, number, &body(number, length(number)), "many changes");
            }
        }
        spool.close();
    }

    #[test]
    fn a_segment_of_arbitrary_bytes_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..20_000), keep in 0usize..12_000) {
        let disk = one_segment(true);
        disk.tamper(&segment_path(1), |segment| {
            segment.truncate(keep);
            segment.extend_from_slice(&bytes);
        });
        let (spool, _) = open(&disk);
        let _ = everything(&spool);
        let _ = runtime().block_on(store(&spool, 9, b"and mail flows")).unwrap();
        assert_stored(&everything(&spool), 9, b"and mail flows", "behind rubbish");
        spool.close();
    }
}

#[test]
fn a_torn_tail_is_found_with_its_place_and_takes_no_good_record_with_it() {
    let disk = one_segment(false);
    let places = places(&disk);
    let last = places[&(COUNT - 1)].clone();
    let is_border = |cut: u64| {
        records(&disk)
            .iter()
            .any(|header| (header.payload_start() + u64::from(header.length)..=header.next()).contains(&cut))
    };
    for cut in last.clone() {
        let disk = disk.copy();
        disk.tamper(&segment_path(1), |bytes| bytes[usize::try_from(cut).unwrap()..].fill(0));
        let (spool, report) = open(&disk);
        let found = everything(&spool);
        (0..COUNT - 1).for_each(|number| assert_stored(&found, number, &body(number, length(number)), "torn"));
        let is_whole = found.len() as u64 == COUNT;
        // Cut between two records, it leaves a chunk without a COMMIT, which is nothing strange.
        if !is_whole && !is_border(cut) && cut > last.start {
            let finding = report.findings.first().unwrap_or_else(|| panic!("a cut at {cut} is reported"));
            assert_eq!((finding.kind, finding.segment, finding.loss), (FindingKind::TornTail, 1, Loss::None), "{cut}");
            assert!(last.contains(&finding.offset), "{finding}");
        }
        spool.close();
    }
}

#[test]
fn what_a_power_cut_tore_is_not_called_damage_at_any_later_start() {
    let disk = one_segment(false);
    let last = places(&disk)[&(COUNT - 1)].start;
    disk.tamper(&segment_path(1), |bytes| bytes[usize::try_from(last).unwrap() + 40] ^= 1);
    for start in 0..3 {
        let (spool, _) = open(&disk);
        let _ = spool.verify().unwrap();
        assert_eq!(everything(&spool).len() as u64, COUNT - 1);
        let kinds: Vec<_> = spool.findings().iter().map(|finding| finding.kind).collect();
        assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == FindingKind::TornTail), "{start}: {kinds:?}");
        assert_eq!(spool.status().findings, 0, "it is no damage to be counted");
        spool.close();
    }
}

#[test]
fn damage_before_what_was_flushed_is_told_from_a_torn_tail() {
    let disk = one_segment(false);
    let second = places(&disk)[&1].start;
    disk.tamper(&segment_path(1), |bytes| bytes[usize::try_from(second).unwrap() + 40] ^= 1);
    let (spool, report) = open(&disk);
    let kinds: Vec<_> = report.findings.iter().map(|finding| (finding.kind, finding.offset, finding.loss)).collect();
    assert_eq!(kinds, [(FindingKind::Checksum, second, Loss::Possible)]);
    assert_eq!(spool.status().findings, 1);
    let found = everything(&spool);
    assert_eq!(found.len() as u64, COUNT, "the manifest is whole, so the message is still shown");
    assert!(matches!(found[1].1, Err(SpoolError::Damaged { segment: 1, offset }) if offset == second));
    spool.close();
}

/// A log of several segments, closed in order.
fn several_segments() -> (SimulatedDisk, u64) {
    let disk = SimulatedDisk::new(5);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        for number in 0..60 {
            let _ = store(&spool, number, &body(number, 1_500)).await.unwrap();
        }
    });
    spool.close();
    let last = disk.paths().len() as u64;
    assert!(last >= 4);
    (disk, last)
}

#[test]
fn a_missing_segment_is_found_and_all_others_are_read() {
    let (disk, last) = several_segments();
    for gone in 1..last {
        let disk = disk.copy();
        let (spool, _) = open(&disk);
        let inside = |message: &StoredMessage| message.next.segment == gone;
        let (lost, kept): (Vec<_>, Vec<_>) =
            spool.read_after(Position::START, 99, u64::MAX).unwrap().into_iter().partition(inside);
        spool.close();
        disk.take_away(&segment_path(gone));
        let (spool, report) = open(&disk);
        let found: Vec<_> =
            report.findings.iter().map(|finding| (finding.kind, finding.segment, finding.loss)).collect();
        assert_eq!(found, [(FindingKind::MissingSegment, gone, Loss::Certain)]);
        assert_eq!(spool.read_after(Position::START, 99, u64::MAX).unwrap(), kept);
        assert!(matches!(spool.read_body(&lost[0].body), Err(SpoolError::Damaged { .. })));
        spool.close();
    }
}

#[test]
fn a_segment_that_goes_while_the_spool_is_open_is_stepped_over_and_reported() {
    let (disk, _) = several_segments();
    let (spool, _) = open(&disk);
    disk.take_away(&segment_path(2));
    let read = spool.read_after(Position::START, 99, u64::MAX).unwrap();
    assert!(read.iter().any(|message| message.next.segment > 2) && read.len() < 60);
    assert_eq!(spool.findings()[0].kind, FindingKind::MissingSegment);
    spool.close();
}

#[test]
fn when_the_end_of_the_log_is_gone_new_mail_comes_behind_what_the_index_has_read() {
    let (disk, last) = several_segments();
    let (spool, report) = open(&disk);
    let read_to = report.end;
    spool.close();
    disk.take_away(&segment_path(last));
    disk.take_away(&segment_path(last - 1));
    let (spool, report) = Log::open(SpoolOptions { read_to, ..options() }, disk.files(), keys(), clock()).unwrap();
    assert_eq!(report.findings[0].kind, FindingKind::MissingSegment);
    assert_eq!(spool.read_after(read_to, 99, u64::MAX).unwrap(), []);
    let _ = runtime().block_on(store(&spool, 99, b"new")).unwrap();
    assert_eq!(spool.read_after(read_to, 99, u64::MAX).unwrap()[0].manifest.id, manifest(99).id);
    spool.close();
}

#[test]
fn a_header_that_cannot_be_read_costs_only_its_segment() {
    let (disk, _) = several_segments();
    disk.tamper(&segment_path(2), |bytes| {
        bytes[20] ^= 1;
        bytes[4096 + 20] ^= 1;
    });
    disk.tamper(&segment_path(3), |bytes| bytes[20] ^= 1);
    let (spool, report) = open(&disk);
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.segment, finding.kind, finding.loss)).collect();
    assert_eq!(found, [(2, FindingKind::BadHeader, Loss::Certain), (3, FindingKind::DamagedHeaderCopy, Loss::None)]);
    let read = spool.read_after(Position::START, 99, u64::MAX).unwrap();
    assert!(read.iter().all(|message| message.next.segment != 2));
    assert!(read.iter().any(|message| message.next.segment == 3));
    spool.close();
}

#[test]
fn a_body_that_imitates_records_forges_none() {
    // The attacker even knows the bytes of another spool's segment, and of a segment of this number.
    let other = one_segment(true);
    let mut imitation = other.bytes(&segment_path(1))[usize::try_from(format::DATA_START).unwrap()..].to_vec();
    imitation.extend_from_slice(&other.bytes(&segment_path(1)));
    let disk = SimulatedDisk::new(6);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        for shift in 0..8 {
            let bytes = [vec![b'x'; shift], imitation[..1_900].to_vec()].concat();
            let _ = store(&spool, 20 + shift as u64, &bytes).await.unwrap();
        }
    });
    disk.kill_process();
    spool.close();
    // Every record header is damaged, so that reading must look for the next record inside the bodies.
    let chunks = records(&disk).into_iter().filter(|header| header.kind == format::Kind::BodyChunk);
    let headers: Vec<usize> = chunks.map(|header| header.offset as usize).collect();
    assert_eq!(headers.len(), 8);
    disk.tamper(&segment_path(1), |bytes| headers.iter().for_each(|at| bytes[*at] ^= 1));
    let (spool, _) = open(&disk);
    let found = everything(&spool);
    let real: Vec<_> = (20..28).map(|number| manifest(number).id).collect();
    assert!(found.iter().all(|(id, _)| real.contains(id)), "no forged message is seen");
    assert!(found.iter().all(|(_, bytes)| bytes.is_err()), "no damaged body is handed out");
    spool.close();
}

#[test]
fn a_copy_of_a_true_record_in_another_place_is_not_believed() {
    let disk = one_segment(false);
    let places = places(&disk);
    let end = usize::try_from(places[&(COUNT - 1)].end).unwrap();
    let first = places[&0].start as usize..places[&0].end as usize;
    disk.tamper(&segment_path(1), |bytes| bytes.copy_within(first, end));
    let (spool, report) = open(&disk);
    assert_eq!(everything(&spool).len() as u64, COUNT);
    assert_eq!(report.findings.first().map(|finding| finding.offset), Some(end as u64));
    spool.close();
}

#[test]
fn a_segment_of_another_log_is_not_taken_for_ours() {
    let (disk, last) = several_segments();
    let foreign = {
        let other = SimulatedDisk::new(9);
        for _ in 0..=last {
            let (spool, _) = open(&other);
            let _ = runtime().block_on(store(&spool, 77, b"foreign")).unwrap();
            spool.close();
        }
        other.bytes(&segment_path(last))
    };
    disk.tamper(&segment_path(last), |bytes| *bytes = foreign);
    let (spool, report) = open(&disk);
    assert_eq!(report.findings[0].kind, FindingKind::BadHeader);
    assert!(everything(&spool).iter().all(|(id, _)| *id != manifest(77).id));
    spool.close();
}

#[test]
fn unused_segments_at_the_end_are_removed_and_nothing_else() {
    let disk = one_segment(false);
    let files = disk.files();
    for number in [2, 3] {
        files.create(&segment_path(number), 32 << 10).unwrap();
    }
    files.create(&options().dir.join("notes.txt"), 10).unwrap();
    let (spool, report) = open(&disk);
    let leftovers = report.findings.iter().filter(|finding| finding.kind == FindingKind::Leftover).count();
    assert_eq!(leftovers, 2);
    assert_eq!(everything(&spool).len() as u64, COUNT);
    spool.close();
    assert!(disk.paths().contains(&options().dir.join("notes.txt")));
}
