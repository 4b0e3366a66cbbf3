//! Claims about tasks and shutdown; time is moved on by hand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const DEADLINES: Deadlines = Deadlines {
    accept: Duration::from_secs(1),
    serve: Duration::from_secs(10),
    work: Duration::from_secs(5),
    close: Duration::from_secs(1),
};

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_started_again_after_a_pause_that_doubles() {
    let supervisor = Supervisor::new();
    let begin = Instant::now();
    let (sender, mut starts) = tokio::sync::mpsc::unbounded_channel();
    supervisor.spawner(Phase::Work).spawn("worker", RestartPolicy::Restart, move |stop| {
        let sender = sender.clone();
        async move {
            let at = begin.elapsed().as_millis();
            sender.send(at).unwrap();
            assert!(at >= 700, "not yet");
            stop.cancelled().await;
        }
    });
    for want in [0, 100, 300, 700] {
        assert_eq!(starts.recv().await, Some(want));
    }
    assert_eq!(supervisor.shut_down(DEADLINES).await, ShutdownReport::default());
}

#[tokio::test(start_paused = true)]
async fn five_failures_within_a_minute_end_the_process_with_the_name_of_the_task() {
    let supervisor = Supervisor::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    supervisor.spawner(Phase::Work).spawn("ingest", RestartPolicy::Restart, move |_stop| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), _>("the database is gone") }
    });
    let stopped = supervisor.stopping(Phase::Close);
    let result = supervisor.run_until(std::future::pending(), DEADLINES).await;
    assert_eq!(result, Err(TaskFailed { task: "ingest", failures: 5 }));
    assert_eq!(runs.load(Ordering::SeqCst), 5);
    assert!(stopped.is_cancelled(), "the other tasks are told to stop too");
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_far_apart_do_not_end_the_process() {
    let supervisor = Supervisor::new();
    let (sender, mut runs) = tokio::sync::mpsc::unbounded_channel();
    supervisor.spawner(Phase::Work).spawn("slow", RestartPolicy::Restart, move |_stop| {
        let sender = sender.clone();
        async move {
            sender.send(()).unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
            break_down();
        }
    });
    for _ in 0..20 {
        runs.recv().await.unwrap();
    }
    assert!(supervisor.failed().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_never_ends_the_process() {
    let supervisor = Supervisor::new();
    let sessions = supervisor.spawner(Phase::Serve);
    for _ in 0..50 {
        sessions.spawn_once("session", async { break_down() });
    }
    let report = supervisor.run_until(tokio::time::sleep(Duration::from_secs(5)), DEADLINES).await;
    assert_eq!(report, Ok(ShutdownReport::default()));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_future_is_made_is_caught_too() {
    let supervisor = Supervisor::new();
    let factory = |_stop| -> std::future::Ready<()> { panic!("in the factory") };
    supervisor.spawner(Phase::Work).spawn("maker", RestartPolicy::Restart, factory);
    assert_eq!(supervisor.failed().await, TaskFailed { task: "maker", failures: 5 });
}

#[tokio::test(start_paused = true)]
async fn phases_end_one_after_the_other() {
    let supervisor = Supervisor::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    for (phase, name) in Phase::ALL.into_iter().zip(["accept", "serve", "work", "close"]).rev() {
        let order = Arc::clone(&order);
        supervisor.spawner(phase).spawn(name, RestartPolicy::Restart, move |stop| {
            let order = Arc::clone(&order);
            async move {
                stop.cancelled().await;
                order.lock().unwrap().push(format!("{name} told"));
                tokio::time::sleep(Duration::from_millis(900)).await;
                order.lock().unwrap().push(format!("{name} done"));
            }
        });
    }
    assert_eq!(supervisor.shut_down(DEADLINES).await, ShutdownReport::default());
    let want = ["accept", "serve", "work", "close"].map(|name| [format!("{name} told"), format!("{name} done")]);
    assert_eq!(*order.lock().unwrap(), want.concat());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_by_its_deadline_is_dropped_and_reported() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let supervisor = Supervisor::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let guard = Guard(Arc::clone(&dropped));
        supervisor.spawner(Phase::Serve).spawn_once("stuck", async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
    }
    let begin = Instant::now();
    let report = supervisor.shut_down(DEADLINES).await;
    assert_eq!(report.dropped, [(Phase::Serve, 2)]);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    assert_eq!(begin.elapsed(), DEADLINES.serve);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_not_started_again_while_stopping() {
    let supervisor = Supervisor::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    supervisor.spawner(Phase::Work).spawn("worker", RestartPolicy::Restart, move |stop| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            stop.cancelled().await;
            Err::<(), _>("cut short")
        }
    });
    tokio::task::yield_now().await;
    assert_eq!(supervisor.shut_down(DEADLINES).await, ShutdownReport::default());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_not_one_too_many() {
    let supervisor = Supervisor::new();
    let mut runs = 0;
    supervisor.spawner(Phase::Work).spawn("worker", RestartPolicy::Restart, move |stop| {
        runs += 1;
        let is_last = runs == 5;
        async move {
            if is_last {
                stop.cancelled().await;
            }
            Err::<(), _>("cut short")
        }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(supervisor.shut_down(DEADLINES).await, ShutdownReport::default());
    assert!(supervisor.failed().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn panics_are_counted_by_task() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let supervisor = Supervisor::new();
    let start = supervisor.spawner(Phase::Serve).function("session");
    start(async { break_down() }.boxed());
    supervisor.shut_down(DEADLINES).await;
    let text = handle.render();
    assert!(text.contains("connex_task_panics_total{task=\"session\"} 1"), "{text}");
}

fn break_down() {
    panic!("hostile input");
}

#[test]
fn the_grace_is_shared_out_whole() {
    let deadlines = Deadlines::within(Duration::from_secs(20));
    let sum: Duration = Phase::ALL.into_iter().map(|phase| deadlines.of(phase)).sum();
    assert_eq!(sum, Duration::from_secs(20));
}
