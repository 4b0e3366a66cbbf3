//! Whom addresses name.

use super::*;
use crate::mail::reading::Reader;
use crate::service::tokens::new_token;
use std::num::NonZeroU32;

use crate::clock::Clock;
use crate::governance::audit::Who;
use crate::ids::SessionId;
use crate::mail::address::ReversePath;
use crate::mail::envelope::Door;
use crate::store::routes::NewRoute;

fn settings() -> RecipientSettings {
    RecipientSettings {
        platform_domains: vec![Domain::parse("in.example").unwrap()],
        strangers: StrangerSettings { put_off: Duration::from_secs(12 * 3_600), kept_per_day: NonZeroU32::MIN },
        guesses: GuessSettings { failures: 10, window: Duration::from_secs(600) },
        journal_size: 2_000,
    }
}

pub(super) struct Scene {
    _folder: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) recipients: Recipients,
    pub(super) tenant: TenantId,
}

pub(super) async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
    let store = Store::open(&folder.path().join("index.db"), clock).await.unwrap();
    let tenant = store.add_tenant("harbor").await.unwrap();
    let recipients = Recipients::new(store.clone(), Pepper::new(b"pepper"), settings());
    recipients.ensure_operator().await.unwrap();
    recipients.ensure_operator().await.unwrap();
    Scene { _folder: folder, store, recipients, tenant }
}

async fn ask(scene: &Scene, name: ForwardName<'_>, peer: &str, announced_size: Option<u64>) -> RecipientAnswer {
    let origin = Origin {
        door: Door::Smtp,
        session: SessionId::from_bits(1),
        peer: Some(peer.parse().unwrap()),
        proxy: None,
        helo: String::new(),
        tls: None,
        authenticated: None,
        certificate: None,
        provider: None,
        client: None,
    };
    let query = RecipientQuery { name, reverse_path: &ReversePath::Null, announced_size, origin: &origin };
    scene.recipients.recipient(&query).await
}

async fn ask_for(scene: &Scene, address: &str, peer: &str) -> RecipientAnswer {
    ask_sized(scene, address, peer, None).await
}

pub(super) async fn ask_sized(scene: &Scene, address: &str, peer: &str, size: Option<u64>) -> RecipientAnswer {
    ask(scene, ForwardName::Mailbox(&Mailbox::parse(address).unwrap()), peer, size).await
}

fn is_the_operators(answer: &RecipientAnswer) -> bool {
    matches!(answer, RecipientAnswer::Known { recipient: Recipient::Mailbox { tenant: OPERATOR, .. }, .. })
}

#[tokio::test]
async fn postmaster_and_abuse_are_always_known() {
    let scene = scene().await;
    for address in ["postmaster@in.example", "Abuse@IN.example", "POSTMASTER+x@in.example"] {
        let answer = ask_for(&scene, address, "127.0.0.1").await;
        assert!(is_the_operators(&answer), "{address}");
    }
    let answer = ask(&scene, ForwardName::Postmaster, "127.0.0.1", None).await;
    assert!(is_the_operators(&answer));
}

#[tokio::test]
async fn nobody_else_is_a_recipient_and_other_domains_are_not_relayed_to() {
    let scene = scene().await;
    assert_eq!(ask_for(&scene, "nobody@in.example", "127.0.0.1").await, RecipientAnswer::Unknown);
    let guess = format!("bcc-{}@in.example", new_token());
    assert_eq!(ask_for(&scene, &guess, "127.0.0.1").await, RecipientAnswer::Unknown);
    assert_eq!(ask_for(&scene, "ann@elsewhere.example", "127.0.0.1").await, RecipientAnswer::Foreign);
}

#[tokio::test]
async fn a_route_is_found_by_its_token_and_says_whether_the_peer_is_authorised() {
    let scene = scene().await;
    let token = new_token();
    assert_eq!(token.len(), TOKEN_LETTERS);
    let route = NewRoute {
        reader: Reader::Bcc,
        token_hash: token_hash(&token),
        address_sealed: String::new(),
        app: None,
        peers: vec!["192.0.2.0/24".parse().unwrap()],
        size_cap: None,
        observe_until: None,
    };
    let id = scene.store.clock().mint();
    scene.store.for_tenant(scene.tenant).add_route(id, route).await.unwrap();
    let address = format!("BCC-{}+ann=harbor.example@in.example", token.to_uppercase());
    let wanted = Recipient::Route {
        tenant: scene.tenant,
        route: id,
        reader: Reader::Bcc,
        peer_authorised: true,
        shared_range: false,
    };
    assert_eq!(ask_for(&scene, &address, "192.0.2.9").await, RecipientAnswer::known(wanted));
    assert_eq!(ask_for(&scene, &address, "198.51.100.1").await, RecipientAnswer::NotAuthorised);
    let elsewhere = format!("bcc-{token}@elsewhere.example");
    assert_eq!(ask_for(&scene, &elsewhere, "192.0.2.9").await, RecipientAnswer::Foreign);
}

#[test]
fn tokens_are_of_the_alphabet_and_differ() {
    let (one, other) = (new_token(), new_token());
    assert_ne!(one, other);
    assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte)));
}

/// A mailbox of the tenant on a domain of its own.
async fn customers_mailbox(scene: &Scene, address: &str) -> Recipient {
    let mailbox = NewMailbox {
        address: Mailbox::parse(address).unwrap(),
        app: None,
        identity_owner: "customer_domain".into(),
        reply_policy: "human_approval".into(),
        external_reply_url: None,
    };
    let mailbox = scene.store.for_tenant(scene.tenant).add_mailbox(mailbox).await.unwrap();
    Recipient::Mailbox { tenant: scene.tenant, mailbox }
}

/// What is said of an address when nothing is remembered of it.
async fn ask_anew(scene: &Scene, address: &str) -> RecipientAnswer {
    scene.recipients.found.invalidate_all();
    ask_for(scene, address, "192.0.2.9").await
}

#[tokio::test]
async fn a_customers_domain_has_mailboxes_and_a_catch_all_only_while_it_counts() {
    let scene = scene().await;
    let own = scene.store.for_tenant(scene.tenant);
    let add = async |address: &str| customers_mailbox(&scene, address).await;
    let ask = async |address: &str| ask_anew(&scene, address).await;
    let ann = add("ann@b\u{fc}cher.example").await;
    assert_eq!(ask("ann@b\u{fc}cher.example").await, RecipientAnswer::Foreign, "the domain is nobody's yet");
    let domain = Domain::parse("b\u{fc}cher.example").unwrap();
    own.claim_domain(&domain, "proof".into(), Who::Operator).await.unwrap();
    assert_eq!(ask("ann@xn--bcher-kva.example").await, RecipientAnswer::Foreign, "a claim is no proof");
    own.prove_domain(domain.as_str()).await.unwrap();
    // Two looks in vain leave it verified, the third makes it failing.
    for misses in [2, 1] {
        for _ in 0..misses {
            own.miss_domain(domain.as_str()).await.unwrap();
        }
        assert_eq!(ask("Ann+x@xn--bcher-kva.example").await, RecipientAnswer::known(ann));
        assert_eq!(ask("bob@b\u{fc}cher.example").await, RecipientAnswer::Unknown);
        assert_eq!(ask("ann@sub.b\u{fc}cher.example").await, RecipientAnswer::Foreign, "one below it is another");
    }
    let all = add("*@b\u{fc}cher.example").await;
    assert_eq!(ask("bob@b\u{fc}cher.example").await, RecipientAnswer::known(all));
    assert_eq!(ask("ann@b\u{fc}cher.example").await, RecipientAnswer::known(ann));
    own.suspend_domain(domain.as_str()).await.unwrap();
    for (pause, answer) in [(0, RecipientAnswer::Paused), (3 * 24 * 3_600, RecipientAnswer::Closed)] {
        scene.store.clock().advance(Duration::from_secs(pause));
        for address in ["ann@b\u{fc}cher.example", "bob@b\u{fc}cher.example"] {
            assert_eq!(ask(address).await, answer, "{address}");
        }
    }
    own.resume_domain(domain.as_str()).await.unwrap();
    assert_eq!(ask("ann@b\u{fc}cher.example").await, RecipientAnswer::known(ann));
    // Whoever proves it later does not get the mailboxes of who had it before.
    own.remove_domain(domain.as_str()).await.unwrap();
    let other = scene.store.add_tenant("lake").await.unwrap();
    scene.store.for_tenant(other).assume_domain(&domain).await.unwrap();
    assert_eq!(ask("ann@b\u{fc}cher.example").await, RecipientAnswer::Unknown);
}

#[tokio::test]
async fn postmaster_and_abuse_of_a_customers_domain_with_mailboxes_are_somebodys() {
    let scene = scene().await;
    let own = scene.store.for_tenant(scene.tenant);
    let add = async |address: &str| customers_mailbox(&scene, address).await;
    let ask = async |address: &str| ask_anew(&scene, address).await;
    for domain in ["a_b.example", "axb.example"] {
        own.assume_domain(&Domain::parse(domain).unwrap()).await.unwrap();
    }
    assert_eq!(ask("postmaster@a_b.example").await, RecipientAnswer::Unknown, "no mail of the domain comes here");
    add("ann@axb.example").await;
    assert_eq!(ask("postmaster@a_b.example").await, RecipientAnswer::Unknown, "another domain has a mailbox");
    add("ann@a_b.example").await;
    let operators = scene.store.mailbox_by_address("postmaster@in.example").await.unwrap().unwrap().0.id;
    let operators = RecipientAnswer::known(Recipient::Mailbox { tenant: OPERATOR, mailbox: operators });
    for address in ["Postmaster@a_b.example", "abuse+x@a_b.example"] {
        assert_eq!(ask(address).await, operators, "{address}");
    }
    assert_eq!(ask("hostmaster@a_b.example").await, RecipientAnswer::Unknown);
    own.suspend_domain("a_b.example").await.unwrap();
    assert_eq!(ask("postmaster@a_b.example").await, RecipientAnswer::Paused);
    own.resume_domain("a_b.example").await.unwrap();
    let all = RecipientAnswer::known(add("*@a_b.example").await);
    assert_eq!(ask("postmaster@a_b.example").await, all);
    let abuse = RecipientAnswer::known(add("abuse@a_b.example").await);
    assert_eq!((ask("abuse@a_b.example").await, ask("postmaster@a_b.example").await), (abuse, all));
}
