//! Several answers in one call, each to a question of its own, listed one by one: there is no "all".

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decisions::{DecisionAnswer, DecisionRequest};

/// Answers of one person.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchDecisionRequest {
    /// Each of them.
    #[schema(max_items = 25)]
    pub decisions: Vec<BatchDecision>,
}

/// The answer to one question.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchDecision {
    /// The question.
    #[schema(min_length = 1, max_length = 40)]
    pub approval_id: String,
    /// The answer.
    pub answer: DecisionRequest,
}

/// What came of each, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchDecisionAnswer {
    /// Each of them: those behind one that was not taken are taken all the same.
    pub items: Vec<BatchOutcome>,
}

/// What came of one answer: one of `answer` and `problem` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchOutcome {
    /// The question.
    pub approval_id: String,
    /// As the call for this one alone answers.
    pub answer: Option<DecisionAnswer>,
    /// Why it was not taken.
    pub problem: Option<BatchProblem>,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchProblem {
    /// The HTTP status that the call for this one alone has.
    pub status: u16,
    /// Its code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}
