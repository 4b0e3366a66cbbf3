//! Messages that are stored before anybody answers for them.

use super::*;

async fn try_awaiting(spool: &Log, number: u64, bytes: &[u8]) -> Result<Awaiting, SpoolError> {
    let mut incoming = spool.begin();
    incoming.push(bytes).await?;
    let manifest = Manifest { verdict: Verdict::Awaited, ..manifest(number) };
    incoming.commit_awaiting(manifest).await
}

async fn awaiting(spool: &Log, number: u64, bytes: &[u8]) -> Awaiting {
    try_awaiting(spool, number, bytes).await.unwrap()
}

fn ids(spool: &Log) -> Vec<MessageId> {
    everything(spool).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn what_awaits_a_verdict_is_no_message_until_it_is_accepted() {
    for length in [0, 1, 2048, 2049, 9000] {
        let disk = SimulatedDisk::new(1);
        let (spool, _) = open(&disk);
        let bytes = body(2, length);
        runtime().block_on(async {
            let _ = store(&spool, 1, b"before").await.unwrap();
            let refused = awaiting(&spool, 9, b"refused").await;
            let accepted = awaiting(&spool, 2, &bytes).await;
            assert_eq!(ids(&spool), [manifest(1).id]);
            assert_eq!(accepted.read().await.unwrap(), bytes);
            let stored = accepted.accept().await.unwrap();
            assert_eq!((stored.id(), stored.size()), (manifest(2).id, length as u64));
            drop(refused);
            let _ = store(&spool, 3, b"behind").await.unwrap();
        });
        assert_eq!(ids(&spool), [manifest(1).id, manifest(2).id, manifest(3).id]);
        assert_stored(&everything(&spool), 2, &bytes, "accepted");
        spool.close();
        let (spool, report) = open(&disk);
        assert!(report.findings.is_empty());
        assert_eq!(ids(&spool), [manifest(1).id, manifest(2).id, manifest(3).id], "after a restart too");
        spool.close();
    }
}

#[test]
fn a_power_cut_between_the_two_commits_leaves_no_message_and_takes_none_that_was_accepted() {
    for nth in 1..80 {
        let disk = SimulatedDisk::new(nth);
        disk.cut_power_at(nth);
        let bytes = body(2, 5000);
        let mut is_accepted = false;
        if let Ok((spool, _)) = Log::open(options(), disk.files(), keys(), clock()) {
            is_accepted = runtime().block_on(async {
                let Ok(pending) = try_awaiting(&spool, 1, b"pending").await else { return false };
                let Ok(second) = try_awaiting(&spool, 2, &bytes).await else { return false };
                drop(pending);
                second.accept().await.is_ok()
            });
            spool.close();
        }
        disk.power_on(nth * 31);
        let (spool, report) = open(&disk);
        assert!(report.findings.iter().all(|finding| finding.loss == Loss::None), "{nth}: {report:?}");
        let found = everything(&spool);
        assert!(found.iter().all(|(id, _)| *id == manifest(2).id), "{nth}: nobody answered for the first");
        if is_accepted {
            assert_stored(&found, 2, &bytes, "accepted before the cut");
        }
        spool.close();
    }
}
