//! The clock of a stranger, network by network.

use super::*;
use crate::clock::Clock;
use crate::ids::{SessionId, TenantId};
use crate::mail::envelope::Door;
use crate::mail::reading::Reader;
use crate::store::routes::NewRoute;

const HOURS: fn(u64) -> Duration = |hours| Duration::from_secs(hours * 3_600);

struct Scene {
    _folder: tempfile::TempDir,
    store: Store,
    tenant: TenantId,
    strangers: Strangers,
}

async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    // Midnight UTC.
    let clock = Clock::fixed(Timestamp::from_micros(20_000 * DAY_MICROS));
    let store = Store::open(&folder.path().join("index.db"), clock).await.unwrap();
    let tenant = store.add_tenant("harbor").await.unwrap();
    let settings = StrangerSettings { put_off: HOURS(12), kept_per_day: NonZeroU32::new(2).unwrap() };
    let strangers = Strangers::new(store.clone(), settings);
    Scene { _folder: folder, store, tenant, strangers }
}

impl Scene {
    async fn route(&self, token: u8, peers: &[&str]) -> RouteRow {
        let id = self.store.clock().mint();
        let peers = peers.iter().map(|rule| rule.parse().unwrap()).collect();
        let route = NewRoute {
            reader: Reader::Bcc,
            token_hash: [token; 32],
            address_sealed: String::new(),
            app: None,
            peers,
            size_cap: None,
            observe_until: None,
        };
        self.store.for_tenant(self.tenant).add_route(id, route).await.unwrap();
        self.store.for_tenant(self.tenant).route(id).await.unwrap().unwrap()
    }

    async fn ask(&self, route: &RouteRow, peer: Option<&str>) -> RecipientAnswer {
        let origin = Origin {
            door: Door::Smtp,
            session: SessionId::from_bits(1),
            peer: peer.map(|peer| peer.parse().unwrap()),
            proxy: None,
            helo: String::new(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        };
        self.strangers.answer(route, &origin).await.unwrap()
    }

    /// A node that has just started, so that only the store remembers.
    fn restarted(mut self) -> Self {
        self.strangers = Strangers::new(self.store.clone(), self.strangers.settings);
        self
    }
}

fn untrusted(route: &RouteRow) -> RecipientAnswer {
    RecipientAnswer::known(Recipient::Route {
        tenant: route.tenant,
        route: route.id,
        reader: Reader::Bcc,
        peer_authorised: false,
        shared_range: false,
    })
}

#[tokio::test]
async fn copies_are_put_off_for_twelve_hours_and_then_kept_untrusted() {
    let scene = scene().await;
    let route = scene.route(1, &["192.0.2.0/24"]).await;
    assert_eq!(scene.ask(&route, Some("198.51.100.1")).await, RecipientAnswer::NotAuthorised);
    scene.store.clock().advance(HOURS(11));
    let scene = scene.restarted();
    // A neighbour of the first is the same peer; another network begins anew.
    assert_eq!(scene.ask(&route, Some("198.51.100.200")).await, RecipientAnswer::NotAuthorised);
    assert_eq!(scene.ask(&route, Some("2001:db8::1")).await, RecipientAnswer::NotAuthorised);
    scene.store.clock().advance(HOURS(1));
    assert_eq!(scene.ask(&route, Some("198.51.100.7")).await, untrusted(&route));
    assert_eq!(scene.ask(&route, Some("2001:db8::1")).await, RecipientAnswer::NotAuthorised);
    assert_eq!(scene.ask(&route, None).await, RecipientAnswer::NotAuthorised);
}

#[tokio::test]
async fn a_network_that_was_quiet_for_long_is_put_off_anew() {
    let scene = scene().await;
    let route = scene.route(1, &["192.0.2.0/24"]).await;
    assert_eq!(scene.ask(&route, Some("198.51.100.1")).await, RecipientAnswer::NotAuthorised);
    scene.store.clock().advance(HOURS(31 * 24));
    let scene = scene.restarted();
    assert_eq!(scene.ask(&route, Some("198.51.100.1")).await, RecipientAnswer::NotAuthorised);
}

#[tokio::test]
async fn a_route_that_names_nobody_keeps_so_many_untrusted_copies_a_day() {
    let scene = scene().await;
    let (route, other) = (scene.route(1, &[]).await, scene.route(2, &[]).await);
    for _ in 0..2 {
        assert_eq!(scene.ask(&route, Some("198.51.100.1")).await, untrusted(&route));
    }
    assert_eq!(scene.ask(&route, Some("203.0.113.1")).await, RecipientAnswer::Overloaded);
    assert_eq!(scene.ask(&other, Some("203.0.113.1")).await, untrusted(&other));
    scene.store.clock().advance(HOURS(24));
    assert_eq!(scene.ask(&route, Some("203.0.113.1")).await, untrusted(&route));
}

#[tokio::test]
async fn whoever_learned_the_address_does_not_fill_the_table() {
    let scene = scene().await;
    let route = scene.route(1, &["192.0.2.0/24"]).await;
    let tenant = scene.store.for_tenant(scene.tenant);
    let since = |number: u32| tenant.route_refused(route.id, format!("net-{number}"));
    for number in 0..1_000 {
        since(number).await.unwrap();
    }
    let before = scene.store.clock().now();
    scene.store.clock().advance(HOURS(13));
    assert_eq!(since(7).await.unwrap(), before, "a network that is known stays so");
    assert_eq!(since(1_000).await.unwrap(), scene.store.clock().now(), "one too many is never old enough");
}
