//! Every task of the program: named, restarted when it fails, and ended in order.
//!
//! [`Spawner`] is the only way to start a task. What a task may count on:
//! * A panic is caught, counted and logged by the task's name; nothing else of the program is disturbed.
//! * A task with [`RestartPolicy::Restart`] is started again after a panic or an error, 0.1 s later, then after twice
//!   the time, up to 30 s; a minute without a failure begins again at 0.1 s. Five failures within a minute end the process with an
//!   error: an operator should see it, and a supervisor outside should start afresh.
//! * A task with [`RestartPolicy::Never`] serves one peer or one purpose; it never ends the process, because then a peer
//!   that finds a way to make it panic could.
//! * Shutdown goes phase by phase ([`Phase`]). A task's token is cancelled when its phase comes; what then still runs
//!   at the phase's deadline is dropped at its next await. Being dropped, like `kill -9`, loses nothing acknowledged.
//!
//! There is no global state: a task can be started only by whom a [`Spawner`] was handed to.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::{field, metric};

/// When a task is told to stop; phases end in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Listeners: no new connection is taken.
    Accept,
    /// Sessions and requests: those in the middle of something finish it, idle ones say goodbye.
    Serve,
    /// Workers: no new work is claimed, running attempts end or hand back their lease.
    Work,
    /// What the others stand on: spool, database, metrics.
    Close,
}

impl Phase {
    /// All phases, first to last.
    pub const ALL: [Self; 4] = [Self::Accept, Self::Serve, Self::Work, Self::Close];
}

/// What happens when a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// It is logged, and that is all.
    Never,
    /// It is started again, with back-off; too many failures in a minute end the process.
    Restart,
}

/// How a task ended: `()` for those that cannot fail, or a `Result`.
pub trait Ending {
    /// The error, where there is one.
    fn failure(self) -> Option<String>;
}

impl Ending for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Ending for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// The task whose failures end the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task `{task}` failed {failures} times within a minute")]
pub struct TaskFailed {
    /// Its name.
    pub task: &'static str,
    /// How often it failed.
    pub failures: usize,
}

/// How long each phase of a shutdown may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Of [`Phase::Accept`].
    pub accept: Duration,
    /// Of [`Phase::Serve`].
    pub serve: Duration,
    /// Of [`Phase::Work`].
    pub work: Duration,
    /// Of [`Phase::Close`].
    pub close: Duration,
}

impl Deadlines {
    /// Shares `grace` out: one tenth to accept, five to serve, three to work, one to close.
    #[must_use]
    pub fn within(grace: Duration) -> Self {
        let tenth = grace / 10;
        Self { accept: tenth, serve: tenth * 5, work: tenth * 3, close: tenth }
    }

    fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Accept => self.accept,
            Phase::Serve => self.serve,
            Phase::Work => self.work,
            Phase::Close => self.close,
        }
    }
}

/// What a shutdown found: the phases whose tasks had to be dropped at the deadline, with how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Empty when everything ended by itself.
    pub dropped: Vec<(Phase, usize)>,
}

/// Owner of all tasks.
#[derive(Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    accept: Group,
    serve: Group,
    work: Group,
    close: Group,
    failed: CancellationToken,
    failure: Mutex<Option<TaskFailed>>,
}

/// The tasks of one phase.
#[derive(Debug, Default)]
struct Group {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Drops what still runs; later than `stop`.
    cut: CancellationToken,
}

impl Supervisor {
    /// A supervisor without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// What starts tasks that end in `phase`.
    #[must_use]
    pub fn spawner(&self, phase: Phase) -> Spawner {
        Spawner { shared: Arc::clone(&self.shared), phase }
    }

    /// Cancelled when `phase` begins to end.
    #[must_use]
    pub fn stopping(&self, phase: Phase) -> CancellationToken {
        self.shared.group(phase).stop.clone()
    }

    /// Waits until a task has failed too often; for ever when none does.
    pub async fn failed(&self) -> TaskFailed {
        self.shared.failed.cancelled().await;
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.unwrap_or(TaskFailed { task: "unknown", failures: 0 })
    }

    /// Runs until `signal` comes or a task has failed too often, then shuts down.
    ///
    /// # Errors
    /// The task that failed too often.
    pub async fn run_until(
        &self,
        signal: impl Future<Output = ()>,
        deadlines: Deadlines,
    ) -> Result<ShutdownReport, TaskFailed> {
        let failure = tokio::select! {
            () = signal => None,
            failure = self.failed() => Some(failure),
        };
        let report = self.shut_down(deadlines).await;
        failure.map_or(Ok(report), Err)
    }

    /// Ends all tasks, phase by phase; each phase ends when its tasks have, or at its deadline.
    pub async fn shut_down(&self, deadlines: Deadlines) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        for phase in Phase::ALL {
            let group = self.shared.group(phase);
            group.stop.cancel();
            group.tasks.close();
            if tokio::time::timeout(deadlines.of(phase), group.tasks.wait()).await.is_ok() {
                continue;
            }
            let left = group.tasks.len();
            tracing::warn!("{left} tasks of phase {phase:?} did not end in time and are dropped");
            report.dropped.push((phase, left));
            group.cut.cancel();
            // A dropped task ends at its next await; one that never awaits must not hold up the rest.
            let _ = tokio::time::timeout(CUT_GRACE, group.tasks.wait()).await;
        }
        report
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn group(&self, phase: Phase) -> &Group {
        match phase {
            Phase::Accept => &self.accept,
            Phase::Serve => &self.serve,
            Phase::Work => &self.work,
            Phase::Close => &self.close,
        }
    }

    fn give_up(&self, failure: TaskFailed) {
        tracing::error!({ field::TASK } = failure.task, "The process ends: {failure}");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.failed.cancel();
    }
}

/// Starts tasks of one phase; cheap to clone and hand on.
#[derive(Debug, Clone)]
pub struct Spawner {
    shared: Arc<Shared>,
    phase: Phase,
}

impl Spawner {
    /// Starts the task `name`; `factory` makes its future, again after each failure where `policy` says so.
    ///
    /// The future is handed the token that is cancelled when it should stop.
    pub fn spawn<F, Fut>(&self, name: &'static str, policy: RestartPolicy, mut factory: F)
    where
        F: FnMut(CancellationToken) -> Fut + Send + 'static,
        Fut: Future + Send,
        Fut::Output: Ending,
    {
        let shared = Arc::clone(&self.shared);
        let phase = self.phase;
        self.start(async move {
            let mut failures = Failures::default();
            let stop = shared.group(phase).stop.clone();
            while run(name, async { factory(stop.clone()).await }).await.is_err() {
                if policy == RestartPolicy::Never || stop.is_cancelled() {
                    return;
                }
                let pause = match failures.note(Instant::now()) {
                    Ok(pause) => pause,
                    Err(failures) => return shared.give_up(TaskFailed { task: name, failures }),
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                metrics::counter!(metric::TASK_RESTARTS, "task" => name).increment(1);
                tracing::info!({ field::TASK } = name, "Started task `{name}` again");
            }
        });
    }

    /// Starts a task that serves one peer or one purpose: [`RestartPolicy::Never`], for a future that exists already.
    pub fn spawn_once<Fut>(&self, name: &'static str, future: Fut)
    where
        Fut: Future + Send + 'static,
        Fut::Output: Ending,
    {
        self.start(async move {
            let _ = run(name, future).await;
        });
    }

    /// [`Spawner::spawn_once`] as a plain function, for modules that must not know the supervisor.
    #[must_use]
    pub fn function(&self, name: &'static str) -> SpawnFunction {
        let spawner = self.clone();
        Arc::new(move |future| spawner.spawn_once(name, future))
    }

    /// Cancelled when tasks of this phase should stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.shared.group(self.phase).stop.clone()
    }

    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let group = self.shared.group(self.phase);
        let cut = group.cut.clone();
        // The tracker counts its tasks and keeps nothing of those that have ended, so sessions need no reaping.
        group.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                () = task => {}
            }
        });
    }
}

/// What starts a future as a task, under a name that was chosen before.
pub type SpawnFunction = Arc<dyn Fn(futures_util::future::BoxFuture<'static, ()>) + Send + Sync>;

/// One run of a task; `Err` when it failed, which is counted and logged here and nowhere else.
async fn run<Fut>(name: &'static str, future: Fut) -> Result<(), ()>
where
    Fut: Future,
    Fut::Output: Ending,
{
    let outcome: Result<Fut::Output, Box<dyn Any + Send>> = AssertUnwindSafe(future).catch_unwind().await;
    match outcome.map(Ending::failure) {
        Ok(None) => Ok(()),
        Ok(Some(error)) => {
            tracing::error!({ field::TASK } = name, { field::ERROR_KIND } = "error", "Task `{name}` failed: {error}");
            Err(())
        }
        Err(_payload) => {
            // The payload may quote a message; the panic hook has logged the place.
            metrics::counter!(metric::TASK_PANICS, "task" => name).increment(1);
            tracing::error!({ field::TASK } = name, { field::ERROR_KIND } = "panic", "Task `{name}` panicked");
            Err(())
        }
    }
}

/// When a task failed lately.
#[derive(Debug, Default)]
struct Failures {
    recent: VecDeque<Instant>,
}

impl Failures {
    /// Notes a failure: how long to wait, or how many there were when they are too many.
    fn note(&mut self, now: Instant) -> Result<Duration, usize> {
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        self.recent.push_back(now);
        let count = self.recent.len();
        if count >= MOST_FAILURES {
            return Err(count);
        }
        let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(FIRST_PAUSE.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_PAUSE))
    }
}

const WINDOW: Duration = Duration::from_secs(60);
const MOST_FAILURES: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const CUT_GRACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
