//! People: how they sign in, their accounts, and what they decide. The pages do the same by the same functions.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::json as value;

use crate::browser::cookie;
use crate::http::body::{JsonBody, OptionalJsonBody};
use crate::http::error::Problem;
use crate::http::idempotency;
use crate::http::session::{Session, UserToken, from_here};
use crate::http::{Peer, SharedApi, json};
use crate::ids::{InvitationId, SignInId, UserId};
use crate::service::accounts::{
    AccountError, Admin, Approver as MayApprove, Attempt, InvitePage, InviteRequest, InviteView, LinkView,
    LoginRequest, Password, PersonView, Role, SessionPage, SessionView, SignedInView, StepUpRequest, UserChange,
    UserPage, UserView, Viewer,
};
use crate::service::drafts::approvals::Approver;
use crate::service::drafts::decisions::DecisionRequest;
use crate::service::issuers::IssuerRequest;

/// Signs in.
///
/// # Errors
/// As the contract says.
pub async fn login(
    State(api): State<SharedApi>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    from_here(&api, &headers)?;
    let request = body?.into_strict::<LoginRequest>(&api)?;
    let attempt = Attempt {
        organisation: request.organisation.as_deref().unwrap_or_default(),
        email: &request.email,
        password: Password::given(&request.password),
        browser: cookie::browser(&headers),
        peer: peer.0,
        user_agent: headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()),
    };
    let begun = api.service.sign_in(attempt).await?;
    // Whoever was signed in at this browser before is not any more.
    if let Some(token) = cookie::session(&headers)
        && let Ok(before) = api.service.signed_in(&token).await
    {
        api.service.sign_out(&before).await?;
    }
    let who = api.service.signed_in(&begun.token).await?;
    let mut reply = json(&SignedInView::of(&who, &begun.token, api.service.clock().now()));
    keep(&mut reply, cookie::set_session(&begun.token));
    keep(&mut reply, cookie::set_browser(&begun.browser));
    Ok(reply)
}

/// Where it is from is looked at before what is in it.
type Body = Result<JsonBody, Problem>;

fn keep(reply: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        reply.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Signs out.
///
/// # Errors
/// As the contract says.
pub async fn logout(State(api): State<SharedApi>, session: Session<Viewer>) -> Result<Response, Problem> {
    api.service.sign_out(&session.who).await?;
    let mut reply = json(&value!({}));
    keep(&mut reply, cookie::forget_session());
    Ok(reply)
}

/// Takes the password again.
///
/// # Errors
/// As the contract says.
pub async fn step_up(
    State(api): State<SharedApi>,
    session: Session<Viewer>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<StepUpRequest>(&api)?;
    let token = api.service.step_up(&session.who, Password::given(&request.password)).await?;
    let who = api.service.signed_in(&token).await?;
    let mut reply = json(&SignedInView::of(&who, &token, api.service.clock().now()));
    keep(&mut reply, cookie::set_session(&token));
    Ok(reply)
}

/// Where the person is signed in.
///
/// # Errors
/// As the contract says.
pub async fn sessions(State(api): State<SharedApi>, session: Session<Viewer>) -> Result<Response, Problem> {
    let who = &session.who;
    let rows = api.service.sign_ins(who).await?;
    Ok(json(&SessionPage {
        user: PersonView::of(who),
        csrf_token: session.token.form_token(),
        stepped_up: who.is_stepped_up(api.service.clock().now()),
        items: rows.into_iter().map(|row| SessionView::of(row, who.sign_in())).collect(),
    }))
}

/// Ends a session of the person.
///
/// # Errors
/// As the contract says.
pub async fn end_session(
    State(api): State<SharedApi>,
    session: Session<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: SignInId = id.parse().map_err(|_| AccountError::NotFound("session"))?;
    api.service.end_sign_in(&session.who, id).await?;
    Ok(json(&value!({})))
}

/// The accounts of the tenant.
///
/// # Errors
/// As the contract says.
pub async fn users(State(api): State<SharedApi>, session: Session<Admin>) -> Result<Response, Problem> {
    let (users, _) = api.service.people(&session.who).await?;
    Ok(json(&UserPage { items: users.into_iter().map(UserView::from).collect() }))
}

/// Invitations that were not used yet.
///
/// # Errors
/// As the contract says.
pub async fn invites(State(api): State<SharedApi>, session: Session<Admin>) -> Result<Response, Problem> {
    let (_, invitations) = api.service.people(&session.who).await?;
    Ok(json(&InvitePage { items: invitations.into_iter().map(InviteView::from).collect() }))
}

/// Makes an invitation.
///
/// # Errors
/// As the contract says.
pub async fn invite(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<InviteRequest>(&api)?;
    let link = api.service.invite(&session.who, &request.email, role(&request.role)?).await?;
    let mut reply = json(&LinkView::from(link));
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

/// Takes an invitation back.
///
/// # Errors
/// As the contract says.
pub async fn withdraw_invite(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: InvitationId = id.parse().map_err(|_| AccountError::NotFound("invitation"))?;
    api.service.withdraw_invitation(&session.who, id).await?;
    Ok(json(&value!({})))
}

/// Changes an account.
///
/// # Errors
/// As the contract says.
pub async fn change_user(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<UserChange>(&api)?;
    let id: UserId = id.parse().map_err(|_| AccountError::NotFound("user"))?;
    let role = request.role.as_deref().map(role).transpose()?;
    let who = &session.who;
    match request.state.as_deref() {
        None => {}
        Some("active") => api.service.enable(who, id).await?,
        Some("disabled") => api.service.disable(who, id).await?,
        Some(_) => return Err(AccountError::Invalid { field: "state", message: "must be active or disabled" }.into()),
    }
    if let Some(role) = role {
        api.service.set_role(who, id, role).await?;
    }
    let (users, _) = api.service.people(who).await?;
    let user = users.into_iter().find(|user| user.id == id).ok_or(AccountError::NotFound("user"))?;
    Ok(json(&UserView::from(user)))
}

fn role(word: &str) -> Result<Role, AccountError> {
    let message = "must be viewer, agent, approver, admin or owner";
    Role::parse(word).ok_or(AccountError::Invalid { field: "role", message })
}

/// Takes an answer.
///
/// # Errors
/// As the contract says.
pub async fn decide(
    State(api): State<SharedApi>,
    token: Option<Extension<UserToken>>,
    session: Result<Session<MayApprove>, Problem>,
    Path(id): Path<String>,
    (uri, headers): (Uri, HeaderMap),
    body: Body,
) -> Result<Response, Problem> {
    let asked = |body: Body| {
        let body = body?;
        let call = idempotency::needed(&headers, &uri, &body)?;
        Ok::<_, Problem>((body.into_strict::<DecisionRequest>(&api)?, call))
    };
    let answered = match token {
        Some(Extension(UserToken(token))) => {
            let (request, call) = asked(body)?;
            api.service.decide_by_token(&id, request, call, &token).await?
        }
        None => {
            let approver = Approver::of(&session?.who, api.service.clock().now());
            let (request, call) = asked(body)?;
            api.service.decide(&id, request, call, &approver).await?
        }
    };
    Ok(idempotency::reply(answered))
}

/// Issuers whose users may decide.
///
/// # Errors
/// As the contract says.
pub async fn issuers(State(api): State<SharedApi>, session: Session<Admin>) -> Result<Response, Problem> {
    Ok(json(&api.service.issuers(&session.who).await?))
}

/// Registers one.
///
/// # Errors
/// As the contract says.
pub async fn register_issuer(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<IssuerRequest>(&api)?;
    let mut reply = json(&api.service.register_issuer(request, &session.who).await?);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

/// Believes one no more.
///
/// # Errors
/// As the contract says.
pub async fn remove_issuer(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    api.service.remove_issuer(&id, &session.who).await?;
    Ok(json(&value!({})))
}
