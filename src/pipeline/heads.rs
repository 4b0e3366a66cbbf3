//! Writes signed heads of the tenants' audit logs into a folder, from which the operator takes them to where this machine can
//! change nothing: held against them, whatever is changed, reordered or cut off in a log shows.
//!
//! Each is a file of its own, named after its tenant and the number of its row, so that none replaces another; a log that has
//! not grown gets none. Of several nodes one writes at a time, into its own folder or one that they share.
//!
//! # Security
//! A head names no person and no mail. It is worth what the way is worth on which it leaves this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::rounds;
use crate::service::audit::{Head, head};
use crate::service::receipts::SigningKey;
use crate::store::{Store, StoreError};

/// The task.
#[derive(Debug, Clone)]
pub struct Heads {
    store: Store,
    key: Arc<SigningKey>,
    dir: PathBuf,
    every: Duration,
}

impl Heads {
    /// Writes heads that `key` signs into `dir` every so often.
    #[must_use]
    pub const fn new(store: Store, key: Arc<SigningKey>, dir: PathBuf, every: Duration) -> Self {
        Self { store, key, dir, every }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let trouble = "Heads of the audit log are not written for now";
        rounds::run(self.every, &stop, trouble, || self.round()).await;
    }

    /// One round, where no other node has taken it. What cannot be written is told by the log, and tried again in the next.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn round(&self) -> Result<(), StoreError> {
        if !rounds::take(&self.store, "audit_heads", self.every).await? {
            return Ok(());
        }
        for tenant in self.store.tenants().await? {
            let own = self.store.for_tenant(tenant.id);
            let head = head(&own, &self.key, self.store.clock().now()).await?;
            if head.number == 0 {
                continue;
            }
            if let Err(error) = write(&self.dir, &head).await {
                tracing::warn!(tenant.id = %tenant.id, error.kind = "io", "The head of an audit log cannot be written: {error}");
            }
        }
        Ok(())
    }
}

/// Writes a head that is not there yet: whole, or not at all.
async fn write(dir: &Path, head: &Head) -> std::io::Result<()> {
    let name = format!("{}-{:012}.head", head.tenant, head.number);
    let file = dir.join(&name);
    if fs::try_exists(&file).await? {
        return Ok(());
    }
    fs::create_dir_all(dir).await?;
    let text = serde_json::to_string(head).map_err(std::io::Error::other)?;
    let unfinished = dir.join(format!(".{name}.part"));
    let mut part = fs::File::create(&unfinished).await?;
    part.write_all(text.as_bytes()).await?;
    part.write_all(b"\n").await?;
    part.sync_all().await?;
    fs::rename(&unfinished, &file).await?;
    fs::File::open(dir).await?.sync_all().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::governance::audit::Who;
    use crate::service::audit::verify;
    use crate::store::audit::NewEntry;
    use crate::store::tests::engine::{Engine, Place, on_both_engines};

    on_both_engines! {
        a_log_that_has_grown_gets_a_head_of_its_own_that_is_held_against_it,
    }

    fn files(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn a_log_that_has_grown_gets_a_head_of_its_own_that_is_held_against_it(engine: Engine) {
        const HOUR: Duration = Duration::from_secs(3_600);
        let place = Place::new(engine).await;
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let (store, second) = (place.open(clock.clone()).await, place.open(clock.clone()).await);
        let tenant = store.add_tenant("harbor").await.unwrap();
        store.add_tenant("silent").await.unwrap();
        let own = store.for_tenant(tenant);
        let folder = tempfile::tempdir().unwrap();
        let (dir, key) = (folder.path().join("heads"), Arc::new(SigningKey::of(&[1; 32])));
        let heads = |store: Store| Heads::new(store, Arc::clone(&key), dir.clone(), HOUR);
        let (one, other) = (heads(store.clone()), heads(second));
        let grow = async || {
            let entry = NewEntry::new(Who::Operator, "draft.released", "drf_1", serde_json::json!({}));
            own.audit(vec![entry]).await.unwrap();
        };
        let named = |number: u32| format!("{tenant}-{number:012}.head");
        grow().await;
        one.round().await.unwrap();
        assert_eq!(files(&dir), [named(1)], "none of who has no row");
        grow().await;
        other.round().await.unwrap();
        assert_eq!(files(&dir), [named(1)], "the round was taken already, by another node");
        clock.advance(HOUR);
        other.round().await.unwrap();
        assert_eq!(files(&dir), [named(1), named(2)]);
        clock.advance(HOUR);
        one.round().await.unwrap();
        assert_eq!(files(&dir), [named(1), named(2)], "it has not grown");
        grow().await;
        for number in [1, 2] {
            let text = std::fs::read_to_string(dir.join(named(number))).unwrap();
            let head: Head = serde_json::from_str(&text).unwrap();
            assert_eq!(verify(&own, Some(&head), &key.public()).await.unwrap().0, 3);
        }
        place.run("DELETE FROM audit_log WHERE number >= 2").await;
        place
            .run("UPDATE audit_heads SET number = 1, hash = (SELECT hash FROM audit_log WHERE number = 1 LIMIT 1)")
            .await;
        let text = std::fs::read_to_string(dir.join(named(2))).unwrap();
        assert!(verify(&own, Some(&serde_json::from_str(&text).unwrap()), &key.public()).await.is_err());
    }
}
