//! Accounts as JSON: what the API takes and gives. Each is a view of what the pages show, by the same functions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{InvitationRow, Link, Secret, SignInRow, SignedIn, UserRow};
use crate::clock::Timestamp;
use crate::ids::SignInId;

/// Body of a sign-in.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginRequest {
    /// Name of the organisation; may be left out where there is only one.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub organisation: Option<String>,
    /// Address by which the person signs in.
    #[schema(min_length = 1, max_length = 254)]
    pub email: String,
    /// The password.
    #[schema(min_length = 1, max_length = 1024)]
    pub password: String,
}

/// Body of a step-up.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepUpRequest {
    /// The password.
    #[schema(min_length = 1, max_length = 1024)]
    pub password: String,
}

/// Body of an invitation.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InviteRequest {
    /// Address by which the person will sign in.
    #[schema(min_length = 3, max_length = 254)]
    pub email: String,
    /// `viewer`, `agent`, `approver`, `admin` or `owner`.
    #[schema(min_length = 5, max_length = 8)]
    pub role: String,
}

/// Body of a change of an account; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UserChange {
    /// What the person may do from now on.
    #[schema(min_length = 5, max_length = 8)]
    pub role: Option<String>,
    /// `active` or `disabled`.
    #[schema(min_length = 6, max_length = 8)]
    pub state: Option<String>,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonView {
    /// The account.
    pub id: String,
    /// Address by which the person signs in.
    pub email: String,
    /// What the person is called; may be empty.
    pub name: String,
    /// What they may do.
    pub role: String,
    /// Name of the organisation.
    pub organisation: String,
}

/// A session that was begun, or has another token now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedInView {
    /// Who is signed in.
    pub user: PersonView,
    /// For the header `X-CSRF-Token` of every call that changes something.
    pub csrf_token: String,
    /// Whether the person proved who they are not long ago.
    pub stepped_up: bool,
}

/// Where the person is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPage {
    /// Who is signed in.
    pub user: PersonView,
    /// For the header `X-CSRF-Token` of every call that changes something.
    pub csrf_token: String,
    /// Whether the person proved who they are not long ago.
    pub stepped_up: bool,
    /// Sessions, the one used last first.
    pub items: Vec<SessionView>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Whether it is the one that asks.
    pub is_this: bool,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was used last, RFC 3339, to the minute.
    pub last_used_at: String,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// From where it was made.
    pub address: Option<String>,
}

/// The accounts of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    /// Accounts by their addresses.
    pub items: Vec<UserView>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Its id.
    pub id: String,
    /// Address by which the person signs in.
    pub email: String,
    /// What the person is called; may be empty.
    pub name: String,
    /// What they may do.
    pub role: String,
    /// `active` or `disabled`.
    pub state: String,
    /// Whether there is a password.
    pub has_password: bool,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When the person signed in last, RFC 3339.
    pub last_signed_in_at: Option<String>,
}

/// Invitations that were not used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitePage {
    /// Invitations by their addresses.
    pub items: Vec<InviteView>,
}

/// One invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InviteView {
    /// Its id.
    pub id: String,
    /// For whom.
    pub email: String,
    /// What the person may do then.
    pub role: String,
    /// Whether it sets a new password of an account that is there.
    pub resets_password: bool,
    /// Until when it can be used, RFC 3339.
    pub expires_at: String,
}

/// An invitation that was made. Its link is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkView {
    /// For whom.
    pub email: String,
    /// The link: a secret until it is used.
    pub url: String,
    /// Until when it can be used, RFC 3339.
    pub expires_at: String,
}

impl PersonView {
    /// The person of a session.
    #[must_use]
    pub fn of<R>(who: &SignedIn<R>) -> Self {
        Self {
            id: who.user().to_string(),
            email: who.email().to_owned(),
            name: who.name().to_owned(),
            role: who.role().to_string(),
            organisation: who.tenant_name().to_owned(),
        }
    }
}

impl SignedInView {
    /// The session behind this token.
    #[must_use]
    pub fn of<R>(who: &SignedIn<R>, token: &Secret, now: Timestamp) -> Self {
        Self { user: PersonView::of(who), csrf_token: token.form_token(), stepped_up: who.is_stepped_up(now) }
    }
}

impl SessionView {
    /// A session, seen from the session `here`.
    #[must_use]
    pub fn of(row: SignInRow, here: SignInId) -> Self {
        Self {
            is_this: row.id == here,
            id: row.id.to_string(),
            created_at: row.created_at.to_string(),
            last_used_at: row.last_used_at.to_string(),
            user_agent: row.user_agent,
            address: row.address,
        }
    }
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id.to_string(),
            email: row.email,
            name: row.name,
            role: row.role.to_string(),
            state: row.state.as_str().to_owned(),
            has_password: row.has_password,
            created_at: row.created_at.to_string(),
            last_signed_in_at: row.last_signed_in_at.map(|at| at.to_string()),
        }
    }
}

impl From<InvitationRow> for InviteView {
    fn from(row: InvitationRow) -> Self {
        Self {
            id: row.id.to_string(),
            email: row.email,
            role: row.role.to_string(),
            resets_password: row.user.is_some(),
            expires_at: row.expires_at.to_string(),
        }
    }
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        Self { email: link.email, url: link.url, expires_at: link.expires_at.to_string() }
    }
}
