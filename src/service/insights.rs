//! Summary figures of a tenant or one of its apps, from what is recorded.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{Authenticated, StatusEvaluate};
use super::{Fault, Service, ServiceError};
use crate::clock::Timestamp;
use crate::store::insights::{Grouping, Span};

/// Body of integration-insights; every field may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InsightsRequest {
    /// Only events of this app.
    #[schema(min_length = 1, max_length = 100)]
    pub app: Option<String>,
    /// First moment, RFC 3339; 30 days before `to` unless told.
    #[schema(max_length = 64)]
    pub from: Option<String>,
    /// First moment that no longer counts, RFC 3339; now unless told.
    #[schema(max_length = 64)]
    pub to: Option<String>,
    /// `status` (unless told), `area`, `priority` or `source`.
    #[schema(max_length = 40)]
    pub group_by: Option<String>,
}

/// Answer of integration-insights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InsightsAnswer {
    /// The app, where one was named.
    pub app: Option<String>,
    /// First moment.
    pub from: String,
    /// First moment that no longer counts.
    pub to: String,
    /// How many events.
    pub volumes: VolumeFigures,
    /// By what `groups` are counted.
    pub group_by: String,
    /// Events by group, most first.
    pub groups: Vec<CountEntry>,
    /// Outcomes by word, most first.
    pub outcomes: Vec<CountEntry>,
    /// Shares of what was recorded.
    pub rates: RateFigures,
    /// Mean seconds from an event to an outcome; null without outcomes.
    pub seconds_to_outcome: Option<f64>,
    /// Reported value by canonical status.
    pub value: Vec<ValueEntry>,
    /// Noes of people and source apps to drafts, most first.
    pub rejections: Vec<RejectionEntry>,
    /// Webhook deliveries by state.
    pub deliveries: Vec<CountEntry>,
    /// What was read differently than it was written.
    pub warnings: Vec<String>,
}

/// Counts of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeFigures {
    /// Events.
    pub events: i64,
    /// Of them, those that need an approval.
    pub approval_required: i64,
    /// Of them, those left to a person.
    pub abstained: i64,
}

/// Shares, 0 to 1; null where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateFigures {
    /// Events that need an approval.
    pub approval_required: Option<f64>,
    /// Events left to a person.
    pub abstained: Option<f64>,
    /// Outcomes that are `approved`, of those that are `approved` or `rejected`.
    pub approved: Option<f64>,
    /// Outcomes that are `override`.
    pub overridden: Option<f64>,
}

/// One group and its count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountEntry {
    /// The group.
    pub key: String,
    /// How many.
    pub count: i64,
}

/// How often somebody said no to drafts for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectionEntry {
    /// The template that they were proposed with; null where a key or a person wrote them.
    pub template: Option<String>,
    /// Canonical status of what was to be answered; null where that was not decided on.
    pub status: Option<String>,
    /// `wrong_recipient`, `wrong_content`, `not_needed`, `tone`, `other`, or `discarded` by a source app.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// Reported value of one status in one currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueEntry {
    /// Canonical status.
    pub status: String,
    /// ISO 4217.
    pub currency: String,
    /// Sum, in units of the currency.
    pub amount: f64,
}

impl Service {
    /// Figures in a span of time.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Refused`] by the key's bindings, [`ServiceError::NotFound`] for an app
    /// that is not registered, [`ServiceError::Unavailable`].
    pub async fn insights(
        &self,
        request: InsightsRequest,
        warnings: Vec<String>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<InsightsAnswer, ServiceError> {
        caller.require_all_mailboxes()?;
        let bound = &caller.principal().bindings().apps;
        let app_name = match (&request.app, bound.as_slice()) {
            (Some(app), _) => {
                caller.require_app(app)?;
                Some(app.clone())
            }
            (None, []) => None,
            // A key for one app sees that app's figures.
            (None, [only]) => Some(only.clone()),
            (None, _) => {
                return Err(ServiceError::Invalid(vec![Fault::at(
                    "/app",
                    "is required: the key is bound to several apps",
                )]));
            }
        };
        let (mut span, grouping) = check(&request, self.clock().now()).map_err(ServiceError::Invalid)?;
        let tenant = self.store.for_tenant(caller.principal().tenant());
        if let Some(name) = &app_name {
            span.app = Some(tenant.app_by_name(name).await?.ok_or(ServiceError::NotFound("app"))?.id);
        }
        let volumes = tenant.volumes(span).await?;
        let outcomes = tenant.outcomes_by_word(span).await?;
        let value = tenant.value_by_status(span).await?;
        Ok(InsightsAnswer {
            app: app_name,
            from: span.from.to_string(),
            to: span.to.to_string(),
            group_by: word_of(grouping).to_owned(),
            groups: entries(tenant.events_by(grouping, span).await?),
            rates: rates(volumes, &outcomes),
            outcomes: entries(outcomes),
            seconds_to_outcome: tenant.mean_seconds_to_outcome(span).await?,
            value: value
                .into_iter()
                .map(|(status, currency, amount)| ValueEntry { status, currency, amount })
                .collect(),
            rejections: tenant.rejections(span).await?.into_iter().map(rejection).collect(),
            deliveries: entries(tenant.deliveries_by_state(span).await?),
            volumes: VolumeFigures {
                events: volumes.events,
                approval_required: volumes.approval_required,
                abstained: volumes.abstained,
            },
            warnings,
        })
    }
}

const GROUPINGS: [Grouping; 4] = [Grouping::Status, Grouping::Area, Grouping::Priority, Grouping::Source];

const fn word_of(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::Status => "status",
        Grouping::Area => "area",
        Grouping::Priority => "priority",
        Grouping::Source => "source",
    }
}

fn check(request: &InsightsRequest, now: Timestamp) -> Result<(Span, Grouping), Vec<Fault>> {
    let mut faults = Vec::new();
    let mut time = |text: Option<&str>, pointer: &str| {
        let time = text.map(Timestamp::parse_rfc3339);
        if time == Some(None) {
            faults.push(Fault::at(pointer, "must be a time as in RFC 3339, such as 2026-11-23T10:00:00Z"));
        }
        time.flatten()
    };
    // What was recorded in this very moment counts too.
    let to = time(request.to.as_deref(), "/to").unwrap_or_else(|| now.plus(Duration::from_millis(1)));
    let month = i64::try_from(Duration::from_hours(30 * 24).as_micros()).unwrap_or(i64::MAX);
    let from = time(request.from.as_deref(), "/from");
    let from = from.unwrap_or_else(|| Timestamp::from_micros(to.as_micros().saturating_sub(month)));
    let grouping = match request.group_by.as_deref() {
        None => Some(Grouping::Status),
        Some(word) => GROUPINGS.into_iter().find(|grouping| word_of(*grouping) == word),
    };
    if grouping.is_none() {
        faults.push(Fault::at("/groupBy", format!("must be one of {}", GROUPINGS.map(word_of).join(", "))));
    }
    if faults.is_empty() && from > to {
        faults.push(Fault::at("/from", "must not be after `to`"));
    }
    match grouping {
        Some(grouping) if faults.is_empty() => Ok((Span { app: None, from, to }, grouping)),
        _ => Err(faults),
    }
}

fn rates(volumes: crate::store::insights::Volumes, outcomes: &[(String, i64)]) -> RateFigures {
    let of = |word: &str| outcomes.iter().find(|(given, _)| given == word).map_or(0, |(_, count)| *count);
    let all = outcomes.iter().map(|(_, count)| count).sum();
    RateFigures {
        approval_required: share(volumes.approval_required, volumes.events),
        abstained: share(volumes.abstained, volumes.events),
        approved: share(of("approved"), of("approved") + of("rejected")),
        overridden: share(of("override"), all),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52, and a share needs no more")]
fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 1000.0).round() / 1000.0)
}

fn rejection((template, status, reason, count): (String, String, String, i64)) -> RejectionEntry {
    let known = |text: String| (!text.is_empty()).then_some(text);
    RejectionEntry { template: known(template), status: known(status), reason, count }
}

fn entries(pairs: Vec<(String, i64)>) -> Vec<CountEntry> {
    pairs.into_iter().map(|(key, count)| CountEntry { key, count }).collect()
}
