//! What a disk shows of bodies, who can read them, and what was stored before they were sealed.

use super::format::{RecordHeader, SegmentHeader};
use super::*;
use crate::spool::log::files::Files;

const MARKER: &[u8] = b"The word at the door is swordfish. ";

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn other_keys() -> Arc<BodyKeys> {
    Arc::new(BodyKeys::new(&[], &[8; 32]))
}

/// What is on the disk of the first segment.
fn segment(disk: &SimulatedDisk) -> Vec<u8> {
    disk.bytes(&segment_path(1))
}

#[test]
fn no_segment_shows_a_body() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    let bodies = [MARKER.repeat(2), MARKER.repeat(200)];
    runtime().block_on(async {
        for (number, bytes) in (0..).zip(&bodies) {
            let _ = store(&spool, number, bytes).await.unwrap();
        }
        let mut incoming = spool.begin();
        incoming.push(MARKER).await.unwrap();
        let manifest = Manifest { verdict: Verdict::Awaited, ..manifest(2) };
        let awaiting = incoming.commit_awaiting(manifest).await.unwrap();
        assert_eq!(awaiting.read().await.unwrap(), MARKER);
        let _ = awaiting.accept().await.unwrap();
    });
    spool.close();
    let bytes = segment(&disk);
    assert!(bytes.len() > 8_000 && contains(&bytes, b"client.example"), "manifests are in the clear");
    assert!(!contains(&bytes, b"swordfish"), "a body is in the clear");
    let (spool, _) = open(&disk);
    let found = everything(&spool);
    for (number, bytes) in (0..).zip(&bodies) {
        assert_stored(&found, number, bytes, "opened again");
    }
    assert_stored(&found, 2, MARKER, "accepted after a verdict");
    spool.close();
}

#[test]
fn without_its_key_a_body_is_neither_damaged_nor_lost() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        let _ = store(&spool, 0, MARKER).await.unwrap();
    });
    disk.kill_process();
    spool.close();
    let (spool, report) = Log::open(options(), disk.files(), other_keys(), clock()).unwrap();
    assert!(report.findings.iter().all(|finding| finding.kind.is_of_a_crash()), "{:?}", report.findings);
    let found = everything(&spool);
    assert!(matches!(&found[..], [(id, Err(SpoolError::UnknownKey(_)))] if *id == manifest(0).id), "{found:?}");
    assert_eq!(spool.unknown_key().unwrap(), Some(keys().current()));
    assert_eq!((spool.verify().unwrap(), spool.status().findings), (Vec::new(), 0));
    spool.close();
    let (spool, _) = open(&disk);
    assert_stored(&everything(&spool), 0, MARKER, "with its key again");
    assert_eq!(spool.unknown_key().unwrap(), None);
    spool.close();
}

/// Changes the payload of the record at `offset`, and all checksums with it.
fn forge(bytes: &mut [u8], offset: u32, change: impl FnOnce(&mut [u8])) {
    let binding = SegmentHeader::decode(bytes).unwrap().binding();
    let place = offset as usize;
    let header = RecordHeader::decode(&bytes[place..], u64::from(offset), &binding).unwrap();
    let payload = &mut bytes[place + format::RECORD_HEADER..][..header.length as usize];
    change(payload);
    let forged = RecordHeader { payload_crc: crc32c::crc32c(payload), ..header }.encode(&binding);
    bytes[place..place + format::RECORD_HEADER].copy_from_slice(&forged);
}

/// Chunks, and what stands in their places.
type Forged = Vec<(Extent, Vec<u8>)>;

#[test]
fn chunks_that_were_changed_or_exchanged_are_refused_although_their_checksums_are_right() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        for number in 0..2 {
            let _ = store(&spool, number, &body(number, 5_000)).await.unwrap();
        }
    });
    let messages = spool.read_after(Position::START, 9, u64::MAX).unwrap();
    spool.close();
    let chunk = |message: usize, chunk: usize| messages[message].body.extents[chunk];
    let payload = |extent: Extent| {
        let start = extent.offset as usize + format::RECORD_HEADER;
        segment(&disk)[start..start + extent.length as usize].to_vec()
    };
    let (first, second, foreign) = (chunk(0, 0), chunk(0, 1), payload(chunk(1, 0)));
    let (one, two) = (payload(first), payload(second));
    let damages: [(&str, Forged); 3] = [
        ("changed", vec![(first, one.iter().map(|byte| byte ^ 1).collect())]),
        ("exchanged", vec![(first, two), (second, one)]),
        ("of another body", vec![(first, foreign)]),
    ];
    for (what, forged) in damages {
        let disk = disk.copy();
        disk.tamper(&segment_path(1), |bytes| {
            for (extent, wanted) in &forged {
                forge(bytes, extent.offset, |payload| payload.copy_from_slice(wanted));
            }
        });
        let (spool, _) = open(&disk);
        assert_eq!(spool.verify().unwrap(), [], "{what}: the checksums are right");
        let found = everything(&spool);
        assert!(matches!(found[0].1, Err(SpoolError::Damaged { segment: 1, .. })), "{what}: {:?}", found[0]);
        assert_stored(&found, 1, &body(1, 5_000), what);
        spool.close();
    }
}

#[test]
fn a_commit_that_gives_a_body_to_another_message_is_damage() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    runtime().block_on(async {
        let _ = store(&spool, 0, MARKER).await.unwrap();
    });
    let chunk = spool.read_after(Position::START, 9, u64::MAX).unwrap()[0].body.extents[0];
    spool.close();
    let commit = (chunk.offset + format::RECORD_HEADER as u32 + chunk.length).next_multiple_of(8);
    disk.tamper(&segment_path(1), |bytes| forge(bytes, commit, |payload| payload[20] ^= 1));
    let (spool, _) = open(&disk);
    assert!(everything(&spool).is_empty());
    assert_eq!(spool.status().findings, 1);
    spool.close();
}

/// A segment that was written before bodies were sealed, format version 1.
const UNSEALED: &[u8] = include_bytes!("unsealed/0000000000000001.seg");

#[test]
fn what_was_stored_before_bodies_were_sealed_is_read() {
    assert!(contains(UNSEALED, b"The marker of line 699."), "what is in the clear is found on a disk");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0000000000000001.seg"), UNSEALED).unwrap();
    let options = SpoolOptions { dir: folder.path().to_owned(), segment_bytes: 1 << 20, ..options() };
    for round in 0..2 {
        let (spool, report) = Log::open(options.clone(), Files::Real, keys(), Clock::System).unwrap();
        assert_eq!(report.findings, []);
        assert_eq!(spool.verify().unwrap(), []);
        let found = everything(&spool);
        assert_eq!(found.len(), 2 + round);
        assert!(contains(found[0].1.as_ref().unwrap(), b"Subject: Old 0\r\n"));
        assert!(contains(found[1].1.as_ref().unwrap(), b"\r\nThe marker of line 699.\r\n"));
        if round == 1 {
            assert_stored(&found, 3, MARKER, "beside those in the clear");
        }
        runtime().block_on(async {
            let _ = store(&spool, 3, MARKER).await.unwrap();
        });
        spool.close();
    }
}
