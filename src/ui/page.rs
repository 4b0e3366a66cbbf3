//! What all pages have: title, navigation, who is signed in, what was done, what is wrong.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use super::stylesheet;
use crate::clock::Timestamp;
use crate::service::accounts::{Role, SignedIn};

/// Pages in the navigation: path, name, and the role that opens it.
pub const NAVIGATION: &[(&str, &str, Role)] = &[
    ("/approvals", "Approvals", Role::Approver),
    ("/account", "Your account", Role::Viewer),
    ("/users", "Users", Role::Admin),
];

/// What the layout shows around a page's own content.
#[derive(Debug)]
pub struct Page {
    /// Its heading, and its title.
    pub title: &'static str,
    /// What was done just now.
    pub notice: Option<&'static str>,
    /// What is wrong with what was filled in.
    pub fault: Option<String>,
    /// Who looks at it.
    pub person: Option<Person>,
    /// For every form on it; empty where nobody is signed in.
    pub form_token: String,
    /// Address of the stylesheet.
    pub stylesheet: &'static str,
}

/// Who looks at a page, as it is shown.
#[derive(Debug)]
pub struct Person {
    /// Name, or address where there is none.
    pub name: String,
    /// Name of the tenant.
    pub organisation: String,
    /// Links that the role opens: path, name, whether it is this page.
    pub navigation: Vec<(&'static str, &'static str, bool)>,
}

impl Page {
    /// A page for whoever comes.
    #[must_use]
    pub fn open(title: &'static str) -> Self {
        Self {
            title,
            notice: None,
            fault: None,
            person: None,
            form_token: String::new(),
            stylesheet: stylesheet::address(),
        }
    }

    pub(super) fn of_person<R>(title: &'static str, who: &SignedIn<R>, form_token: String) -> Self {
        let opened = NAVIGATION.iter().filter(|(_, _, role)| who.role().allows(*role));
        let person = Person {
            name: if who.name().is_empty() { who.email() } else { who.name() }.to_owned(),
            organisation: who.tenant_name().to_owned(),
            navigation: opened.map(|&(path, name, _)| (path, name, name == title)).collect(),
        };
        Self { person: Some(person), form_token, ..Self::open(title) }
    }

    /// The same, which says what was done just now.
    #[must_use]
    pub fn after(self, done: Option<Done>) -> Self {
        Self { notice: done.map(Done::words), ..self }
    }

    /// The same, which says what is wrong.
    #[must_use]
    pub fn with_fault(self, fault: String) -> Self {
        Self { fault: Some(fault), ..self }
    }
}

/// What was done before the browser was sent to a page: words of ours alone, so that no address puts others there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// Signed out.
    SignedOut,
    /// A password was set by a link.
    PasswordSet,
    /// The password was changed.
    PasswordChanged,
    /// A session ended.
    SessionEnded,
    /// All other sessions ended.
    OthersEnded,
    /// Mail was turned on or off.
    NoticesChanged,
    /// A role was changed.
    RoleChanged,
    /// An account was disabled.
    Disabled,
    /// An account was enabled.
    Enabled,
    /// An invitation was taken back.
    Withdrawn,
    /// The account was linked to a sign-in elsewhere.
    Linked,
    /// A draft was approved, and released.
    Released,
    /// A draft was approved, and goes on by itself.
    Held,
    /// A draft was approved, and waits.
    Approved,
    /// A draft was rejected.
    Rejected,
    /// A question was put off.
    Deferred,
    /// Somebody said whether a message was taken.
    Settled,
}

impl Done {
    const fn words(self) -> &'static str {
        match self {
            Self::SignedOut => "You are signed out.",
            Self::PasswordSet => "Your password is set. Sign in with it.",
            Self::PasswordChanged => "Your password is changed, and you are signed out everywhere else.",
            Self::SessionEnded => "The session has ended.",
            Self::OthersEnded => "You are signed out everywhere else.",
            Self::NoticesChanged => "What mail you get is changed.",
            Self::RoleChanged => "The role is changed.",
            Self::Disabled => "The account is disabled, and its sessions have ended.",
            Self::Enabled => "The account is enabled.",
            Self::Withdrawn => "The invitation is taken back.",
            Self::Linked => "Your account is linked: you can sign in that way from now on.",
            Self::Released => "The draft is approved and released: it is being sent.",
            Self::Held => "The draft is approved. A pause or a quota holds it: it goes on by itself when that ends.",
            Self::Approved => {
                "The draft is approved. It is not released yet: the gate holds it, or whoever asked wants to release it later."
            }
            Self::Rejected => "The draft is rejected.",
            Self::Settled => "What you found out is on record.",
            Self::Deferred => "The question is put off. It can be answered all the same.",
        }
    }
}

/// `?done=` and `?next=` of a page's address; what is not known is left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    done: Option<String>,
    next: Option<String>,
}

impl Asked {
    /// What was done before.
    #[must_use]
    pub fn done(&self) -> Option<Done> {
        serde_json::from_value(serde_json::Value::String(self.done.clone()?)).ok()
    }

    /// Where to go on.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        own_path(self.next.as_deref()?)
    }
}

/// A path of this gateway: a link must not lead a person who signs in to a page of others.
#[must_use]
pub fn own_path(text: &str) -> Option<&str> {
    let is_own = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= 512
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_own.then_some(text)
}

/// A time on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// For programs.
    pub exact: String,
    /// For people: to the minute, in UTC.
    pub shown: String,
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        let exact = time.to_string();
        let shown = exact.get(..16).map_or_else(|| exact.clone(), |minute| format!("{} UTC", minute.replace('T', " ")));
        Self { exact, shown }
    }
}

/// A page as a reply.
pub fn render(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(error.kind = "template", temporary = false, "A page could not be written: {error}");
            let plain = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
            (StatusCode::INTERNAL_SERVER_ERROR, plain, "The fault is on this side, and was logged.").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_nobody_away() {
        for own in ["/", "/users", "/approvals?state=open&x=%20"] {
            assert_eq!(own_path(own), Some(own));
        }
        let long = format!("/{}", "x".repeat(600));
        for other in [
            "",
            "users",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a b",
            "/\u{e4}",
            "/a\r\nb",
            &long,
        ] {
            assert_eq!(own_path(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        let moment = Moment::from(Timestamp::parse_rfc3339("2026-11-23T10:07:59.5Z").unwrap());
        assert_eq!(
            (moment.exact.as_str(), moment.shown.as_str()),
            ("2026-11-23T10:07:59.500Z", "2026-11-23 10:07 UTC")
        );
    }
}
