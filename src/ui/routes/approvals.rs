//! What people are asked: the queue, one question with all that is to be seen before answering, and the answers.
//!
//! A GET shows, and never answers. An answer is to the content hash that the page had; with another by now it does nothing.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::on_to;
use crate::clock::Timestamp;
use crate::service::accounts;
use crate::service::drafts::approvals::{Answer, Approver, ContentHash, Question};
use crate::ui::SharedUi;
use crate::ui::error::Refused;
use crate::ui::form::Form;
use crate::ui::page::{Asked, Moment, Page, render};
use crate::ui::visitor::Visitor;

#[derive(Template)]
#[template(path = "approvals.html")]
struct QueuePage {
    page: Page,
    questions: Vec<Waiting>,
    next_after: Option<String>,
}

struct Waiting {
    id: String,
    reasons: Vec<String>,
    asked: Option<Moment>,
    expires: Option<Moment>,
    escalated: Option<Moment>,
    /// Until when somebody put it off.
    deferred: Option<Moment>,
}

#[derive(Template)]
#[template(path = "approval.html")]
struct QuestionPage {
    page: Page,
    question: Question,
    /// Who owns the identity, in words.
    owner: &'static str,
    /// Until when an answer is waited for.
    expires: Option<Moment>,
    /// When it went to the next role up.
    escalated: Option<Moment>,
    /// Until when somebody put it off.
    deferred: Option<Moment>,
    /// Whether an answer can be given.
    is_open: bool,
    /// Whether a yes would not count before the password was given again.
    needs_step_up: bool,
    /// Whether a rule denies it, whatever a person says.
    is_denied: bool,
    reject_reasons: &'static [(&'static str, &'static str)],
    put_off: &'static [(u64, &'static str)],
}

/// Reasons of a no, and in words; a test holds them against those that the service takes.
const REASONS: [(&str, &str); 5] = [
    ("wrong_recipient", "wrong recipient"),
    ("wrong_content", "the content is wrong"),
    ("not_needed", "not needed"),
    ("tone", "the tone is wrong"),
    ("other", "another reason"),
];

/// For how many hours a question can be put off, and in words.
const PUT_OFF: [(u64, &str); 4] = [(1, "an hour"), (4, "four hours"), (24, "a day"), (72, "three days")];

/// Where the queue goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Behind {
    after: Option<String>,
}

/// A yes.
#[derive(Deserialize)]
pub struct Yes {
    content_hash: String,
    /// Codes of the holds that the page showed, separated by spaces.
    shown: String,
}

/// A no.
#[derive(Deserialize)]
pub struct No {
    content_hash: String,
    reason: String,
    note: String,
}

/// Not now.
#[derive(Deserialize)]
pub struct NotNow {
    content_hash: String,
    /// One of [`PUT_OFF`]: beside the token of the form it is read as text alone.
    hours: String,
}

/// The questions that wait.
pub async fn queue(
    State(ui): State<SharedUi>,
    visitor: Visitor<accounts::Approver>,
    Query(asked): Query<Asked>,
    Query(behind): Query<Behind>,
) -> Result<Response, Refused> {
    let now = ui.service.clock().now();
    let approver = Approver::of(&visitor.who, now);
    let waiting = ui.service.questions_for(&approver, behind.after.as_deref()).await?;
    let questions = waiting.items.into_iter().filter(|one| one.draft_id.is_some() && one.content_hash.is_some());
    let questions = questions.map(|one| Waiting {
        asked: moment(&one.created_at),
        expires: one.expires_at.as_deref().and_then(moment),
        escalated: one.escalated_at.as_deref().and_then(moment),
        deferred: put_off(one.deferred_until.as_deref(), now),
        id: one.id,
        reasons: one.reasons,
    });
    let mut questions: Vec<Waiting> = questions.collect();
    // Behind those that are to be answered now.
    questions.sort_by_key(|one| one.deferred.is_some());
    let page = visitor.page("Approvals").after(asked.done());
    Ok(render(StatusCode::OK, &QueuePage { page, questions, next_after: waiting.next_after }))
}

/// One question, with the whole draft.
pub async fn page(
    State(ui): State<SharedUi>,
    visitor: Visitor<accounts::Approver>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let now = ui.service.clock().now();
    let question = ui.service.question_for(&id, &Approver::of(&visitor.who, now)).await?;
    let owner = match question.draft.identity_owner.as_str() {
        "connex" => "this gateway, as one of its own mailboxes",
        "customer_domain" => "your organisation, as its own domain",
        _ => "the source app, which sends it itself",
    };
    let is_risky = question.verdict.reasons.iter().any(|one| one.code == "risk_high");
    let shown = QuestionPage {
        page: visitor.page("Approve a draft"),
        owner,
        expires: question.approval.expires_at.as_deref().and_then(moment),
        escalated: question.approval.escalated_at.as_deref().and_then(moment),
        deferred: put_off(question.approval.deferred_until.as_deref(), now),
        is_open: question.approval.state == "pending",
        needs_step_up: is_risky && !visitor.who.is_stepped_up(now),
        is_denied: question.verdict.verdict == "deny",
        question,
        reject_reasons: &REASONS,
        put_off: &PUT_OFF,
    };
    Ok(render(StatusCode::OK, &shown))
}

/// Says yes.
pub async fn approve(
    State(ui): State<SharedUi>,
    Path(id): Path<String>,
    Form { visitor, fields }: Form<accounts::Approver, Yes>,
) -> Result<Response, Refused> {
    let shown = fields.shown.split_whitespace().map(str::to_owned).collect();
    let hash = hash(&fields.content_hash)?;
    let approver = Approver::of(&visitor.who, ui.service.clock().now());
    let answer = ui.service.answer(&id, hash, Answer::Approve { shown }, &approver).await?;
    let to = match answer {
        Some(answer) if answer.release_id.is_some() => "/approvals?done=released",
        // Only time holds it: else people would be asked again.
        Some(answer) if answer.verdict.verdict == "hold" && answer.approval_id.is_none() => "/approvals?done=held",
        _ => "/approvals?done=approved",
    };
    Ok(on_to(to))
}

/// Says no.
pub async fn reject(
    State(ui): State<SharedUi>,
    Path(id): Path<String>,
    Form { visitor, fields }: Form<accounts::Approver, No>,
) -> Result<Response, Refused> {
    let note = Some(fields.note).filter(|note| !note.trim().is_empty());
    let answer = Answer::Reject { reason: fields.reason, note };
    let approver = Approver::of(&visitor.who, ui.service.clock().now());
    ui.service.answer(&id, hash(&fields.content_hash)?, answer, &approver).await?;
    Ok(on_to("/approvals?done=rejected"))
}

/// Says that it is not the time for an answer.
pub async fn defer(
    State(ui): State<SharedUi>,
    Path(id): Path<String>,
    Form { visitor, fields }: Form<accounts::Approver, NotNow>,
) -> Result<Response, Refused> {
    let known = PUT_OFF.iter().find(|(hours, _)| hours.to_string() == fields.hours);
    let (hours, _) = known.ok_or(Refused::Unreadable)?;
    let now = ui.service.clock().now();
    let until = now.plus(Duration::from_hours(*hours));
    ui.service.defer(&id, hash(&fields.content_hash)?, until, &Approver::of(&visitor.who, now)).await?;
    Ok(on_to("/approvals?done=deferred"))
}

/// Until when a question is put off, where that is still to come.
fn put_off(until: Option<&str>, now: Timestamp) -> Option<Moment> {
    until.and_then(Timestamp::parse_rfc3339).filter(|until| *until > now).map(Moment::from)
}

fn moment(text: &str) -> Option<Moment> {
    Timestamp::parse_rfc3339(text).map(Moment::from)
}

fn hash(text: &str) -> Result<ContentHash, Refused> {
    text.parse().map_err(|_| Refused::Unreadable)
}

impl QuestionPage {
    /// Codes of the holds that the page shows.
    fn shown(&self) -> String {
        let codes = self.question.verdict.reasons.iter().map(|one| one.code.as_str());
        codes.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::REASONS;
    use crate::service::drafts::approvals::REJECT_REASONS;

    #[test]
    fn the_page_offers_the_reasons_that_are_taken() {
        assert_eq!(REASONS.map(|(reason, _)| reason), REJECT_REASONS);
    }
}
