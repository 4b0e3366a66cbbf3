//! Rules about who speaks: owner, mailbox, domain, and what of them is visible.

use std::time::Duration;

use super::{Case, Finding, VersionCase};
use crate::governance::content;
use crate::governance::facts::{DomainFacts, DomainState, Fact, MailboxFacts, MailboxState};
use crate::governance::ownership::{Identity, IdentityOwner};
use crate::governance::policy::ReplyPolicy;
use crate::mail::address::{Domain, Mailbox};

pub(super) fn source_app_owns_identity(case: &Case<'_>) -> Finding {
    case.identity().map_or(Finding::Unknown, |identity| Finding::when(identity.is_source_app()))
}

pub(super) fn replies_disabled(case: &Case<'_>) -> Finding {
    let by_policy = Finding::when(case.reply_policy() == ReplyPolicy::Never);
    by_policy.or(match case.mailbox() {
        Some(mailbox) => Finding::when(mailbox.is_receive_only),
        None if case.is_own_sending() => Finding::Unknown,
        None => Finding::Clear,
    })
}

pub(super) fn identity_mismatch(case: &Case<'_>) -> Finding {
    let by_claim = Finding::when(case.identity().is_some_and(Identity::is_contradicted));
    let by_content = match &case.version {
        // What the source app would send shows the source app's own identity.
        Some(version) if case.is_own_sending() => shown_identity(case, version),
        _ => Finding::Clear,
    };
    by_claim.or(by_content)
}

/// What the bytes and the reverse-path show, against what the mailbox grants.
fn shown_identity(case: &Case<'_>, version: &VersionCase<'_>) -> Finding {
    let Some(mailbox) = case.mailbox() else { return Finding::Unknown };
    let Fact::Known(Some(from)) = version.rendering.author("from") else { return Finding::Applies };
    let others = ["sender", "reply-to"].map(|name| match version.rendering.author(name) {
        Fact::Known(None) => Finding::Clear,
        Fact::Known(Some(author)) => Finding::when(!grants(mailbox, &author.mailbox)),
        Fact::Unknown => Finding::Applies,
    });
    let reverse_path = version.version.content.reverse_path().mailbox();
    let is_granted_path = reverse_path.is_none_or(|path| {
        grants(mailbox, path)
            || content::is_within(path.domain(), &mailbox.bounce_domains)
            || case.facts.domain.known().is_some_and(|domain| domain.bounce_host.as_ref() == Some(path.domain()))
    });
    let [sender, reply_to] = others;
    Finding::when(!is_exactly_granted(mailbox, &from.mailbox) || !is_granted_path)
        .or(sender)
        .or(reply_to)
        .or(shown_domain(case, version, from.mailbox.domain()))
}

/// Invariant 4: a customer's message comes from the customer's domain, a platform mailbox's from a platform domain.
fn shown_domain(case: &Case<'_>, version: &VersionCase<'_>, from: &Domain) -> Finding {
    match case.identity().map(Identity::owner) {
        Some(IdentityOwner::CustomerDomain) => {
            case.facts.domain.known().map_or(Finding::Unknown, |domain| Finding::when(domain.name != *from))
        }
        Some(IdentityOwner::Connex) => case.facts.platform_domains.known().map_or(Finding::Unknown, |platform| {
            let message_ids = version.rendering.values("message-id").filter_map(|value| value.rsplit_once('@'));
            let is_foreign_id = message_ids
                .map(|(_, domain)| Domain::parse(domain.trim_end_matches('>')))
                .any(|domain| !domain.is_ok_and(|domain| content::is_within(&domain, platform)));
            Finding::when(is_foreign_id || !content::is_within(from, platform))
        }),
        Some(IdentityOwner::SourceApp) | None => Finding::Unknown,
    }
}

pub(super) fn mailbox_inactive(case: &Case<'_>) -> Finding {
    let Some(mailbox) = case.mailbox() else {
        return if case.is_own_sending() { Finding::Unknown } else { Finding::Clear };
    };
    let is_of_another = case
        .version
        .as_ref()
        .is_some_and(|version| (mailbox.tenant, mailbox.id) != (version.version.tenant, version.version.mailbox));
    let is_only_claimed = case.is_own_sending() && !case.identity().is_some_and(Identity::is_registered);
    Finding::when(mailbox.state != MailboxState::Active || is_of_another || is_only_claimed)
}

pub(super) fn domain_unverified(case: &Case<'_>) -> Finding {
    let Some(domain) = case.facts.domain.known() else { return Finding::Unknown };
    if case.version.as_ref().is_some_and(|version| domain.tenant != Some(version.version.tenant)) {
        return Finding::Applies;
    }
    let is_fresh = |checked| checked <= case.now && case.now.since(checked) <= LONGEST_SINCE_CHECK;
    let is_verified = domain.state == DomainState::Verified && domain.last_good_check.is_some_and(is_fresh);
    match (is_verified, domain.is_being_checked) {
        (true, _) => Finding::Clear,
        (false, true) => Finding::Holds,
        (false, false) => Finding::Applies,
    }
}

pub(super) fn domain_keys_missing(case: &Case<'_>) -> Finding {
    let (Some(domain), Some(version)) = (case.facts.domain.known(), &case.version) else { return Finding::Unknown };
    let Fact::Known(Some(from)) = version.rendering.author("from") else { return Finding::Unknown };
    if domain.name != *from.mailbox.domain() || !is_for_tenant(domain, version) {
        return Finding::Unknown; // What is known is about another domain than the one that would sign.
    }
    domain.has_matching_key.known().map_or(Finding::Unknown, |has_key| match (*has_key, domain.is_key_being_checked) {
        (true, _) => Finding::Clear,
        (false, true) => Finding::Holds,
        (false, false) => Finding::Applies,
    })
}

fn is_for_tenant(domain: &DomainFacts, version: &VersionCase<'_>) -> bool {
    domain.tenant.is_none_or(|tenant| tenant == version.version.tenant)
}

pub(super) fn platform_domain_leak(case: &Case<'_>) -> Finding {
    let (Some(platform), Some(version)) = (case.facts.platform_domains.known(), &case.version) else {
        return Finding::Unknown;
    };
    let is_ours = |domain: &Domain| content::is_within(domain, platform);
    let names_us = |value: &str| content::named_domains(value).iter().any(is_ours);
    let fields = version.rendering.fields.iter();
    let in_fields = fields.filter(|(name, _)| !OF_OTHERS.contains(&name.as_str())).any(|(_, value)| names_us(value));
    let in_path = version.version.content.reverse_path().mailbox().is_some_and(|path| is_ours(path.domain()));
    let Some(text) = version.rendering.text.known() else { return Finding::Unknown };
    Finding::when(in_fields || in_path || content::link_hosts(&text.everything).iter().any(is_ours))
}

/// The exact address, without a detail: what is shown as the author.
fn is_exactly_granted(mailbox: &MailboxFacts, address: &Mailbox) -> bool {
    mailbox.addresses.iter().any(|granted| granted.key() == address.key())
}

/// The address with or without a detail: where answers and reports may go.
fn grants(mailbox: &MailboxFacts, address: &Mailbox) -> bool {
    mailbox
        .addresses
        .iter()
        .any(|granted| granted.key() == address.key() || granted.key() == address.key_without_detail())
}

/// Fields that name others or quote them: correspondents, earlier messages, free text. Links in free text are looked
/// for apart from this.
const OF_OTHERS: [&str; 6] = ["to", "cc", "subject", "in-reply-to", "references", "received"];

/// How long a domain counts as verified after it was last seen to be.
pub const LONGEST_SINCE_CHECK: Duration = Duration::from_secs(24 * 60 * 60);
