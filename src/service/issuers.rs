//! Issuers whose users a tenant lets decide about drafts inside the pages of its app, and how such a user is known.
//!
//! # Security
//! A user's token counts for one content hash (its nonce), for the audience that the tenant wrote down, for a few minutes
//! after the user proved who they are, and once. Users of an issuer can be approvers at most. Somebody who also has an
//! account here, linked to that issuer, is that account's person: four eyes are not two browsers of one pair.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{AccountError, Admin, Role, STEP_UP, SignedIn, UserState};
use super::drafts::approvals::{Approver, ContentHash};
use super::{Service, ServiceError};
use crate::clock::Timestamp;
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::ids::{ApprovalId, IssuerId};
use crate::oidc::jose::Token;
use crate::oidc::{Expected, OidcError, claims};
use crate::store::accounts::identities::Identity;
use crate::store::issuers::NewIssuer;
use crate::store::{StoreError, TenantStore};

pub use crate::store::issuers::IssuerRow;

/// Body of a registration.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerRequest {
    /// Its name, exactly as its tokens say: an https URL.
    #[schema(min_length = 8, max_length = 500)]
    pub url: String,
    /// For whom its tokens must be made.
    #[schema(min_length = 1, max_length = 200)]
    pub audience: String,
    /// What its users may do: `viewer`, `agent` or `approver`; only the last decide.
    #[serde(default)]
    #[schema(min_length = 5, max_length = 8)]
    pub role: Option<String>,
}

/// An issuer whose users may decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub url: String,
    /// For whom its tokens must be made.
    pub audience: String,
    /// What its users may do.
    pub role: String,
    /// When it was registered, RFC 3339.
    pub created_at: String,
}

/// The issuers of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerPage {
    /// Issuers, oldest first.
    pub items: Vec<IssuerView>,
}

impl From<IssuerRow> for IssuerView {
    fn from(row: IssuerRow) -> Self {
        Self {
            id: row.id.to_string(),
            url: row.url,
            audience: row.audience,
            role: row.role.to_string(),
            created_at: row.created_at.to_string(),
        }
    }
}

/// Why a token decides nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not of a user whose issuer the tenant registered, for this question, content and moment.
    #[error("{0}")]
    Invalid(String),
    /// Its user may not decide.
    #[error("the user may not decide")]
    Role,
    /// The issuer does not answer now.
    #[error("the issuer does not answer now")]
    Silent,
    /// The database does not, or something else.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for TokenRefusal {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

/// A user who may answer, known by a token.
#[derive(Debug)]
pub struct Shown {
    pub(super) approver: Approver,
    pub(super) token_hash: [u8; 32],
    pub(super) expires_at: Timestamp,
}

/// Registers an issuer. `is_address` says whether it could be asked.
///
/// # Errors
/// [`AccountError::Invalid`]; [`AccountError::Conflict`] when it is registered for this audience.
pub async fn register(
    own: &TenantStore,
    request: IssuerRequest,
    is_address: impl Fn(&str) -> bool,
    by: Who,
) -> Result<IssuerRow, AccountError> {
    let invalid = |field, message| Err(AccountError::Invalid { field, message });
    let role = match request.role.as_deref().map(Role::parse) {
        None => Role::Approver,
        Some(Some(role)) if role <= Role::Approver => role,
        Some(_) => return invalid("role", "must be viewer, agent or approver"),
    };
    if request.url.len() > 500 || !is_address(&request.url) {
        return invalid("url", "must be the https URL of an issuer that this gateway may ask");
    }
    let is_text = |text: &str| !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    if !is_text(&request.audience) {
        return invalid("audience", "must be one line of 1 to 200 characters");
    }
    let new = NewIssuer { id: own.clock().mint(), url: request.url, audience: request.audience, role };
    let id = new.id;
    match own.add_issuer(new, by).await {
        Err(StoreError::Exists(_)) => Err(AccountError::Conflict("the issuer is registered for this audience")),
        added => {
            added?;
            let found = own.issuers().await?.into_iter().find(|row| row.id == id);
            found.ok_or(AccountError::NotFound("issuer"))
        }
    }
}

impl Service {
    /// The issuers of the tenant.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn issuers(&self, who: &SignedIn<Admin>) -> Result<IssuerPage, AccountError> {
        let rows = self.store.for_tenant(who.tenant()).issuers().await?;
        Ok(IssuerPage { items: rows.into_iter().map(IssuerView::from).collect() })
    }

    /// Registers one.
    ///
    /// # Errors
    /// As [`register`]; [`AccountError::StepUp`].
    pub async fn register_issuer(
        &self,
        request: IssuerRequest,
        who: &SignedIn<Admin>,
    ) -> Result<IssuerView, AccountError> {
        who.require_step_up(self.clock().now())?;
        let desk = self.accounts.elsewhere.as_deref();
        let is_address = |url: &str| desk.is_some_and(|desk| desk.issuers.check_address(url).is_ok());
        let own = self.store.for_tenant(who.tenant());
        Ok(register(&own, request, is_address, Who::Actor(who.actor())).await?.into())
    }

    /// Believes one no more.
    ///
    /// # Errors
    /// [`AccountError::NotFound`]; [`AccountError::StepUp`].
    pub async fn remove_issuer(&self, id: &str, who: &SignedIn<Admin>) -> Result<(), AccountError> {
        who.require_step_up(self.clock().now())?;
        let id: IssuerId = id.parse().map_err(|_| AccountError::NotFound("issuer"))?;
        Ok(self.store.for_tenant(who.tenant()).remove_issuer(id, Who::Actor(who.actor())).await?)
    }

    /// Who answers a question about this content, by the token of a registered issuer.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub async fn shown_token(&self, id: &str, token: &str, content: ContentHash) -> Result<Shown, TokenRefusal> {
        let shown = self.try_token(id, token, content).await;
        if let Err(error @ (TokenRefusal::Invalid(_) | TokenRefusal::Role)) = &shown {
            metrics::counter!("connex_decision_tokens_refused_total").increment(1);
            tracing::warn!(error.kind = "oidc", temporary = false, "A token decided nothing: {error}");
        }
        shown
    }

    async fn try_token(&self, id: &str, token: &str, content: ContentHash) -> Result<Shown, TokenRefusal> {
        let unknown = || TokenRefusal::Invalid(UNKNOWN.to_owned());
        let read = Token::read(token).map_err(|fault| TokenRefusal::Invalid(fault.to_string()))?;
        // Not believed yet: it says whom to ask, if that is somebody whom the tenant named.
        let issuer = claims::issuer_of(read.payload()).ok_or_else(unknown)?;
        let id: ApprovalId = id.parse().map_err(|_| unknown())?;
        let desk = self.accounts.elsewhere.as_deref().ok_or_else(unknown)?;
        let (now, nonce) = (self.clock().now(), content.to_string());
        let since = Timestamp::from_micros(
            now.as_micros().saturating_sub(i64::try_from(STEP_UP.as_micros()).unwrap_or(i64::MAX)),
        );
        let mut refused = unknown();
        for row in self.store.issuers_for(id, &issuer).await? {
            let expected = Expected {
                issuer: &row.url,
                audience: &row.audience,
                nonce: &nonce,
                authenticated_since: Some(since),
                now,
            };
            match desk.issuers.verify(token, &expected).await {
                Ok(claims) => return self.known_by(row, &claims.subject, token).await,
                Err(error @ (OidcError::Silent(_) | OidcError::Address { .. } | OidcError::Document(_))) => {
                    tracing::warn!(error.kind = "oidc", temporary = true, tenant.id = %row.tenant, "{error}");
                    refused = TokenRefusal::Silent;
                }
                Err(error) => refused = TokenRefusal::Invalid(error.to_string()),
            }
        }
        Err(refused)
    }

    async fn known_by(&self, row: IssuerRow, subject: &str, token: &str) -> Result<Shown, TokenRefusal> {
        if !row.role.allows(Role::Approver) {
            return Err(TokenRefusal::Role);
        }
        let own = self.store.for_tenant(row.tenant);
        let identity = Identity { issuer: row.url, subject: subject.to_owned() };
        let (actor, role) = match own.user_of_identity(&identity).await? {
            None => (Actor::Issued { issuer: identity.issuer, subject: identity.subject }, row.role),
            Some(user) => {
                let account = own.user(user).await?;
                let may = |account: &crate::store::accounts::UserRow| {
                    account.state == UserState::Active && account.role.allows(Role::Approver)
                };
                let Some(account) = account.filter(may) else { return Err(TokenRefusal::Role) };
                (Actor::User { user }, account.role)
            }
        };
        // Without its signature, of which ECDSA allows two for one text.
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        let token_hash = super::evaluate::sha256(signed.as_bytes());
        // When it was shown first its user had signed in at most so long ago: afterwards it counts for nothing anyway.
        let expires_at = self.clock().now().plus(STEP_UP).plus(STEP_UP);
        Ok(Shown { approver: Approver::of_token(row.tenant, actor, role), token_hash, expires_at })
    }
}

const UNKNOWN: &str = "the token is not of an issuer whose users may answer this question";
