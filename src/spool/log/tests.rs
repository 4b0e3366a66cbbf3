//! The promise of the spool, tested on a disk that loses power and fails.

mod damage;
mod faults;
mod power;
mod sealed;
mod usage;
mod verdict;
mod view;

use std::path::PathBuf;

use super::faults::SimulatedDisk;
use super::*;
use crate::clock::Timestamp;
use crate::ids::{Id, MailboxId, MessageId, SessionId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Manifest, Origin, Recipient, Verdict};
use crate::spool::SpooledMessage;

/// Small segments, so that tests cross their borders.
fn options() -> SpoolOptions {
    SpoolOptions {
        dir: PathBuf::from("/spool"),
        segment_bytes: 32 << 10,
        chunk_bytes: 2 << 10,
        queue_bytes: 64 << 10,
        reserve: Reserve::OFF,
        patience: Duration::from_secs(60),
        read_to: Position::START,
    }
}

fn keys() -> Arc<BodyKeys> {
    Arc::new(BodyKeys::new(&[], &[7; 32]))
}

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_micros(1_000_000_000))
}

fn open(disk: &SimulatedDisk) -> (Log, RecoveryReport) {
    Log::open(options(), disk.files(), keys(), clock()).unwrap()
}

fn segment_path(number: u64) -> PathBuf {
    options().segment_path(number)
}

fn manifest(number: u64) -> Manifest {
    let recipient =
        Recipient::Mailbox { tenant: TenantId::from_parts(1, [1; 10]), mailbox: MailboxId::from_parts(1, [2; 10]) };
    let mailbox = Mailbox::parse("a@example.org").unwrap();
    Manifest {
        id: MessageId::from_parts(number, [3; 10]),
        received_at: Timestamp::from_micros(5),
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            forward_paths: vec![ForwardPath::new(mailbox, recipient)],
            body: BodyKind::SevenBit,
            smtputf8: false,
            envelope_id: None,
            returned: None,
        },
        origin: Origin {
            door: Door::Smtp,
            session: SessionId::from_parts(1, [4; 10]),
            peer: Some("127.0.0.1".parse().unwrap()),
            proxy: None,
            helo: "client.example".into(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        },
        defects: Vec::new(),
        quiet: false,
        verdict: crate::mail::envelope::Verdict::NotAsked,
        milter: None,
    }
}

/// Bytes that differ from message to message and from place to place.
fn body(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

async fn store(spool: &Log, number: u64, bytes: &[u8]) -> Result<(SpooledMessage, Position), SpoolError> {
    let mut incoming = spool.begin();
    for part in bytes.chunks(700) {
        incoming.push(part).await?;
    }
    incoming.commit(manifest(number)).await
}

/// All messages of the log with their bodies.
fn everything(spool: &Log) -> Vec<(MessageId, Result<Vec<u8>, SpoolError>)> {
    let mut messages = Vec::new();
    let mut after = Position::START;
    loop {
        let some = spool.read_after(after, 3, 1 << 20).unwrap();
        let Some(last) = some.last() else { return messages };
        assert!(last.next > after, "reading goes forward");
        after = last.next;
        messages.extend(some.iter().map(|message| (message.manifest.id, spool.read_body(&message.body))));
    }
}

/// Checks that message `number` is there exactly once with these bytes.
fn assert_stored(found: &[(MessageId, Result<Vec<u8>, SpoolError>)], number: u64, bytes: &[u8], context: &str) {
    let same: Vec<_> = found.iter().filter(|(id, _)| *id == manifest(number).id).collect();
    assert_eq!(same.len(), 1, "message {number} is there once: {context}");
    assert!(same[0].1.as_ref().is_ok_and(|found| found == bytes), "message {number} is byte-exact: {context}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
