//! Policy gates, trust band and recommendation. Bands, codes and short reasons; never a figure that could be gamed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::identity::Standing;
use super::keys::{Authenticated, StatusEvaluate};
use super::{Service, ServiceError};
use crate::contract::answer::{AbuseSignal, TrustBlock, TrustGate};
use crate::decide::Decision;
use crate::store::insights::Span;

/// Body of trust; every field may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrustRequest {
    /// Only what concerns this app.
    #[schema(min_length = 1, max_length = 100)]
    pub app: Option<String>,
}

/// Answer of trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustAnswer {
    /// `new`, `standard`, `trusted`, `restricted` or `blocked`.
    pub band: String,
    /// Policy gates and whether they are open.
    pub gates: Vec<TrustGate>,
    /// Signals of abuse in the last 30 days.
    pub abuse_signals: Vec<AbuseSignal>,
    /// Limits that apply to the calling key and tenant.
    pub limits: Vec<LimitEntry>,
    /// `proceed`, `review`, `hold` or `block`.
    pub recommendation: String,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// What was read differently than it was written.
    pub warnings: Vec<String>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitEntry {
    /// Name of the policy, as in the RateLimit headers.
    pub name: String,
    /// Requests in a window; null where the limit is lifted.
    pub requests: Option<u32>,
    /// Seconds of a window; null where the limit is lifted.
    pub window_seconds: Option<u64>,
}

impl Service {
    /// What is known of the calling tenant so far.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] by the key's bindings; [`ServiceError::Unavailable`].
    pub async fn trust(
        &self,
        request: TrustRequest,
        limits: Vec<LimitEntry>,
        warnings: Vec<String>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<TrustAnswer, ServiceError> {
        caller.require_all_mailboxes()?;
        if let Some(app) = &request.app {
            caller.require_app(app)?;
        }
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let app = match &request.app {
            Some(name) => Some(tenant.app_by_name(name).await?.ok_or(ServiceError::NotFound("app"))?.id),
            None => None,
        };
        let now = self.clock().now();
        let month = i64::try_from(Duration::from_hours(30 * 24).as_micros()).unwrap_or(i64::MAX);
        let span = Span {
            app,
            from: crate::clock::Timestamp::from_micros(now.as_micros().saturating_sub(month)),
            to: now.plus(Duration::from_secs(1)),
        };
        let spam = tenant.spam_reports(span).await?;
        let is_suspended = tenant.suspended_since().await?.is_some();
        let has_history = tenant.newest_cursor().await? > 0;
        let abuse_signals: Vec<_> = spam
            .map(|(count, since)| AbuseSignal {
                code: "spam_reported".to_owned(),
                since: Some(since.to_string()),
                evidence: Some(if count == 1 {
                    "an app reported spam once".into()
                } else {
                    format!("apps reported spam {count} times")
                }),
            })
            .into_iter()
            .collect();
        let (band, recommendation, reason) = match (is_suspended, abuse_signals.is_empty(), has_history) {
            (true, _, _) => ("blocked", "block", "The tenant is suspended by the operator."),
            (false, false, _) => ("restricted", "review", "Apps reported spam in the last 30 days."),
            (false, true, true) => ("standard", "proceed", "Nothing speaks against this tenant."),
            (false, true, false) => ("new", "review", "No event of this tenant is recorded yet."),
        };
        let note = "Outcomes are recorded; they do not move the band beyond spam reports yet.";
        Ok(TrustAnswer {
            band: band.to_owned(),
            gates: gates(is_suspended),
            abuse_signals,
            limits,
            recommendation: recommendation.to_owned(),
            reasons: vec![reason.to_owned(), note.to_owned()],
            warnings,
        })
    }
}

fn gate(code: &str, is_open: bool, why: &str) -> TrustGate {
    TrustGate { code: code.to_owned(), state: if is_open { "open" } else { "closed" }.to_owned(), why: why.to_owned() }
}

fn gates(is_suspended: bool) -> Vec<TrustGate> {
    vec![
        gate("evaluate", true, "Events are evaluated and operations are proposed."),
        gate("materialize_safe", true, "Internal tasks, approvals and drafts are stored; none of them is a send."),
        gate(
            "intake",
            !is_suspended,
            if is_suspended { "The tenant's mail is put off." } else { "Mail of the tenant is accepted." },
        ),
        gate("external_send", false, "This version sends no mail; drafts of a source app are handed to it."),
    ]
}

/// The trust block of one decision.
pub(crate) fn block_of(decision: &Decision, standing: Standing) -> TrustBlock {
    let has_abuse = !decision.abuse_signals.is_empty();
    let band = match (has_abuse, standing) {
        (true, _) => "restricted",
        (false, Standing::Unknown) => "new",
        (false, Standing::Known) => "standard",
    };
    let needs_person = decision.canonical.approval_required || decision.reasoning.abstained;
    let recommendation = match (has_abuse, needs_person) {
        (true, _) => "hold",
        (false, true) => "review",
        (false, false) => "proceed",
    };
    TrustBlock {
        band: band.to_owned(),
        gates: vec![gate(
            "external_send",
            false,
            "Nothing is sent without a release; a reply is a draft or the source app's.",
        )],
        abuse_signals: decision.abuse_signals.clone(),
        recommendation: recommendation.to_owned(),
    }
}
