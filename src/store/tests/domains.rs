//! Domains: proven, suspended and resumed.

use super::engine::on_both_engines;
use super::*;
use crate::governance::audit::Who;
use crate::mail::address::Domain;
use crate::store::domains::{DomainOwner, DomainState};

on_both_engines! {
    a_suspended_domain_keeps_its_owner_and_counts_for_nothing_until_it_is_resumed,
    mailboxes_of_a_domain_are_those_of_exactly_this_one,
}

async fn a_suspended_domain_keeps_its_owner_and_counts_for_nothing_until_it_is_resumed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, other) = (scene.own(), scene.store.for_tenant(scene.store.add_tenant("lake").await.unwrap()));
    let domain = Domain::parse("quay.example").unwrap();
    for tenant in [&own, &other] {
        tenant.claim_domain(&domain, "proof".into(), Who::Operator).await.unwrap();
    }
    let owner = async || scene.store.owner_of_domain(&domain).await.unwrap();
    let step = async || scene.store.clock().advance(Duration::from_secs(60));
    let error = own.suspend_domain("quay.example").await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "a claim would keep the owner out: {error}");
    assert_eq!(owner().await, None);
    assert_eq!(own.prove_domain("quay.example").await.unwrap(), DomainState::Verified);
    assert_eq!(owner().await, Some(DomainOwner { tenant: scene.tenant, suspended_since: None }));
    assert!(matches!(own.resume_domain("quay.example").await, Err(StoreError::Conflict(_))));
    step().await;
    let since = scene.store.clock().now();
    own.suspend_domain("quay.example").await.unwrap();
    step().await;
    own.suspend_domain("quay.example").await.unwrap();
    // A look, whatever it finds, resumes nothing.
    assert_eq!(own.miss_domain("quay.example").await.unwrap(), DomainState::Suspended);
    assert_eq!(own.prove_domain("quay.example").await.unwrap(), DomainState::Suspended);
    assert_eq!(owner().await, Some(DomainOwner { tenant: scene.tenant, suspended_since: Some(since) }));
    assert!(own.verified_domains().await.unwrap().is_empty());
    assert!(matches!(other.prove_domain("quay.example").await, Err(StoreError::Exists(_))));
    // Nor can the tenant claim it anew.
    assert!(matches!(own.give_up_domain("quay.example", Who::Operator).await, Err(StoreError::Conflict(_))));
    own.resume_domain("quay.example").await.unwrap();
    assert_eq!(own.verified_domains().await.unwrap(), ["quay.example"]);
    assert_eq!(owner().await, Some(DomainOwner { tenant: scene.tenant, suspended_since: None }));
    own.give_up_domain("quay.example", Who::Operator).await.unwrap();
    assert_eq!(owner().await, None);
    let missing = [
        own.suspend_domain("none.example").await,
        own.resume_domain("none.example").await,
        own.give_up_domain("none.example", Who::Operator).await,
    ];
    for missing in missing {
        assert!(matches!(missing, Err(StoreError::NotFound(_))));
    }
}

async fn mailboxes_of_a_domain_are_those_of_exactly_this_one(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let has = async |domain: &str| own.has_mailboxes_on(&Domain::parse(domain).unwrap()).await.unwrap();
    let mailbox = NewMailbox {
        address: Mailbox::parse("Ann@axb.quay.example").unwrap(),
        app: None,
        identity_owner: "customer_domain".into(),
        reply_policy: "human_approval".into(),
        external_reply_url: None,
    };
    let id = own.add_mailbox(mailbox).await.unwrap();
    assert!(has("axb.quay.example").await);
    for other in ["a_b.quay.example", "quay.example", "xb.quay.example", "sub.axb.quay.example"] {
        assert!(!has(other).await, "{other}");
    }
    own.remove_mailbox(id).await.unwrap();
    assert!(!has("axb.quay.example").await, "it was removed");
}
