//! What became of a draft, recipient by recipient; and what people found out where nobody here knew.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::on_to;
use crate::service::accounts;
use crate::service::drafts::approvals::Approver;
use crate::service::drafts::settle::SettleRequest;
use crate::service::drafts::{DraftContent, TransmissionView};
use crate::ui::SharedUi;
use crate::ui::error::Refused;
use crate::ui::form::Form;
use crate::ui::page::{Asked, Page, render};
use crate::ui::visitor::Visitor;

#[derive(Template)]
#[template(path = "draft.html")]
struct DraftPage {
    page: Page,
    id: String,
    state: &'static str,
    content: Option<DraftContent>,
    /// When it was erased.
    erased: Option<String>,
    recipients: Vec<Recipient>,
    /// Whether somebody is to find something out.
    is_unknown: bool,
}

struct Recipient {
    address: String,
    state: &'static str,
    is_unknown: bool,
    attempts: u32,
    /// What the next hop said last, or why it was not reached.
    reply: Option<String>,
    came_back: bool,
}

impl From<TransmissionView> for Recipient {
    fn from(one: TransmissionView) -> Self {
        Self {
            state: match one.state.as_str() {
                "pending" => "not tried yet",
                "in_flight" => "being sent now",
                "accepted" => "taken by the recipient's server",
                "deferred" => "to be tried again",
                "rejected" => "not taken",
                _ => "nobody knows whether it was taken",
            },
            is_unknown: one.state == "unknown",
            address: one.recipient,
            attempts: one.attempts,
            reply: one.reply,
            came_back: one.returned_by.is_some(),
        }
    }
}

/// What was found out about a recipient.
#[derive(Deserialize)]
pub struct Found {
    recipient: String,
    /// `taken` or `not-taken`.
    found: String,
}

/// A draft, and what became of it.
pub async fn page(
    State(ui): State<SharedUi>,
    visitor: Visitor<accounts::Approver>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refused> {
    let approver = Approver::of(&visitor.who, ui.service.clock().now());
    let draft = ui.service.draft_for(&id, &approver).await?;
    let mut recipients: Vec<Recipient> = draft.transmissions.into_iter().map(Recipient::from).collect();
    // Of whom nothing stands here any more, nobody can say anything.
    recipients.iter_mut().for_each(|one| one.is_unknown &= draft.erased_at.is_none());
    let shown = DraftPage {
        page: visitor.page("What became of a draft").after(asked.done()),
        id: draft.id,
        state: words(&draft.state),
        content: draft.content,
        erased: draft.erased_at,
        is_unknown: recipients.iter().any(|one| one.is_unknown),
        recipients,
    };
    Ok(render(StatusCode::OK, &shown))
}

/// Takes what was found out.
pub async fn settle(
    State(ui): State<SharedUi>,
    Path(id): Path<String>,
    Form { visitor, fields }: Form<accounts::Approver, Found>,
) -> Result<Response, Refused> {
    let was_taken = match fields.found.as_str() {
        "taken" => true,
        "not-taken" => false,
        _ => return Err(Refused::Unreadable),
    };
    let request = SettleRequest { recipient: fields.recipient, was_taken };
    let approver = Approver::of(&visitor.who, ui.service.clock().now());
    let draft = ui.service.settle(&id, &request, &approver).await?;
    Ok(on_to(&format!("/drafts/{}?done=settled", draft.id)))
}

/// How far a draft has come, in words.
fn words(state: &str) -> &'static str {
    match state {
        "draft" => "It is being written.",
        "pending_approval" => "It waits for a person's answer.",
        "approved" => "It is approved, and not released yet.",
        "released" => "It is released, and waits to be sent.",
        "sending" => "It is on its way.",
        "sent" => "It was sent to everybody.",
        "partly_sent" => "It was sent to some, and not to others.",
        "bounced" => "It came back.",
        "failed" => "It was sent to nobody.",
        "unknown" => "Nobody knows of all recipients whether it was taken. It is not sent again by itself.",
        "handed_off" => "The source app was asked to send it.",
        "denied" => "A rule or a person said no.",
        "cancelled" | "withdrawn" => "It was taken back.",
        "expired" => "Its time was over.",
        _ => "It is in a state that this page does not know.",
    }
}
