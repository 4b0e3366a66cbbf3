//! Looking at a log that is being written.

use super::super::LogView;
use super::*;

#[test]
fn a_view_shows_what_was_committed_beside_the_process_that_writes() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    let bodies = fill(&spool);
    let view = LogView::open(options(), disk.files(), keys(), clock()).unwrap();
    assert_shows(&view, &bodies);
    runtime().block_on(async {
        let _ = store(&spool, 99, b"after the view").await.unwrap();
    });
}

#[test]
fn a_view_changes_nothing() {
    let disk = SimulatedDisk::new(1);
    let (spool, _) = open(&disk);
    let bodies = fill(&spool);
    // A writer that runs prepares its next segment when it likes.
    spool.close();
    let content = || -> Vec<_> { disk.paths().into_iter().map(|path| (disk.bytes(&path), path)).collect() };
    let before = content();
    let view = LogView::open(options(), disk.files(), keys(), clock()).unwrap();
    assert_shows(&view, &bodies);
    assert_eq!(content(), before);
}

fn fill(spool: &Log) -> Vec<Vec<u8>> {
    let bodies: Vec<Vec<u8>> = (0..40).map(|number| body(number, 100 + 150 * number as usize)).collect();
    runtime().block_on(async {
        for (number, bytes) in (0..).zip(&bodies) {
            let _ = store(spool, number, bytes).await.unwrap();
        }
    });
    bodies
}

fn assert_shows(view: &LogView, bodies: &[Vec<u8>]) {
    let seen = view.read_after(Position::START, 100, 1 << 20).unwrap();
    let read: Vec<_> = seen.iter().map(|message| (message.manifest.id, view.read_body(&message.body))).collect();
    for (number, bytes) in (0..).zip(bodies) {
        assert_stored(&read, number, bytes, "in the view");
    }
}
