//! The rule table: each rule is one entry, with its code, its ruling, when it is asked, and what it looks at.
//!
//! A rule is a function from facts to a finding; it must never answer "clear" for a fact that is not
//! known. Adding a rule is one entry here, its function, and its row in the tests.

use super::facts::{Fact, Facts, MailboxFacts};
use super::ownership::{Identity, IdentityOwner};
use super::policy::{Policy, ReplyPolicy};
use super::rendering::Rendering;
use super::verdict::{Reason, Ruling, Verdict};
use super::version::{ContentHash, Version};
use crate::clock::Timestamp;
use crate::contract::answer::Risk;

mod identity;
mod person;
mod standing;
#[cfg(test)]
mod tests;
mod words;

pub use identity::LONGEST_SINCE_CHECK;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its public code.
    pub code: &'static str,
    /// What it rules when it applies, and when a fact that it asks for is not known.
    pub ruling: Ruling,
    /// For whom it is asked.
    pub asked: Asked,
    /// Whether it needs a version, or can be asked of an identity alone.
    pub subject: Subject,
    /// One sentence for people.
    pub sentence: &'static str,
    /// What would lift it.
    pub lifted_by: &'static str,
    check: fn(&Case<'_>) -> Finding,
}

/// For whom a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Of every version, also of one that the source app would send.
    Always,
    /// Of what this gateway itself would send.
    OfOwnSending,
    /// Of what this gateway would send as a customer's domain.
    OfCustomerDomains,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Identity, mailbox and policy: it can be asked before there is a draft.
    Identity,
    /// A version of a draft.
    Version,
}

/// Which transmission of a release is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The first of all.
    First,
    /// A recipient that was deferred: the thread may have moved on in the meantime.
    Retry,
}

/// What a rule found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Nothing against it.
    Clear,
    /// The rule applies.
    Applies,
    /// The rule applies, but only as a hold while something is being found out.
    Holds,
    /// A fact that it asks for is not known.
    Unknown,
}

impl Finding {
    fn when(applies: bool) -> Self {
        if applies { Self::Applies } else { Self::Clear }
    }

    fn of(fact: &Fact<bool>) -> Self {
        fact.known().map_or(Self::Unknown, |applies| Self::when(*applies))
    }

    /// The first of two that is not clear; what is not known comes before all, since nobody can accept it.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Clear, other) => other,
            (found, _) => found,
        }
    }
}

/// What the rules are asked about.
pub(super) struct Case<'a> {
    version: Option<VersionCase<'a>>,
    facts: &'a Facts,
    now: Timestamp,
    occasion: Occasion,
}

/// The version of a case, read.
struct VersionCase<'a> {
    version: &'a Version,
    hash: ContentHash,
    rendering: Rendering,
    /// `None` where the text could not be read.
    risk: Option<Risk>,
}

impl<'a> Case<'a> {
    /// One version at one moment.
    pub(super) fn of_version(version: &'a Version, facts: &'a Facts, occasion: Occasion, now: Timestamp) -> Self {
        let rendering = Rendering::read(&version.content);
        let risk = person::risk_of(&rendering);
        let version = Some(VersionCase { version, hash: version.content.hash(), rendering, risk });
        Self { version, facts, now, occasion }
    }

    /// An identity before there is a draft.
    pub(super) fn of_identity(facts: &'a Facts, now: Timestamp) -> Self {
        Self { version: None, facts, now, occasion: Occasion::First }
    }

    /// Asks every rule that is to be asked.
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::new(RULES.iter().filter(|rule| self.asks(rule)).filter_map(|rule| self.ask(rule)).collect())
    }

    fn asks(&self, rule: &Rule) -> bool {
        let has_subject = rule.subject == Subject::Identity || self.version.is_some();
        let is_for = match rule.asked {
            Asked::Always => true,
            Asked::OfOwnSending => self.is_own_sending(),
            Asked::OfCustomerDomains => {
                self.is_own_sending() && self.identity().map(Identity::owner) == Some(IdentityOwner::CustomerDomain)
            }
        };
        has_subject && is_for
    }

    fn ask(&self, rule: &Rule) -> Option<Reason> {
        let (ruling, is_unknown) = match (rule.check)(self) {
            Finding::Clear => return None,
            Finding::Applies => (rule.ruling, false),
            Finding::Holds => (Ruling::Hold, false),
            Finding::Unknown => (rule.ruling, true),
        };
        let Rule { code, sentence, lifted_by, .. } = rule;
        Some(Reason { code, ruling, is_unknown, sentence, lifted_by })
    }

    fn identity(&self) -> Option<&Identity> {
        self.facts.identity.known()
    }

    fn mailbox(&self) -> Option<&MailboxFacts> {
        self.facts.mailbox.known()
    }

    fn settings(&self) -> Option<&Policy> {
        self.facts.policy.known()
    }

    /// Whether this gateway itself would send, and not the source app.
    fn is_own_sending(&self) -> bool {
        self.identity().is_some_and(|identity| !identity.is_source_app())
    }

    fn reply_policy(&self) -> ReplyPolicy {
        self.identity().map_or(ReplyPolicy::SourceAppOnly, Identity::policy)
    }

    fn rendering(&self) -> Option<&Rendering> {
        self.version.as_ref().map(|version| &version.rendering)
    }
}

pub(super) use person::counts;

/// Every rule, in the order in which reasons are listed.
#[must_use]
pub fn rules() -> &'static [Rule] {
    RULES
}

macro_rules! rules {
    ($($code:literal $ruling:ident $asked:ident $subject:ident $check:path, $sentence:literal, $lifted_by:literal;)*) => {
        &[$(Rule {
            code: $code,
            ruling: Ruling::$ruling,
            asked: Asked::$asked,
            subject: Subject::$subject,
            sentence: $sentence,
            lifted_by: $lifted_by,
            check: $check,
        },)*]
    };
}

const RULES: &[Rule] = rules! {
    "source_app_owns_identity" Handoff Always Identity identity::source_app_owns_identity,
        "The source app owns this sender identity and sends the answer itself.",
        "Nothing here: a person answers in the source app.";
    "replies_disabled" Deny Always Identity identity::replies_disabled,
        "This mailbox only receives.",
        "Another reply policy of the mailbox.";
    "identity_mismatch" Deny Always Identity identity::identity_mismatch,
        "From, Sender, Reply-To or reverse-path is not the identity that the mailbox grants.",
        "A version that shows the mailbox's own identity.";
    "mailbox_inactive" Deny Always Identity identity::mailbox_inactive,
        "The mailbox is not an active mailbox of this tenant.",
        "Registering or resuming the mailbox.";
    "domain_unverified" Deny OfCustomerDomains Identity identity::domain_unverified,
        "The customer's domain is not shown to be this tenant's by a check of the last 24 hours.",
        "A good check of the domain's records.";
    "domain_keys_missing" Deny OfOwnSending Version identity::domain_keys_missing,
        "No active DKIM key of the domain matches its published record.",
        "Publishing the DKIM record of the domain.";
    "platform_domain_leak" Deny OfCustomerDomains Version identity::platform_domain_leak,
        "A domain of this gateway would be visible on a message of the customer's domain.",
        "A version that shows the customer's domain alone.";
    "display_name_spoof" Deny OfOwnSending Version words::display_name_spoof,
        "The display name shows another address or domain, or characters that pass for others.",
        "A version with a plain display name.";
    "header_injection" Deny Always Version words::header_injection,
        "A header field holds a line break or NUL, or is one that callers may not set.",
        "A version without that field.";
    "approval_required" Hold OfOwnSending Identity person::approval_required,
        "No valid approval of the present content.",
        "A person's approval of the present content.";
    "approval_stale" Hold OfOwnSending Version person::approval_stale,
        "The content, or the conversation, changed after the approval, or the approval expired.",
        "A new approval of the present content.";
    "self_approval" Hold OfOwnSending Version person::self_approval,
        "The approver wrote this version.",
        "The approval of another person.";
    "new_recipient" Hold OfOwnSending Version person::new_recipient,
        "A recipient has never been in the conversation.",
        "A person's approval that accepts the new recipient.";
    "too_many_recipients" Deny OfOwnSending Version standing::too_many_recipients,
        "More recipients than the mailbox may send to at once.",
        "A version with fewer recipients.";
    "suppressed_recipient" Deny OfOwnSending Version standing::suppressed_recipient,
        "A recipient bounced, complained or unsubscribed.",
        "A version without that recipient.";
    "recipient_not_allowed" Deny OfOwnSending Version standing::recipient_not_allowed,
        "A recipient is on the policy's block list, or not on its allow list.",
        "A version without that recipient, or another policy.";
    "auto_reply_loop" Deny OfOwnSending Version standing::auto_reply_loop,
        "The message being answered is automatic, or this correspondent had enough automatic answers.",
        "Nothing: automatic mail is not answered.";
    "inbound_unauthenticated" Hold OfOwnSending Version person::inbound_unauthenticated,
        "The message being answered failed DMARC or was flagged as phishing.",
        "A person's approval that accepts it.";
    "instruction_injection" Hold OfOwnSending Version person::instruction_injection,
        "The message being answered tries to steer an agent.",
        "A person's approval that accepts it.";
    "secret_in_content" Deny Always Version words::secret_in_content,
        "The message holds what looks like an API key, a private key or a password.",
        "A version without the secret.";
    "risk_high" Hold OfOwnSending Version person::risk_high,
        "The text commits to something, or speaks of money, law or contracts.",
        "An approval that accepts it, by a person who just signed in again.";
    "bulk_pattern" Hold OfOwnSending Version standing::bulk_pattern,
        "Near-equal content went to too many new recipients within a day.",
        "Time: the count is of one day.";
    "quota_exceeded" Hold OfOwnSending Version standing::quota_exceeded,
        "A quota of the mailbox, agent, tenant or destination is used up.",
        "Time: the next window of the quota.";
    "quiet_hours" Hold OfOwnSending Version standing::quiet_hours,
        "It is a time at which the policy lets nothing out.",
        "Time: the end of the quiet hours.";
    "tenant_restricted" Deny OfOwnSending Version standing::tenant_restricted,
        "The tenant may not send.",
        "A review by the operator.";
    "sending_paused" Hold OfOwnSending Version standing::sending_paused,
        "Sending is paused for the agent, the mailbox, the tenant or the whole gateway.",
        "Ending the pause.";
};
