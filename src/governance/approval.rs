//! Who said yes to which content, and whether that yes still counts.
//!
//! It must never count a yes of a key or an agent, of another tenant, of another content hash, of the author where four
//! eyes are asked for, or one that is older than the thread's last message from a person.

use serde::{Deserialize, Serialize};

use super::version::ContentHash;
use crate::clock::Timestamp;
use crate::ids::{ApprovalId, DraftId, KeyId, TenantId, UserId};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Actor {
    /// A signed-in person with an account here.
    User {
        /// The account.
        user: UserId,
    },
    /// A signed-in person of an issuer that the tenant registered (OpenID Connect Core §2: `iss`, `sub`).
    Issued {
        /// The issuer.
        issuer: String,
        /// The subject there.
        subject: String,
    },
    /// An API key.
    Key {
        /// The key.
        key: KeyId,
    },
    /// An agent.
    Agent {
        /// Its id.
        agent: String,
    },
    /// A template, whose words a decision proposed.
    Template {
        /// Its id.
        template: String,
        /// Its version.
        version: u32,
    },
}

impl Actor {
    /// Whether this is a signed-in person, the only kind of actor that can approve.
    #[must_use]
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::User { .. } | Self::Issued { .. })
    }
}

/// A named person's yes to one content hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The tenant in which it was given.
    pub tenant: TenantId,
    /// The draft that it is about.
    pub draft: DraftId,
    /// The content that the approver was shown.
    pub content_hash: ContentHash,
    /// Who approved.
    pub approver: Actor,
    /// When.
    pub decided_at: Timestamp,
    /// From this moment on it counts no more.
    pub expires_at: Timestamp,
    /// Whether it was taken back.
    pub is_revoked: bool,
    /// Codes of the holds that the approver was shown and said yes to.
    pub accepted: Vec<String>,
    /// Whether the approver signed in again just before, as a draft of high risk asks.
    pub is_stepped_up: bool,
}

/// Why an approved draft may go out: kept with its release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Evidence {
    /// A person approved.
    Person {
        /// The approval.
        approval: ApprovalId,
    },
    /// Policy `policy_auto` lets a draft of low risk out.
    Policy {
        /// The version of the tenant's settings.
        version: String,
    },
}
