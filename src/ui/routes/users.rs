//! The accounts of a tenant, for its admins.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::on_to;
use crate::ids::{InvitationId, UserId};
use crate::service::accounts::{Admin, Link, Role, UserState};
use crate::ui::SharedUi;
use crate::ui::error::{Refused, beside_form};
use crate::ui::form::Form;
use crate::ui::page::{Asked, Moment, Page, render};
use crate::ui::visitor::Visitor;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    page: Page,
    /// Whether the password was given not long ago; without it nothing can be changed.
    is_confirmed: bool,
    users: Vec<User>,
    invitations: Vec<Invitation>,
    /// Roles that this admin may give.
    roles: Vec<&'static str>,
    email: String,
    /// A link that was made just now, for whom, and until when it can be used.
    link: Option<(String, String, Moment)>,
}

struct User {
    id: UserId,
    email: String,
    name: String,
    role: &'static str,
    is_active: bool,
    /// Whether this admin may change it.
    is_managed: bool,
    is_self: bool,
    last_signed_in: Option<Moment>,
}

struct Invitation {
    id: InvitationId,
    email: String,
    role: &'static str,
    is_reset: bool,
    is_managed: bool,
    expires: Moment,
}

/// Fields of an invitation.
#[derive(Deserialize)]
pub struct Invite {
    email: String,
    role: Role,
}

/// Which invitation.
#[derive(Deserialize)]
pub struct Withdraw {
    invitation: InvitationId,
}

/// Whose role.
#[derive(Deserialize)]
pub struct SetRole {
    user: UserId,
    role: Role,
}

/// Whose account.
#[derive(Deserialize)]
pub struct One {
    user: UserId,
}

const USERS: &str = "Users";

/// The page.
pub async fn page(
    State(ui): State<SharedUi>,
    visitor: Visitor<Admin>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refused> {
    let page = visitor.page(USERS).after(asked.done());
    show(&ui, &visitor, page, (StatusCode::OK, String::new(), None)).await
}

async fn show(
    ui: &SharedUi,
    visitor: &Visitor<Admin>,
    page: Page,
    (status, email, link): (StatusCode, String, Option<Link>),
) -> Result<Response, Refused> {
    let who = &visitor.who;
    let (users, invitations) = ui.service.people(who).await?;
    let users = users.into_iter().map(|row| User {
        is_self: row.id == who.user(),
        is_managed: who.role().may_manage(row.role),
        id: row.id,
        email: row.email,
        name: row.name,
        role: row.role.as_str(),
        is_active: row.state == UserState::Active,
        last_signed_in: row.last_signed_in_at.map(Moment::from),
    });
    let invitations = invitations.into_iter().map(|row| Invitation {
        id: row.id,
        email: row.email,
        role: row.role.as_str(),
        is_reset: row.user.is_some(),
        is_managed: who.role().may_manage(row.role),
        expires: row.expires_at.into(),
    });
    let shown = UsersPage {
        page,
        is_confirmed: who.is_stepped_up(ui.service.clock().now()),
        users: users.collect(),
        invitations: invitations.collect(),
        roles: Role::ALL.into_iter().filter(|role| who.role().may_manage(*role)).map(Role::as_str).collect(),
        email,
        link: link.map(|link| (link.email, link.url, link.expires_at.into())),
    };
    Ok(render(status, &shown))
}

/// Makes an invitation. Its link is shown once: the browser is not sent on, for the link may stand in no address.
pub async fn invite(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Admin, Invite>,
) -> Result<Response, Refused> {
    match ui.service.invite(&visitor.who, &fields.email, fields.role).await {
        Ok(link) => {
            let page = visitor.page(USERS);
            show(&ui, &visitor, page, (StatusCode::CREATED, String::new(), Some(link))).await
        }
        Err(error) => {
            let Some((status, fault)) = beside_form(&error) else { return Err(error.into()) };
            let page = visitor.page(USERS).with_fault(fault);
            show(&ui, &visitor, page, (status, fields.email, None)).await
        }
    }
}

/// Takes an invitation back.
pub async fn withdraw(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Admin, Withdraw>,
) -> Result<Response, Refused> {
    ui.service.withdraw_invitation(&visitor.who, fields.invitation).await?;
    Ok(on_to("/users?done=withdrawn"))
}

/// Gives an account another role.
pub async fn set_role(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Admin, SetRole>,
) -> Result<Response, Refused> {
    ui.service.set_role(&visitor.who, fields.user, fields.role).await?;
    Ok(on_to("/users?done=role-changed"))
}

/// Disables an account.
pub async fn disable(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Admin, One>,
) -> Result<Response, Refused> {
    ui.service.disable(&visitor.who, fields.user).await?;
    Ok(on_to("/users?done=disabled"))
}

/// Enables an account.
pub async fn enable(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Admin, One>,
) -> Result<Response, Refused> {
    ui.service.enable(&visitor.who, fields.user).await?;
    Ok(on_to("/users?done=enabled"))
}
