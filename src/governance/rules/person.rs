//! Rules that a person's approval lifts, and the approvals themselves.

use super::{Case, Finding, Occasion};
use crate::contract::answer::Risk;
use crate::governance::approval::{Actor, Approval, Evidence};
use crate::governance::content;
use crate::governance::facts::{AnsweredMessage, Dmarc, Fact};
use crate::governance::policy::ReplyPolicy;
use crate::governance::rendering::Rendering;
use crate::governance::role::Role;
use crate::governance::version::Version;

pub(super) fn approval_required(case: &Case<'_>) -> Finding {
    match needs_approval(case) {
        Finding::Clear => Finding::Clear,
        needed => standing(case).map_or(Finding::Unknown, |standing| {
            // An approval answers the question, also where it is not known whether one was needed.
            if standing.has_valid { Finding::Clear } else { needed }
        }),
    }
}

pub(super) fn approval_stale(case: &Case<'_>) -> Finding {
    if case.occasion == Occasion::First && case.facts.thread.last_message_from_person.known().is_none() {
        return Finding::Unknown;
    }
    standing(case).map_or(Finding::Unknown, |standing| Finding::when(matters(case, &standing) && standing.has_stale))
}

pub(super) fn self_approval(case: &Case<'_>) -> Finding {
    standing(case).map_or(Finding::Unknown, |standing| Finding::when(matters(case, &standing) && standing.has_own))
}

/// An approval that does not count only matters where one is needed and no other counts.
fn matters(case: &Case<'_>, standing: &Approvals) -> bool {
    !standing.has_valid && needs_approval(case) != Finding::Clear
}

pub(super) fn new_recipient(case: &Case<'_>) -> Finding {
    let (Some(version), Some(settings), Some(participants)) =
        (&case.version, case.settings(), case.facts.thread.participants.known())
    else {
        return Finding::Unknown;
    };
    let known: Vec<String> = participants.iter().map(crate::mail::address::Mailbox::key).collect();
    let is_new = version.version.content.recipients().iter().any(|recipient| !known.contains(&recipient.key()));
    unless_accepted(case, "new_recipient", Finding::when(settings.participants_only && is_new))
}

pub(super) fn inbound_unauthenticated(case: &Case<'_>) -> Finding {
    let found = of_answered(case, |answered| {
        let dmarc = answered.dmarc.known().map_or(Finding::Unknown, |dmarc| Finding::when(*dmarc == Dmarc::Fail));
        dmarc.or(Finding::of(&answered.is_phishing))
    });
    unless_accepted(case, "inbound_unauthenticated", found)
}

pub(super) fn instruction_injection(case: &Case<'_>) -> Finding {
    let found = of_answered(case, |answered| Finding::of(&answered.steers_agents));
    unless_accepted(case, "instruction_injection", found)
}

pub(super) fn risk_high(case: &Case<'_>) -> Finding {
    let found = risk(case).map_or(Finding::Unknown, |risk| Finding::when(risk == Risk::High));
    let is_accepted = |approval: &Approval| approval.is_stepped_up && accepts(approval, "risk_high");
    if found == Finding::Applies && valid(case).any(is_accepted) { Finding::Clear } else { found }
}

/// Asks about the message that is being answered; a version that answers nothing is clear.
pub(super) fn of_answered(case: &Case<'_>, ask: impl Fn(&AnsweredMessage) -> Finding) -> Finding {
    match &case.facts.thread.answered {
        Fact::Unknown => Finding::Unknown,
        Fact::Known(None) => Finding::Clear,
        Fact::Known(Some(answered)) => ask(answered),
    }
}

/// Whether the evidence of a release still counts under the facts of this moment.
pub(in crate::governance) fn counts(case: &Case<'_>, evidence: &Evidence) -> bool {
    match evidence {
        Evidence::Person { approval } => valid(case).any(|valid| valid.id == *approval),
        Evidence::Policy { .. } => needs_approval(case) == Finding::Clear,
    }
}

/// Whether policy asks for a person's yes to this version.
pub(super) fn needs_approval(case: &Case<'_>) -> Finding {
    match (case.reply_policy(), risk(case)) {
        (ReplyPolicy::PolicyAuto, Some(Risk::Low)) => of_template(case),
        (ReplyPolicy::PolicyAuto, None) if case.version.is_some() => Finding::Unknown,
        _ => Finding::Applies,
    }
}

/// Whether the template of a draft keeps it from going out without a person.
fn of_template(case: &Case<'_>) -> Finding {
    match (case.settings(), &case.facts.template) {
        (Some(settings), _) if settings.automatic_templates.is_none() => Finding::Clear,
        (Some(settings), Fact::Known(template)) => Finding::when(!settings.is_automatic(template.as_deref())),
        _ => Finding::Unknown,
    }
}

/// The risk class of a version; `None` where it could not be read.
pub(super) fn risk_of(rendering: &Rendering) -> Option<Risk> {
    let text = rendering.text.known()?;
    let is_plain = !rendering.has_attachment && content::link_hosts(&text.everything).is_empty();
    let least = if is_plain { Risk::Low } else { Risk::Medium };
    Some(content::risk(&text.words).max(least))
}

/// The same by the tenant's own words too; `None` also where these are not known.
fn risk(case: &Case<'_>) -> Option<Risk> {
    let (version, settings) = (case.version.as_ref()?, case.settings()?);
    let (risk, text) = (version.risk?, version.rendering.text.known()?);
    if content::has_phrase(&text.words, &settings.risk_words) { Some(Risk::High) } else { Some(risk) }
}

/// What the approvals on record amount to.
#[derive(Default)]
struct Approvals {
    has_valid: bool,
    has_stale: bool,
    has_own: bool,
}

/// `None` where approvals or settings are not known.
fn standing(case: &Case<'_>) -> Option<Approvals> {
    let approvals = case.facts.approvals.known()?;
    case.settings()?;
    let mut standing = Approvals::default();
    for approval in approvals.iter().filter(|approval| is_of_case(case, approval)) {
        let is_present = is_present(case, approval);
        standing.has_stale |= !is_present;
        standing.has_own |= is_present && is_by_author(case, approval);
        standing.has_valid |= is_valid(case, approval);
    }
    Some(standing)
}

pub(super) fn valid<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Approval> {
    let approvals = case.facts.approvals.known().map(Vec::as_slice).unwrap_or_default();
    approvals.iter().filter(|approval| is_valid(case, approval))
}

fn is_valid(case: &Case<'_>, approval: &Approval) -> bool {
    is_of_case(case, approval)
        && is_present(case, approval)
        && !is_by_author(case, approval)
        && has_role(case, approval)
}

/// Whether the approver has, now, the role that the settings ask for: the yes of an account that was disabled since, or whose
/// role was taken, counts no more. Of another issuer's people no role is known; they are approvers as long as their issuer is
/// registered.
fn has_role(case: &Case<'_>, approval: &Approval) -> bool {
    let Some(settings) = case.settings() else { return false };
    let Actor::User { user } = &approval.approver else { return settings.approver <= Role::Approver };
    let asked = settings.approver.max(Role::Approver);
    let roles = case.facts.approver_roles.known().map(Vec::as_slice).unwrap_or_default();
    roles.iter().any(|(approver, role)| approver == user && role.allows(asked))
}

/// A signed-in person's yes to this draft of this tenant that was not taken back.
fn is_of_case(case: &Case<'_>, approval: &Approval) -> bool {
    let is_of_draft = |version: &Version| (approval.tenant, approval.draft) == (version.tenant, version.draft);
    case.version.as_ref().is_some_and(|version| is_of_draft(version.version))
        && approval.approver.is_person()
        && !approval.is_revoked
}

/// Whether it was given to the present content, counts now, and is later than the thread's last message from a person.
fn is_present(case: &Case<'_>, approval: &Approval) -> bool {
    let is_same_content = case.version.as_ref().is_some_and(|version| version.hash == approval.content_hash);
    let is_in_time = approval.decided_at <= case.now && case.now < approval.expires_at;
    let is_latest = case.occasion == Occasion::Retry
        || match case.facts.thread.last_message_from_person {
            Fact::Known(None) => true,
            Fact::Known(Some(arrived)) => arrived < approval.decided_at,
            Fact::Unknown => false,
        };
    is_same_content && is_in_time && is_latest
}

/// Whether the approver may not approve it for having written it.
fn is_by_author(case: &Case<'_>, approval: &Approval) -> bool {
    let four_eyes = case.settings().is_none_or(|settings| settings.four_eyes);
    four_eyes && case.version.as_ref().is_none_or(|version| version.version.author == approval.approver)
}

fn accepts(approval: &Approval, code: &str) -> bool {
    approval.accepted.iter().any(|accepted| accepted == code)
}

/// What is known can be accepted by a person who was shown it; what is not known cannot.
fn unless_accepted(case: &Case<'_>, code: &str, found: Finding) -> Finding {
    if found == Finding::Applies && valid(case).any(|approval| accepts(approval, code)) {
        Finding::Clear
    } else {
        found
    }
}
