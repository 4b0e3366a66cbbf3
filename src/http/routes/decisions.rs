//! Several answers in one call. Each is what it is by itself: it is taken or not, and repeated under the key of the call.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use ring::digest::{SHA256, digest};

use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::session::Session;
use crate::http::{SharedApi, idempotency, json};
use crate::service::ServiceError;
use crate::service::accounts::Approver as MayApprove;
use crate::service::drafts::approvals::Approver;
use crate::service::drafts::batch::{
    BatchDecision, BatchDecisionAnswer, BatchDecisionRequest, BatchOutcome, BatchProblem,
};
use crate::service::drafts::decisions::DecisionAnswer;
use crate::service::once::{Answered, CallKey};

/// Takes the answers of a person.
///
/// # Errors
/// As the contract says.
pub async fn decide_all(
    State(api): State<SharedApi>,
    session: Session<MayApprove>,
    (uri, headers): (Uri, HeaderMap),
    body: JsonBody,
) -> Result<Response, Problem> {
    let call = idempotency::needed(&headers, &uri, &body)?;
    let request = body.into_strict::<BatchDecisionRequest>(&api)?;
    let approver = Approver::of(&session.who, api.service.clock().now());
    let mut items = Vec::with_capacity(request.decisions.len());
    for (place, BatchDecision { approval_id, answer }) in request.decisions.into_iter().enumerate() {
        let decided = api.service.decide(&approval_id, answer, call_of(&call, place), &approver).await;
        let decided = decided.map_err(Problem::from).and_then(answer_of);
        let (answer, problem) = match decided {
            Ok(answer) => (Some(answer), None),
            Err(problem) => (None, Some(told(&problem))),
        };
        items.push(BatchOutcome { approval_id, answer, problem });
    }
    Ok(json(&BatchDecisionAnswer { items }))
}

/// The key of the answer at this place; no key that a caller chooses is met by it but by intent.
fn call_of(call: &CallKey, place: usize) -> CallKey {
    let whole = format!("{}\n{place}", call.key);
    let digest = digest(&SHA256, whole.as_bytes());
    let key: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    CallKey { key: format!("batch {key}"), fingerprint: call.fingerprint }
}

fn answer_of(answered: Answered<DecisionAnswer>) -> Result<DecisionAnswer, Problem> {
    match answered {
        Answered::Now(answer) => Ok(*answer),
        Answered::Before(body) => {
            serde_json::from_str(&body).map_err(|error| ServiceError::Internal(error.into()).into())
        }
    }
}

fn told(problem: &Problem) -> BatchProblem {
    let (status, code, detail) = problem.told();
    BatchProblem { status, code, detail }
}
