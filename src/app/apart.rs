//! Work that must not stand in the way of the doors: on a thread of its own, at a lower priority.
//!
//! Parsing and deciding take a hundred times the processor time of accepting. While mail comes in faster than it can be
//! decided on, it waits safely in the spool, and the sessions keep their speed; otherwise this costs nothing.

use std::future::Future;

use tokio::sync::oneshot;

/// The thread ended without a result: it could not be started, or it panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its thread ended early")]
pub(super) struct EndedEarly;

/// Added to the thread's nice value: about a tenth of the processor where the doors want all of it.
const NICE: i32 = 10;

/// Runs what `work` makes, on a thread called `name`.
pub(super) async fn apart<F, Fut>(name: &'static str, work: F) -> Result<(), EndedEarly>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let (done, ended) = oneshot::channel();
    let run = move || {
        // Where the system does not allow it, the work is done all the same.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(task = name, "Priority of `{name}` stays as it is: {error}");
        }
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(work());
            let _ = done.send(()); // Nobody waits any more at a shutdown that was cut short.
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|_| EndedEarly)?;
    ended.await.map_err(|_| EndedEarly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_on_its_own_thread_at_a_lower_priority() {
        let here = std::thread::current().id();
        let before = rustix::process::getpriority_process(None).unwrap();
        let (tell, told) = oneshot::channel();
        let work = move || async move {
            let _ = tell.send((std::thread::current().id(), rustix::process::getpriority_process(None).unwrap()));
        };
        assert_eq!(apart("test", work).await, Ok(()));
        let (there, priority) = told.await.unwrap();
        assert_ne!(there, here);
        assert!(priority > before);
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before, "the others keep theirs");
    }

    #[tokio::test]
    async fn a_panic_there_is_a_failure_here() {
        assert_eq!(apart("test", || async { panic!("on purpose") }).await, Err(EndedEarly));
    }
}
