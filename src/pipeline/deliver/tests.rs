//! What is recorded of an attempt that could not even be made.

use std::collections::BTreeMap;

use super::*;
use crate::dns::Resolver;
use crate::ids::{DeliveryId, EndpointId, EventId, TenantId};
use crate::store::deliveries::Target;
use crate::webhook::deliver::ClientSettings;
use crate::webhook::sign::WebhookSecret;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Bench {
    deliver: Deliver,
    endpoint: EndpointId,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap());
        let store = Store::open(&folder.path().join("index.db"), clock.clone()).await.unwrap();
        let allow = AllowList::default();
        let settings = ClientSettings::default();
        let client = WebhookClient::new(&settings, &Resolver::scripted(), &allow, clock.clone()).unwrap();
        let deliver = Deliver::new(store, client, allow, Arc::new(key()), DeliverLimits::default());
        Self { deliver, endpoint: clock.mint(), _folder: folder }
    }

    fn claimed(&self, change: impl FnOnce(&mut Target)) -> ClaimedDelivery {
        let clock = self.deliver.store.clock();
        let mut target = Target {
            url: "https://hooks.example.org/connex".to_owned(),
            secrets_sealed: self.sealed(&key(), SECRET),
            headers: BTreeMap::new(),
            schedule: "default".to_owned(),
            is_probe: false,
        };
        change(&mut target);
        ClaimedDelivery {
            tenant: clock.mint::<TenantId>(),
            id: clock.mint::<DeliveryId>(),
            endpoint: self.endpoint,
            event: clock.mint::<EventId>(),
            event_type: "message.classified".to_owned(),
            attempts: 0,
            created_at: clock.now(),
            body: "{}".to_owned(),
            target,
        }
    }

    fn sealed(&self, key: &InstanceKey, text: &str) -> String {
        key.seal(&self.endpoint.to_string(), text)
    }

    /// What is recorded of an attempt: reason and text.
    async fn recorded(&self, change: impl FnOnce(&mut Target)) -> (String, String) {
        let delivery = self.claimed(change);
        let attempted = self.deliver.attempt(&delivery).await;
        let finished = self.deliver.conclude(&delivery, 1, attempted);
        assert!(matches!(finished.next, NextStep::Retry(_)), "it is tried again: somebody may mend it");
        (finished.reason.unwrap(), finished.response.unwrap())
    }
}

fn key() -> InstanceKey {
    InstanceKey::new(&[1; 32])
}

#[tokio::test]
async fn a_secret_that_cannot_be_opened_or_read_is_called_that() {
    let bench = Bench::new().await;
    let damaged = format!("{SECRET}\nwhsec_short");
    for sealed in [
        bench.sealed(&InstanceKey::new(&[2; 32]), SECRET),
        key().seal("another row", SECRET),
        "s1:????".to_owned(),
        bench.sealed(&key(), ""),
        bench.sealed(&key(), &damaged),
    ] {
        let (reason, text) = bench.recorded(|target| target.secrets_sealed = sealed).await;
        assert_eq!(reason, "secret_unreadable");
        assert!(text.contains("rotate-secret") && !text.contains("whsec_"), "{text}");
    }
}

#[tokio::test]
async fn only_an_address_is_called_blocked() {
    let bench = Bench::new().await;
    let (reason, _) = bench.recorded(|target| target.url = "https://127.0.0.1/hook".to_owned()).await;
    assert_eq!(reason, "blocked_address");
    let header = ("content-length".to_owned(), "7".to_owned());
    let (reason, text) = bench.recorded(|target| target.headers.extend([header])).await;
    assert_eq!(reason, "unusable_settings");
    assert!(text.contains("content-length"), "{text}");
    bench.deliver.request(&bench.claimed(|_| {}), bench.deliver.store.clock().now()).unwrap();
}

#[tokio::test]
async fn the_secret_before_signs_until_its_overlap_ends() {
    let bench = Bench::new().await;
    let text = format!("{}\n{SECRET} 2026-11-23T11:00:00Z", WebhookSecret::generate().expose());
    let sealed = bench.sealed(&key(), &text);
    let clock = bench.deliver.store.clock();
    let signatures = || {
        let delivery = bench.claimed(|target| target.secrets_sealed.clone_from(&sealed));
        let request = bench.deliver.request(&delivery, clock.now()).unwrap();
        request.headers()["webhook-signature"].to_str().unwrap().split(' ').count()
    };
    assert_eq!(signatures(), 2);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(signatures(), 1);
}
