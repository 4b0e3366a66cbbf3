//! Tells the service manager that the program is alive, and only while it really is.
//!
//! Each time, a task is started on the main runtime and has to come back by way of its timer and of the threads for what
//! blocks: a runtime whose threads are all stuck, or that waits for threads that never end, falls silent, and is started
//! afresh. A database or disk that is away is no reason: starting afresh would mend neither.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::notify;
use crate::supervisor::Spawner;

/// Starts it, where the service manager asks.
pub(super) fn start(spawner: &Spawner) {
    if let Some(interval) = notify::watchdog() {
        let (probe, stop) = (spawner.clone(), spawner.stopping());
        spawner.spawn_once("watchdog", keep(interval, probe, notify::alive, stop));
    }
}

/// Tells by `alive` within each `interval`, as long as the program makes progress, until `stop`.
async fn keep(interval: Duration, spawner: Spawner, alive: impl Fn(), stop: CancellationToken) {
    // Half of it is what sd_watchdog_enabled(3) asks for; one in three may then be late.
    let pause = interval / 3;
    loop {
        if stop.run_until_cancelled(makes_progress(&spawner)).await != Some(true) {
            return;
        }
        alive();
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Comes back when a new task has been through the runtime; false when it was not run to its end.
async fn makes_progress(spawner: &Spawner) -> bool {
    let (done, is_done) = tokio::sync::oneshot::channel();
    spawner.spawn_once("watchdog", async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let _ = tokio::task::spawn_blocking(|| ()).await;
        let _ = done.send(());
    });
    is_done.await.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::supervisor::{Phase, Supervisor};

    #[test]
    fn it_falls_silent_while_the_threads_for_what_blocks_are_stuck_and_not_before() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).enable_all().build();
        runtime.unwrap().block_on(async {
            let supervisor = Supervisor::new();
            let spawner = supervisor.spawner(Phase::Close);
            let told = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&told);
            let alive = move || {
                count.fetch_add(1, Ordering::SeqCst);
            };
            let interval = Duration::from_millis(15);
            spawner.spawn_once("watchdog", keep(interval, spawner.clone(), alive, spawner.stopping()));
            let more = async |than: u32| {
                while told.load(Ordering::SeqCst) <= than {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            more(3).await;
            let (free, stuck) = std::sync::mpsc::channel::<()>();
            let blocked = tokio::task::spawn_blocking(move || stuck.recv());
            // What had passed the check before may still tell once.
            let before = told.load(Ordering::SeqCst);
            let silent = tokio::time::timeout(20 * interval, more(before + 1)).await;
            assert!(silent.is_err(), "it tells although nothing that blocks is run");
            drop(free);
            let _ = blocked.await.unwrap();
            tokio::time::timeout(Duration::from_secs(20), more(before + 1)).await.expect("alive again");
        });
    }
}
