//! Who a peer of a mail door says it is: an API key as the password of AUTH.
//!
//! # Security
//! Whoever guesses is stopped by network and before its credentials are looked at, so that a guesser learns nothing more
//! and costs nothing more. Counts are of this node and gone after a restart: a key has 178 bits, so that what is slowed
//! down here is the noise, not the hope.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::network;
use crate::intake::{AuthenticationAnswer, Credentials};
use crate::keys::{Pepper, Scope};
use crate::mail::envelope::Origin;
use crate::service::ServiceError;
use crate::service::keys::{Principal, authenticate};
use crate::store::Store;

/// The user name for those who do not know their key's id.
const ANY_USER: &str = "apikey";
/// Networks whose failures are remembered.
const NETWORKS: u64 = 100_000;

/// How many wrong credentials are borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessSettings {
    /// Refused attempts of one network within the window; the next is not looked at.
    pub failures: u32,
    /// How long they count, from the first one on.
    pub window: Duration,
}

/// Checks credentials.
#[derive(Clone)]
pub(in crate::pipeline) struct Callers {
    store: Store,
    pepper: Pepper,
    allowed: u32,
    failures: moka::sync::Cache<String, Arc<AtomicU32>>,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Callers").finish_non_exhaustive()
    }
}

impl Callers {
    pub(super) fn new(store: Store, pepper: Pepper, settings: GuessSettings) -> Self {
        let failures = moka::sync::Cache::builder().max_capacity(NETWORKS).time_to_live(settings.window).build();
        Self { store, pepper, allowed: settings.failures, failures }
    }

    /// The answer of a door that takes mail in.
    pub(super) async fn check(&self, credentials: &Credentials, origin: &Origin) -> AuthenticationAnswer {
        match self.principal(credentials, origin, Scope::MailIngest).await {
            Ok(principal) => AuthenticationAnswer::Known(principal.key_id()),
            Err(answer) => answer,
        }
    }

    /// Whose credentials these are, where its key has the scope of the door's work.
    pub(in crate::pipeline) async fn principal(
        &self,
        credentials: &Credentials,
        origin: &Origin,
        scope: Scope,
    ) -> Result<Arc<Principal>, AuthenticationAnswer> {
        let failures = self.failures.get_with(guesser(origin.peer), Arc::default);
        // Counted before the answer is known: guesses that come at once must not all be looked at.
        if failures.fetch_add(1, Ordering::Relaxed) >= self.allowed {
            return Err(AuthenticationAnswer::TooOften);
        }
        let answer = self.look_up(credentials, origin, scope).await;
        if !matches!(answer, Err(AuthenticationAnswer::Refused)) {
            failures.fetch_sub(1, Ordering::Relaxed);
        }
        answer
    }

    async fn look_up(
        &self,
        credentials: &Credentials,
        origin: &Origin,
        scope: Scope,
    ) -> Result<Arc<Principal>, AuthenticationAnswer> {
        let principal = match authenticate(&self.store, &self.pepper, &credentials.password, origin.peer).await {
            Ok(principal) => principal,
            Err(ServiceError::Refused(_)) => return Err(AuthenticationAnswer::Refused),
            Err(error) => {
                tracing::warn!(error.kind = "store", temporary = true, "Credentials cannot be checked: {error}");
                return Err(AuthenticationAnswer::Unavailable);
            }
        };
        let is_named = credentials.user == ANY_USER || credentials.user == principal.key_id().to_string();
        if is_named && principal.has(scope) { Ok(principal) } else { Err(AuthenticationAnswer::Refused) }
    }
}

/// Whose failures are counted together: one address, or an IPv6 site (RFC 6177).
fn guesser(peer: Option<IpAddr>) -> String {
    network(peer, (32, 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::ids::SessionId;
    use crate::keys::{Environment, KeyBindings, Scopes};
    use crate::mail::envelope::Door;
    use crate::service::keys::{NewKey, make_key};

    struct Scene {
        _folder: tempfile::TempDir,
        callers: Callers,
        ingest: (String, String),
        reader: (String, String),
    }

    async fn scene(failures: u32) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let store = Store::open(&folder.path().join("index.db"), clock.clone()).await.unwrap();
        let tenant = store.add_tenant("harbor").await.unwrap();
        let pepper = Pepper::new(b"pepper");
        let mut keys = Vec::new();
        for scope in [Scope::MailIngest, Scope::EventsRead] {
            let new = NewKey {
                name: "mail".into(),
                environment: Environment::Live,
                scopes: Scopes::of(&[scope]),
                bindings: KeyBindings::default(),
                allowed_networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
                expires_at: None,
            };
            let (key, record) = make_key(new, tenant, &pepper, &clock);
            keys.push((record.id.to_string(), key.reveal().to_owned()));
            store.for_tenant(tenant).add_key(record).await.unwrap();
        }
        let settings = GuessSettings { failures, window: Duration::from_secs(600) };
        let callers = Callers::new(store, pepper, settings);
        let reader = keys.pop().unwrap();
        Scene { _folder: folder, callers, ingest: keys.pop().unwrap(), reader }
    }

    async fn ask(scene: &Scene, user: &str, password: &str, peer: &str) -> AuthenticationAnswer {
        let origin = Origin {
            door: Door::Smtps,
            session: SessionId::from_bits(1),
            peer: Some(peer.parse().unwrap()),
            proxy: None,
            helo: String::new(),
            tls: Some("TLSv1.3".into()),
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        };
        let credentials = Credentials { user: user.into(), password: password.into() };
        scene.callers.check(&credentials, &origin).await
    }

    #[tokio::test]
    async fn only_the_right_key_for_this_work_by_its_own_name_is_known() {
        let scene = scene(100).await;
        let (id, key) = &scene.ingest;
        let known = AuthenticationAnswer::Known(id.parse().unwrap());
        assert_eq!(ask(&scene, id, key, "192.0.2.1").await, known);
        assert_eq!(ask(&scene, "apikey", key, "192.0.2.1").await, known);
        let (reader, other) = &scene.reader;
        for (user, password, peer) in [
            ("ann", key.as_str(), "192.0.2.1"),
            (reader, key, "192.0.2.1"),
            (reader, other, "192.0.2.1"),
            (id, "x", "192.0.2.1"),
            (id, id, "192.0.2.1"),
            (id, key, "198.51.100.1"),
        ] {
            assert_eq!(ask(&scene, user, password, peer).await, AuthenticationAnswer::Refused, "{user} {peer}");
        }
    }

    #[tokio::test]
    async fn a_guesser_is_stopped_by_network_and_nobody_else_is() {
        let scene = scene(2).await;
        let (id, key) = &scene.ingest;
        let known = AuthenticationAnswer::Known(id.parse().unwrap());
        for _ in 0..5 {
            assert_eq!(ask(&scene, id, key, "2001:db8::1").await, known, "what is right does not count");
        }
        for _ in 0..2 {
            assert_eq!(ask(&scene, id, "x", "2001:db8::1").await, AuthenticationAnswer::Refused);
        }
        for peer in ["2001:db8::1", "2001:db8::2:2"] {
            assert_eq!(ask(&scene, id, key, peer).await, AuthenticationAnswer::TooOften, "{peer}");
        }
        for peer in ["2001:db8:0:1::1", "192.0.2.1"] {
            assert_eq!(ask(&scene, id, key, peer).await, known, "{peer}");
        }
    }
}
