//! What apps report afterwards. It is recorded and counted; decisions do not learn from it yet, and the answer says so.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{Authenticated, StatusEvaluate};
use super::once::{self, Answered, CallKey};
use super::{Conflict, Fault, Service, ServiceError};
use crate::clock::Timestamp;
use crate::contract::request::OutcomeRequest;
use crate::ids::{EventId, OperationId, OutcomeId};
use crate::store::outcomes::{NewOutcome, OutcomeTarget};

/// Answer of integration-outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeAnswer {
    /// Id of what was recorded.
    pub outcome_id: String,
    /// The event it is about.
    pub event_id: String,
    /// The operation it is about, where one was named.
    pub operation_id: Option<String>,
    /// The word as it was recorded.
    pub outcome: String,
    /// What was recorded, in plain words.
    pub recorded: String,
    /// What later decisions learned from it. Empty: learning comes with a later version.
    pub learned: Vec<String>,
    /// Outcomes of the event, oldest first, this one last.
    pub history: Vec<OutcomeEntry>,
    /// What was read differently than it was written.
    pub warnings: Vec<String>,
}

/// One outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeEntry {
    /// The word.
    pub outcome: String,
    /// When it was recorded, RFC 3339.
    pub at: String,
}

/// The words of the contract.
pub const OUTCOMES: [&str; 10] =
    ["applied", "approved", "rejected", "advanced", "won", "lost", "spam", "override", "ignored", "failed"];

impl Service {
    /// Records what became of an event.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]; [`ServiceError::NotFound`] when the tenant has no such event, or the
    /// key does not see it; [`ServiceError::Conflict`]
    /// when several are named or the idempotency key was used for something else.
    pub async fn report_outcome(
        &self,
        request: OutcomeRequest,
        warnings: Vec<String>,
        call: Option<CallKey>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<Answered<OutcomeAnswer>, ServiceError> {
        caller.require_app(&request.app)?;
        let now = self.clock().now();
        let (outcome, occurred_at) = check(&request, now).map_err(ServiceError::Invalid)?;
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let app = tenant.app_by_name(&request.app).await?;
        let (target, operation) = self.target(&request, app.as_ref().map(|app| app.id), caller).await?;
        let new = NewOutcome {
            id: self.clock().mint::<OutcomeId>(),
            event: target.event,
            operation,
            app: app.map(|app| app.id),
            key: caller.principal().key_id(),
            outcome: outcome.to_owned(),
            applied_status: request.applied_status,
            note: request.note,
            value: request.value.map(|value| (value.amount, value.currency.to_ascii_uppercase())),
            workflow: request.workflow,
            agent: request.agent_id.or_else(|| caller.principal().bindings().agent.clone()),
            occurred_at,
        };
        let earlier = tenant.outcome_history(target.event).await?;
        let answer = answer_of(&new, earlier, warnings, now);
        let key = caller.principal().key_id();
        let call = call.map(|call| once::keyed(call, key, &answer)).transpose()?;
        once::answered(tenant.record_outcome(new, call).await?, answer)
    }

    async fn target(
        &self,
        request: &OutcomeRequest,
        app: Option<crate::ids::AppId>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<(OutcomeTarget, Option<OperationId>), ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let operation = request.operation_id.as_deref().map(str::parse::<OperationId>);
        let event = request.event_id.as_deref().map(str::parse::<EventId>);
        let named = match (&operation, &event) {
            // An id of another form names nothing here.
            (Some(Err(_)), _) | (None, Some(Err(_))) => Vec::new(),
            (Some(Ok(operation)), _) => tenant.target_of_operation(*operation).await?.into_iter().collect(),
            (None, Some(Ok(event))) => tenant.target_of_event(*event).await?.into_iter().collect(),
            (None, None) => {
                let system = request.source_system.as_deref().unwrap_or_default();
                let id = request.source_event_id.as_deref().unwrap_or_default();
                tenant.targets_of_source(system, id).await?
            }
        };
        // What the key does not see is gone before anything is said of it, also how many there are.
        let mut seen = Vec::new();
        for target in named {
            if self.is_seen(target, app, caller).await? {
                seen.push(target);
            }
        }
        let target = one_of(&seen, app)?.ok_or(ServiceError::NotFound("event"))?;
        if let Some(Ok(event)) = event
            && event != target.event
        {
            return Err(ServiceError::Invalid(vec![Fault::at("/eventId", "is not the event of `operationId`")]));
        }
        Ok((target, operation.and_then(Result::ok)))
    }

    /// A key that is bound to apps sees only their events, and one that is bound to mailboxes only those of its own.
    async fn is_seen(
        &self,
        target: OutcomeTarget,
        app: Option<crate::ids::AppId>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<bool, ServiceError> {
        let bindings = caller.principal().bindings();
        if !bindings.apps.is_empty() && (target.app.is_none() || target.app != app) {
            return Ok(false);
        }
        if bindings.mailboxes.is_empty() {
            return Ok(true);
        }
        let tenant = self.store.for_tenant(caller.principal().tenant());
        Ok(caller.may_speak_of(tenant.mailbox_of_event(target.event).await?.as_deref()))
    }
}

/// The one event that is meant: the reporting app's own, or the only one there is.
fn one_of(targets: &[OutcomeTarget], app: Option<crate::ids::AppId>) -> Result<Option<OutcomeTarget>, Conflict> {
    if let Some(own) = targets.iter().find(|target| app.is_some() && target.app == app) {
        return Ok(Some(*own));
    }
    match targets {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        _ => Err(Conflict::AmbiguousEvent),
    }
}

/// What a schema cannot say.
fn check(request: &OutcomeRequest, now: Timestamp) -> Result<(&'static str, Timestamp), Vec<Fault>> {
    let mut faults = Vec::new();
    let word = match request.outcome.as_str() {
        "overrode" | "overridden" => Some("override"),
        other => OUTCOMES.into_iter().find(|word| *word == other),
    };
    if word.is_none() {
        faults.push(Fault::at("/outcome", format!("must be one of {}", OUTCOMES.join(", "))));
    }
    let names_event = request.operation_id.is_some()
        || request.event_id.is_some()
        || (request.source_system.is_some() && request.source_event_id.is_some());
    if !names_event {
        faults.push(Fault::at("/eventId", "is required, or `operationId`, or `sourceSystem` with `sourceEventId`"));
    }
    let occurred_at = match request.occurred_at.as_deref() {
        None => Some(now),
        Some(text) => Timestamp::parse_rfc3339(text),
    };
    if occurred_at.is_none() {
        faults.push(Fault::at("/occurredAt", "must be a time as in RFC 3339, such as 2026-11-23T10:00:00Z"));
    }
    if let Some(value) = &request.value
        && !value.currency.bytes().all(|byte| byte.is_ascii_alphabetic())
    {
        faults.push(Fault::at("/value/currency", "must be three letters (ISO 4217)"));
    }
    match (word, occurred_at) {
        (Some(word), Some(occurred_at)) if faults.is_empty() => Ok((word, occurred_at)),
        _ => Err(faults),
    }
}

fn answer_of(
    new: &NewOutcome,
    earlier: Vec<(String, Timestamp)>,
    warnings: Vec<String>,
    now: Timestamp,
) -> OutcomeAnswer {
    let this = (new.outcome.clone(), now);
    let history = earlier.into_iter().chain([this]);
    let about = match &new.operation {
        Some(operation) => format!("operation {operation} of event {}", new.event),
        None => format!("event {}", new.event),
    };
    let status = match &new.applied_status {
        Some(status) => format!(", and that the record's status is now {:?}", crate::keys::redact(status)),
        None => String::new(),
    };
    OutcomeAnswer {
        outcome_id: new.id.to_string(),
        event_id: new.event.to_string(),
        operation_id: new.operation.map(|operation| operation.to_string()),
        outcome: new.outcome.clone(),
        recorded: format!(
            "Recorded `{}` for {about}{status}. It counts in insights; decisions do not learn from outcomes yet.",
            new.outcome
        ),
        learned: Vec::new(),
        history: history.map(|(outcome, at)| OutcomeEntry { outcome, at: at.to_string() }).collect(),
        warnings,
    }
}
