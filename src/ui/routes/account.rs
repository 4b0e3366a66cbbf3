//! A person's own account: who they are, their password, and where they are signed in.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::elsewhere::{Button, buttons};
use super::on_to;
use super::sign_in::{Nothing, again, keep};
use crate::ids::SignInId;
use crate::service::accounts::elsewhere::Errand;
use crate::service::accounts::{LEAST_CHARACTERS, Password, Viewer};
use crate::ui::error::Refused;
use crate::ui::form::Form;
use crate::ui::page::{Asked, Moment, Page, render};
use crate::ui::visitor::Visitor;
use crate::ui::{SharedUi, cookie};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    name: String,
    email: String,
    organisation: String,
    role: &'static str,
    sessions: Vec<Session>,
    /// Whether there is mail when drafts wait; `None` for who is asked about none.
    notices: Option<bool>,
    least: usize,
    buttons: Vec<Button>,
}

struct Session {
    id: SignInId,
    is_here: bool,
    browser: String,
    address: String,
    made: Moment,
    used: Moment,
}

/// Fields of a new password.
#[derive(Deserialize)]
pub struct NewPassword {
    present: String,
    password: String,
}

/// Which mail a person wants.
#[derive(Deserialize)]
pub struct Notices {
    approvals: Wanted,
}

/// Whether something is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Which session is to end.
#[derive(Deserialize)]
pub struct End {
    session: SignInId,
}

/// The page.
pub async fn page(
    State(ui): State<SharedUi>,
    visitor: Visitor<Viewer>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refused> {
    let page = visitor.page(ACCOUNT).after(asked.done());
    show(&ui, &visitor, page, StatusCode::OK).await
}

const ACCOUNT: &str = "Your account";

async fn show(ui: &SharedUi, visitor: &Visitor<Viewer>, page: Page, status: StatusCode) -> Result<Response, Refused> {
    let who = &visitor.who;
    let rows = ui.service.sign_ins(who).await?;
    let sessions = rows.into_iter().map(|row| Session {
        is_here: row.id == who.sign_in(),
        id: row.id,
        browser: row.user_agent.unwrap_or_default(),
        address: row.address.unwrap_or_default(),
        made: row.created_at.into(),
        used: row.last_used_at.into(),
    });
    let account = AccountPage {
        page,
        name: who.name().to_owned(),
        email: who.email().to_owned(),
        organisation: who.tenant_name().to_owned(),
        role: who.role().as_str(),
        sessions: sessions.collect(),
        notices: ui.service.approval_notices(who).await?,
        least: LEAST_CHARACTERS,
        buttons: buttons(ui, "", Errand::Link),
    };
    Ok(render(status, &account))
}

/// Changes the password.
pub async fn change_password(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Viewer, NewPassword>,
) -> Result<Response, Refused> {
    match ui.service.change_password(&visitor.who, Password::given(&fields.present), &fields.password).await {
        Ok(token) => {
            let mut reply = on_to("/account?done=password-changed");
            keep(&mut reply, cookie::set_session(&token));
            Ok(reply)
        }
        Err(error) => {
            let Some((status, fault)) = again(&error) else { return Err(error.into()) };
            let page = visitor.page(ACCOUNT).with_fault(fault);
            show(&ui, &visitor, page, status).await
        }
    }
}

/// Turns mail on or off.
pub async fn notices(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Viewer, Notices>,
) -> Result<Response, Refused> {
    ui.service.set_approval_notices(&visitor.who, fields.approvals == Wanted::On).await?;
    Ok(on_to("/account?done=notices-changed"))
}

/// Ends a session.
pub async fn end(State(ui): State<SharedUi>, Form { visitor, fields }: Form<Viewer, End>) -> Result<Response, Refused> {
    ui.service.end_sign_in(&visitor.who, fields.session).await?;
    Ok(on_to("/account?done=session-ended"))
}

/// Ends all sessions but this one.
pub async fn end_others(
    State(ui): State<SharedUi>,
    Form { visitor, .. }: Form<Viewer, Nothing>,
) -> Result<Response, Refused> {
    ui.service.end_other_sign_ins(&visitor.who).await?;
    Ok(on_to("/account?done=others-ended"))
}
