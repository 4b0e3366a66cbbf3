//! What may happen to a reply, and the settings of a tenant that the rules obey.
//!
//! It must never read a word that it does not know as a permission: an unknown policy is the strictest.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ownership::quoted;
use super::role::Role;

mod faults;
mod scopes;

pub use faults::PolicyFault;
pub use scopes::{QuietHours, Scope, Subject};

/// What may happen to a reply (`replyPolicy`). Ordered from the strictest to the most open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyPolicy {
    /// Receive only.
    Never,
    /// The source app answers, whatever the owner field says.
    SourceAppOnly,
    /// Every draft needs an approval.
    HumanApproval,
    /// A draft of low risk may be released without one.
    PolicyAuto,
}

impl ReplyPolicy {
    /// All policies, strictest first.
    pub const ALL: [Self; 4] = [Self::Never, Self::SourceAppOnly, Self::HumanApproval, Self::PolicyAuto];

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::SourceAppOnly => "source_app_only",
            Self::HumanApproval => "human_approval",
            Self::PolicyAuto => "policy_auto",
        }
    }

    /// The policy of a word of the contract, spelt exactly so.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// Reads a word that somebody claims: an unknown one is `source_app_only`, with a warning.
    #[must_use]
    pub fn read(word: &str) -> (Self, Option<String>) {
        match Self::from_word(word) {
            Some(policy) => (policy, None),
            None => {
                let warning = format!("replyPolicy {} is not known and was read as `source_app_only`", quoted(word));
                (Self::SourceAppOnly, Some(warning))
            }
        }
    }
}

/// The settings of a tenant that the rules obey. The default is the strict reading. In a file its names may be written as the
/// configuration writes its own: `four_eyes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Name of this version of the settings; kept with every release.
    #[schema(max_length = 40)]
    pub version: String,
    /// Whether an approver must be somebody else than the author. False lets a signed-in person, and nobody else,
    /// release what that person wrote.
    #[serde(alias = "four_eyes")]
    pub four_eyes: bool,
    /// Whether replies go only to those who have been in the thread.
    #[serde(alias = "participants_only")]
    pub participants_only: bool,
    /// To how many new recipients a day near-equal content may go.
    #[serde(alias = "similar_to_new_recipients")]
    pub similar_to_new_recipients: u32,
    /// How many recipients one message may have.
    pub recipients: u32,
    /// Messages that one mailbox may let out in 24 hours.
    #[serde(alias = "mailbox_per_day")]
    pub mailbox_per_day: u32,
    /// Messages that one agent may have let out in 24 hours.
    #[serde(alias = "agent_per_day")]
    pub agent_per_day: u32,
    /// Messages that the tenant may let out in 24 hours.
    #[serde(alias = "tenant_per_day")]
    pub tenant_per_day: u32,
    /// Messages without a person's yes that one correspondent may get in 24 hours (RFC 3834 §2).
    #[serde(alias = "automatic_per_correspondent")]
    pub automatic_per_correspondent: u32,
    /// Whether a submission that is denied is refused at once (550), and not only told so with its 250. What is handed off or
    /// held is a draft either way.
    #[serde(alias = "refuse_denied")]
    pub refuse_denied: bool,
    /// The least role whose yes counts: `approver`, `admin` or `owner`.
    #[schema(value_type = String, max_length = 20)]
    pub approver: Role,
    /// Words and phrases that make a text risky, beside those that always do.
    #[serde(alias = "risk_words")]
    #[schema(max_items = 500)]
    pub risk_words: Vec<String>,
    /// Addresses, and domains with those below them, to which alone it may be sent; all where there are none.
    #[schema(max_items = 5000)]
    pub allow: Vec<String>,
    /// Addresses, and domains with those below them, to which nothing is sent.
    #[schema(max_items = 5000)]
    pub block: Vec<String>,
    /// Templates whose drafts may go out by `policy_auto`; without a list, every draft of low risk may.
    #[serde(alias = "automatic_templates", skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 500)]
    pub automatic_templates: Option<Vec<String>>,
    /// Where it is day or night, by the name of the time zone database: `Europe/Berlin`.
    #[serde(alias = "time_zone")]
    #[schema(max_length = 64)]
    pub time_zone: String,
    /// When nothing leaves.
    #[serde(alias = "quiet_hours", skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// Stricter settings for some.
    #[serde(alias = "scope", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub scopes: Vec<Scope>,
    /// Days for which a question to people waits for an answer; one at least.
    #[serde(alias = "question_days")]
    pub question_days: u32,
    /// Minutes after which a question that nobody answered goes to the next role up; 0: never.
    #[serde(alias = "escalate_after_minutes")]
    pub escalate_after_minutes: u32,
}

impl Policy {
    /// How long a question waits for an answer.
    #[must_use]
    pub fn question_life(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.question_days.max(1)))
    }

    /// After which time a question goes to the next role up; `None`: never.
    #[must_use]
    pub fn escalation(&self) -> Option<Duration> {
        (self.escalate_after_minutes > 0).then(|| Duration::from_mins(self.escalate_after_minutes.into()))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: "default".to_owned(),
            four_eyes: true,
            participants_only: true,
            similar_to_new_recipients: 20,
            recipients: 10,
            mailbox_per_day: 200,
            agent_per_day: 200,
            tenant_per_day: 2_000,
            automatic_per_correspondent: 3,
            refuse_denied: false,
            approver: Role::Approver,
            risk_words: Vec::new(),
            allow: Vec::new(),
            block: Vec::new(),
            automatic_templates: None,
            time_zone: "UTC".to_owned(),
            quiet_hours: None,
            scopes: Vec::new(),
            question_days: 14,
            escalate_after_minutes: 240,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_policy_is_read_as_source_app_only_and_named() {
        for word in ["", "auto", "Policy_Auto", " policy_auto", "policy_auto\0", "release"] {
            let (policy, warning) = ReplyPolicy::read(word);
            assert_eq!(policy, ReplyPolicy::SourceAppOnly, "{word:?}");
            assert!(warning.unwrap().contains("source_app_only"));
        }
    }

    #[test]
    fn every_policy_reads_back_from_its_word() {
        for policy in ReplyPolicy::ALL {
            assert_eq!(ReplyPolicy::read(policy.as_str()), (policy, None));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
    }

    #[test]
    fn the_default_settings_are_the_strict_ones() {
        let policy = Policy::default();
        assert!(policy.four_eyes && policy.participants_only);
    }

    #[test]
    fn a_question_waits_for_a_day_at_least_and_may_never_go_up() {
        let none = Policy { question_days: 0, escalate_after_minutes: 0, ..Policy::default() };
        assert_eq!((none.question_life(), none.escalation()), (Duration::from_hours(24), None));
        let day = Duration::from_hours(24);
        assert_eq!((Policy::default().question_life(), Policy::default().escalation()), (14 * day, Some(day / 6)));
    }
}
