use super::*;
use crate::governance::facts::MailboxState;
use crate::governance::fixture::{NOW, Scene};
use crate::governance::{IdentityOwner, ReplyPolicy};
use crate::mail::address::Mailbox;

fn registered(owner: IdentityOwner, policy: ReplyPolicy) -> RegisteredMailbox {
    RegisteredMailbox {
        address: Mailbox::parse("deals@platform.example").unwrap(),
        owner,
        policy,
        external_reply_url: Some("https://app.example/thread/1".to_owned()),
        state: MailboxState::Active,
        receive_only: false,
    }
}

fn claim(owner: &str, policy: &str) -> SourceMailbox {
    SourceMailbox {
        sender_identity_owner: Some(owner.to_owned()),
        reply_policy: Some(policy.to_owned()),
        external_reply_url: Some("https://your-saas.example/thread/123".to_owned()),
        ..SourceMailbox::default()
    }
}

#[test]
fn the_block_of_the_public_example_is_as_the_contract_shows_it() {
    let (block, warnings) = identity_block(Some(&claim("source_app", "source_app_only")), None);
    assert_eq!(
        serde_json::to_value(block).unwrap(),
        serde_json::json!({
            "owner": "source_app", "replyPolicy": "source_app_only", "connexMaySend": false, "verdict": "handoff",
            "reasons": ["source_app_owns_identity"], "externalReplyUrl": "https://your-saas.example/thread/123"
        })
    );
    assert!(warnings.is_empty());
}

#[test]
fn an_event_without_any_identity_is_the_source_apps() {
    let (block, warnings) = identity_block(None, None);
    assert_eq!((block.owner.as_str(), block.verdict.as_str()), ("source_app", "handoff"));
    assert!(!block.connex_may_send && block.external_reply_url.is_none() && warnings.is_empty());
}

#[test]
fn a_registered_mailbox_of_ours_waits_for_approval_also_under_policy_auto() {
    for policy in [ReplyPolicy::HumanApproval, ReplyPolicy::PolicyAuto] {
        let (block, _) = identity_block(None, Some(&registered(IdentityOwner::Connex, policy)));
        assert_eq!((block.verdict.as_str(), block.reasons.as_slice()), ("hold", &["approval_required".to_owned()][..]));
        assert!(block.connex_may_send);
    }
}

#[test]
fn a_claim_that_no_mailbox_stands_behind_never_lets_us_send() {
    for (owner, policy) in [("connex", "human_approval"), ("connex", "policy_auto"), ("customer_domain", "policy_auto")]
    {
        let (block, _) = identity_block(Some(&claim(owner, policy)), None);
        assert_eq!((block.owner.as_str(), block.verdict.as_str()), (owner, "deny"));
        assert!(!block.connex_may_send);
        assert!(block.reasons.contains(&"mailbox_inactive".to_owned()));
        assert!(block.reasons.contains(&"approval_required".to_owned()));
    }
}

#[test]
fn a_customer_domain_is_denied_until_domains_can_be_verified() {
    let (block, _) = identity_block(None, Some(&registered(IdentityOwner::CustomerDomain, ReplyPolicy::HumanApproval)));
    assert_eq!(block.reasons, ["domain_unverified", "approval_required"]);
    assert_eq!((block.verdict.as_str(), block.connex_may_send), ("deny", false));
}

#[test]
fn a_contradiction_a_suspended_and_a_receive_only_mailbox_deny() {
    let source_app = registered(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly);
    let (block, _) = identity_block(Some(&claim("connex", "policy_auto")), Some(&source_app));
    assert_eq!(block.reasons, ["source_app_owns_identity", "identity_mismatch"]);
    assert_eq!(block.verdict, "deny");
    let mut suspended = registered(IdentityOwner::Connex, ReplyPolicy::HumanApproval);
    suspended.state = MailboxState::Suspended;
    assert_eq!(identity_block(None, Some(&suspended)).0.reasons, ["mailbox_inactive", "approval_required"]);
    let mut receiving = registered(IdentityOwner::Connex, ReplyPolicy::HumanApproval);
    receiving.receive_only = true;
    assert_eq!(identity_block(None, Some(&receiving)).0.verdict, "deny");
    let never = registered(IdentityOwner::Connex, ReplyPolicy::Never);
    assert!(identity_block(None, Some(&never)).0.reasons.contains(&"replies_disabled".to_owned()));
}

#[test]
fn unknown_words_are_strict_and_named() {
    let (block, warnings) = identity_block(Some(&claim("connex", "always")), None);
    assert_eq!((block.owner.as_str(), block.reply_policy.as_str()), ("source_app", "source_app_only"));
    assert_eq!(block.verdict, "handoff");
    assert!(warnings.iter().any(|warning| warning.contains("\"always\"")));
}

#[test]
fn the_gate_is_at_least_as_strict_as_the_block() {
    let strict = |word: &str| ["release", "hold", "handoff", "deny"].iter().position(|known| *known == word).unwrap();
    for owner in IdentityOwner::ALL {
        for policy in ReplyPolicy::ALL {
            let (block, _) = identity_block(None, Some(&registered(owner, policy)));
            let mut scene = Scene::connex();
            scene.set_identity(owner, policy);
            scene.facts = Facts { identity: scene.facts.identity, ..Facts::default() };
            assert!(strict(scene.verdict().ruling().as_str()) >= strict(&block.verdict), "{owner:?} {policy:?}");
        }
    }
}

#[test]
fn a_draft_of_the_source_app_becomes_a_handoff_with_its_page() {
    let mut scene = Scene::connex();
    scene.set_identity(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly);
    let (disposition, verdict) = Disposition::of(&scene.version, &scene.facts, NOW);
    let Disposition::HandOff(handoff) = disposition else { panic!("{verdict:?}") };
    assert_eq!(handoff.external_reply_url.as_deref(), Some("https://app.example/thread/1"));
    assert_eq!((handoff.draft, &handoff.content), (scene.version.draft, &scene.version.content));
    assert_eq!(handoff.content_hash, scene.version.content.hash());
}

#[test]
fn a_disposition_follows_the_ruling() {
    let mut scene = Scene::connex();
    assert_eq!(Disposition::of(&scene.version, &scene.facts, NOW).0, Disposition::Release);
    scene.facts.approvals = Fact::Known(Vec::new());
    assert_eq!(Disposition::of(&scene.version, &scene.facts, NOW).0, Disposition::Hold);
    scene.facts.mailbox = Fact::Unknown;
    assert_eq!(Disposition::of(&scene.version, &scene.facts, NOW).0, Disposition::Deny);
}
