//! Where the gate's time is spent: reading a text costs it about 40 ns an octet, so that a message of megabytes would hold one
//! of the threads on which everybody else is served. Such are read on threads of their own, a few at a time.

use tokio::sync::Semaphore;

use super::facts::DraftCase;
use crate::clock::Timestamp;
use crate::governance::facts::Facts;
use crate::governance::{Content, Verdict, Version, evaluate};
use crate::service::ServiceError;

/// Octets of a message that are read at once: about a millisecond.
pub(crate) const LIGHT: usize = 32 * 1024;
/// Heavy messages that are read at the same time.
static HEAVY: Semaphore = Semaphore::const_new(2);

/// Asks `work` about a version, where it holds up nobody.
pub(crate) async fn weigh<T: Send + 'static>(
    version: &Version,
    facts: &Facts,
    work: impl FnOnce(&Version, &Facts) -> T + Send + 'static,
) -> Result<T, ServiceError> {
    if is_light(&version.content) {
        return Ok(work(version, facts));
    }
    let (version, facts) = (version.clone(), facts.clone());
    apart(move || work(&version, &facts)).await
}

/// What the words of a content look like, found where it holds up nobody.
pub(crate) async fn likeness(content: &Content) -> Result<Option<u64>, ServiceError> {
    if is_light(content) {
        return Ok(crate::governance::likeness(content));
    }
    let content = content.clone();
    apart(move || crate::governance::likeness(&content)).await
}

fn is_light(content: &Content) -> bool {
    content.bytes().len() <= LIGHT
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
    let interrupted = |error: Box<dyn std::error::Error + Send + Sync>| ServiceError::Internal(error);
    let turn = HEAVY.acquire().await.map_err(|error| interrupted(error.into()))?;
    // The turn ends with the work, also where whoever asked has gone.
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|error| interrupted(error.into()))
}

impl DraftCase {
    /// What the gate says to it.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] when this process stops meanwhile.
    pub(crate) async fn verdict(&self, now: Timestamp) -> Result<Verdict, ServiceError> {
        weigh(&self.version, &self.facts, move |version, facts| evaluate(version, facts, now)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::governance::Actor;
    use crate::ids::{DraftId, MailboxId, TenantId};
    use crate::mail::address::{Mailbox, ReversePath};

    fn version(octets: usize) -> (Version, Facts) {
        let line = "See you on Tuesday.\r\n";
        let text = format!("From: a@harbor.example\r\nSubject: x\r\n\r\n{}", line.repeat(octets / line.len()));
        let ann = Mailbox::parse("ann@lakeside.example").unwrap();
        let version = Version {
            draft: DraftId::from_bits(1),
            tenant: TenantId::from_bits(2),
            mailbox: MailboxId::from_bits(3),
            author: Actor::Agent { agent: "a".into() },
            content: Content::new(ReversePath::Null, vec![ann], text.into_bytes().into()).unwrap(),
        };
        (version, Facts::default())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_large_message_is_read_beside_the_thread_that_serves_others_and_a_small_one_on_it() {
        let own = std::thread::current().id();
        let (small, facts) = version(LIGHT / 2);
        assert_eq!(weigh(&small, &facts, |_, _| std::thread::current().id()).await.unwrap(), own);

        let (large, facts) = version(LIGHT * 2);
        let (tell, told) = mpsc::channel();
        // Nobody else could tell it anything while it held this thread.
        let waits = weigh(&large, &facts, move |_, _| told.recv_timeout(Duration::from_secs(60)));
        let others = async { tell.send("served").unwrap() };
        let (heard, ()) = tokio::join!(waits, others);
        assert_eq!(heard.unwrap(), Ok("served"));
    }

    #[tokio::test]
    async fn what_is_read_apart_is_read_alike() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        for octets in [LIGHT / 2, LIGHT * 4] {
            let (version, facts) = version(octets);
            let apart = weigh(&version, &facts, move |version, facts| evaluate(version, facts, now)).await.unwrap();
            assert_eq!(apart, evaluate(&version, &facts, now));
            let found = likeness(&version.content).await.unwrap();
            assert_eq!(found, crate::governance::likeness(&version.content));
            assert!(found.is_some());
        }
    }
}
