//! Whether clients are asked for a certificate: while any route names one.
//!
//! The directory is asked once a second at most, and only while handshakes come, so that a new route counts at every node
//! within that time. While it does not answer, what it said last stands; before it ever has, clients are asked, which does
//! no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::KEPT;
use crate::store::Store;

/// The fact, as it was a moment ago. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    store: Store,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Known {
    are_wanted: AtomicBool,
    asked: Mutex<Option<Instant>>,
}

impl Certificates {
    pub(super) fn new(store: Store) -> Self {
        let known = Known { are_wanted: AtomicBool::new(true), asked: Mutex::new(None) };
        Self { store, known: Arc::new(known) }
    }

    pub(super) async fn are_wanted(&self) -> bool {
        // Whoever comes while another asks goes by what was known before.
        if let Ok(mut asked) = self.known.asked.try_lock()
            && asked.is_none_or(|asked| asked.elapsed() >= KEPT)
        {
            match self.store.has_route_with_certificate().await {
                Ok(are_wanted) => self.known.are_wanted.store(are_wanted, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(error.kind = "store", temporary = true, "Routes cannot be looked up: {error}");
                }
            }
            *asked = Some(Instant::now());
        }
        self.known.are_wanted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::mail::reading::Reader;
    use crate::service::tokens::{new_token, token_hash};
    use crate::store::routes::NewRoute;

    #[tokio::test]
    async fn they_are_wanted_while_a_route_names_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("index.db"), Clock::System).await.unwrap();
        let tenant = store.for_tenant(store.add_tenant("harbor").await.unwrap());
        // Each looks for the first time: what was found is kept for a while.
        let are_wanted = || async { Certificates::new(store.clone()).are_wanted().await };
        let add = async |peer: &str| {
            let peers = vec![peer.parse().unwrap()];
            let route = NewRoute {
                reader: Reader::Bcc,
                token_hash: token_hash(&new_token()),
                address_sealed: String::new(),
                app: None,
                peers,
                size_cap: None,
                observe_until: None,
            };
            let id = store.clock().mint();
            tenant.add_route(id, route).await.unwrap();
            id
        };
        assert!(!are_wanted().await, "there is no route");
        add("192.0.2.0/24").await;
        assert!(!are_wanted().await, "it goes by addresses");
        let kept = Certificates::new(store.clone());
        assert!(!kept.are_wanted().await);
        let route = add(&format!("cert:sha256:{}", "0".repeat(64))).await;
        assert!(are_wanted().await);
        assert!(!kept.are_wanted().await, "kept for a moment");
        tenant.remove_route(route).await.unwrap();
        assert!(!are_wanted().await, "it is removed");
    }
}
