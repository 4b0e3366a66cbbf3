use super::*;

fn claim(owner: Option<&str>, policy: Option<&str>) -> SourceMailbox {
    SourceMailbox {
        address: None,
        sender_identity_owner: owner.map(str::to_owned),
        reply_policy: policy.map(str::to_owned),
        external_reply_url: None,
    }
}

fn registered(owner: IdentityOwner, policy: ReplyPolicy) -> RegisteredMailbox {
    RegisteredMailbox {
        address: Mailbox::parse("deals@platform.example").unwrap(),
        owner,
        policy,
        external_reply_url: None,
        state: MailboxState::Active,
        receive_only: false,
    }
}

/// What this gateway may do at most for an owner and a policy; the bottom is nothing at all.
fn reach(identity: &Identity) -> u8 {
    if identity.is_source_app() || identity.is_contradicted() || identity.policy() == ReplyPolicy::Never {
        0
    } else if identity.policy() == ReplyPolicy::HumanApproval {
        1
    } else {
        2
    }
}

#[test]
fn nothing_said_means_the_source_app() {
    for claimed in [None, Some(SourceMailbox::default())] {
        let (identity, warnings) = Identity::resolve(claimed.as_ref(), None);
        assert_eq!((identity.owner(), identity.policy()), (IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly));
        assert!(warnings.is_empty());
    }
}

#[test]
fn an_unknown_owner_is_read_as_source_app_and_named() {
    for word in ["", "Connex", " connex", "admin", "connex\r\n"] {
        let (identity, warnings) = Identity::resolve(Some(&claim(Some(word), None)), None);
        assert_eq!(identity.owner(), IdentityOwner::SourceApp, "{word:?}");
        assert!(warnings.iter().any(|warning| warning.contains("senderIdentityOwner") && !warning.contains('\n')));
    }
}

#[test]
fn no_claim_widens_what_is_registered() {
    let words = |all: &[&'static str]| -> Vec<Option<&'static str>> {
        std::iter::once(None).chain(all.iter().copied().map(Some)).collect()
    };
    let owners = words(&["source_app", "customer_domain", "connex", "root"]);
    let policies = words(&["never", "source_app_only", "human_approval", "policy_auto", "yes"]);
    for owner in IdentityOwner::ALL {
        for policy in ReplyPolicy::ALL {
            let mailbox = registered(owner, policy);
            let granted = Identity::resolve(None, Some(&mailbox)).0;
            for claimed_owner in &owners {
                for claimed_policy in &policies {
                    let claimed = claim(*claimed_owner, *claimed_policy);
                    let (identity, _) = Identity::resolve(Some(&claimed), Some(&mailbox));
                    assert!(reach(&identity) <= reach(&granted), "{claimed:?} on {owner:?} {policy:?}: {identity:?}");
                    assert!(identity.policy() <= policy);
                    if reach(&identity) > 0 {
                        assert_eq!(identity.owner(), owner);
                    }
                }
            }
        }
    }
}

#[test]
fn another_owner_contradicts_and_a_narrower_one_narrows() {
    let resolve = |claimed, owner| {
        let mailbox = registered(owner, ReplyPolicy::PolicyAuto);
        Identity::resolve(Some(&claim(Some(claimed), None)), Some(&mailbox)).0
    };
    assert!(resolve("connex", IdentityOwner::SourceApp).is_contradicted());
    assert!(resolve("connex", IdentityOwner::CustomerDomain).is_contradicted());
    assert!(resolve("customer_domain", IdentityOwner::Connex).is_contradicted());
    assert!(!resolve("source_app", IdentityOwner::Connex).is_contradicted());
    assert_eq!(resolve("source_app", IdentityOwner::Connex).owner(), IdentityOwner::SourceApp);
    assert!(!resolve("connex", IdentityOwner::Connex).is_contradicted());
}

#[test]
fn a_claim_of_another_address_contradicts() {
    let mailbox = registered(IdentityOwner::Connex, ReplyPolicy::HumanApproval);
    for (address, expected) in [
        ("Deals@Platform.example", false),
        ("deals+t1@platform.example", false),
        ("boss@platform.example", true),
        ("no address", true),
    ] {
        let claimed = SourceMailbox { address: Some(address.to_owned()), ..claim(Some("connex"), None) };
        assert_eq!(Identity::resolve(Some(&claimed), Some(&mailbox)).0.is_contradicted(), expected, "{address}");
    }
}

#[test]
fn a_wider_policy_is_not_granted_and_named() {
    let mailbox = registered(IdentityOwner::Connex, ReplyPolicy::HumanApproval);
    let (identity, warnings) = Identity::resolve(Some(&claim(None, Some("policy_auto"))), Some(&mailbox));
    assert_eq!((identity.policy(), identity.is_contradicted()), (ReplyPolicy::HumanApproval, false));
    assert_eq!(warnings, ["replyPolicy is `human_approval`: the mailbox grants no more"]);
}

#[test]
fn source_app_only_makes_the_source_app_the_owner() {
    let (identity, warnings) = Identity::resolve(Some(&claim(Some("connex"), Some("source_app_only"))), None);
    assert_eq!(identity.owner(), IdentityOwner::SourceApp);
    assert_eq!(warnings.len(), 1);
}

#[test]
fn only_a_web_address_is_a_reply_page() {
    for (url, expected) in [
        ("https://app.example/thread/1", true),
        ("http://127.0.0.1:8080/t", true),
        ("javascript:alert(1)", false),
        ("https://user:pass@app.example/", false),
        ("https://app.example/\r\nx", false),
        ("/thread/1", false),
        ("", false),
    ] {
        let claimed = SourceMailbox { external_reply_url: Some(url.to_owned()), ..SourceMailbox::default() };
        let (identity, warnings) = Identity::resolve(Some(&claimed), None);
        assert_eq!(identity.external_reply_url(), expected.then_some(url), "{url}");
        assert_eq!(warnings.is_empty(), expected);
    }
}

#[test]
fn the_events_own_page_comes_before_the_mailboxs() {
    let mut mailbox = registered(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly);
    mailbox.external_reply_url = Some("https://app.example/inbox".to_owned());
    let claimed =
        SourceMailbox { external_reply_url: Some("https://app.example/t/1".to_owned()), ..SourceMailbox::default() };
    let page = |claimed| Identity::resolve(claimed, Some(&mailbox)).0.external_reply_url().map(str::to_owned);
    assert_eq!(page(Some(&claimed)).as_deref(), Some("https://app.example/t/1"));
    assert_eq!(page(None).as_deref(), Some("https://app.example/inbox"));
}
