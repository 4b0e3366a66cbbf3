//! The cookies of browsers (RFC 6265): what they are called, and how they are read and set.
//!
//! # Security
//! `__Host-` lets a browser take the cookie only from this very host, by a secure connection and for all its paths: no other
//! host of the domain can set one. No script reads it, and requests from other sites carry it only where a person follows a
//! link. Browsers take `Secure` cookies over plain HTTP from `localhost` and loopback alone (Safari from nowhere).

use ::http::{HeaderMap, HeaderValue, header};

use crate::service::accounts::{ABSOLUTE, ELSEWHERE, SESSION_COOKIE, Secret};

/// What a browser shows from which a person signed in before.
const BROWSER_COOKIE: &str = "__Host-connex_browser";
/// For how long: half a year.
const BROWSER_AGE: u64 = 180 * 86_400;

/// The token of the session, where the request has one.
#[must_use]
pub fn session(headers: &HeaderMap) -> Option<Secret> {
    Secret::parse(value(headers, SESSION_COOKIE)?)
}

/// What the browser was given when a person signed in.
#[must_use]
pub fn browser(headers: &HeaderMap) -> Option<&str> {
    value(headers, BROWSER_COOKIE)
}

/// Gives the browser the token of a session.
#[must_use]
pub fn set_session(token: &Secret) -> Option<HeaderValue> {
    set(SESSION_COOKIE, &token.reveal(), ABSOLUTE.as_secs())
}

/// Takes the token away.
#[must_use]
pub fn forget_session() -> Option<HeaderValue> {
    set(SESSION_COOKIE, "", 0)
}

/// Lets the browser be known again.
#[must_use]
pub fn set_browser(value: &str) -> Option<HeaderValue> {
    set(BROWSER_COOKIE, value, BROWSER_AGE)
}

/// What a browser keeps while its person signs in elsewhere.
const ELSEWHERE_COOKIE: &str = "__Host-connex_oidc";

/// What the browser was given when its person went to sign in elsewhere.
#[must_use]
pub fn elsewhere(headers: &HeaderMap) -> Option<&str> {
    value(headers, ELSEWHERE_COOKIE)
}

/// Lets the browser be known when its person comes back.
#[must_use]
pub fn set_elsewhere(value: &str) -> Option<HeaderValue> {
    set(ELSEWHERE_COOKIE, value, ELSEWHERE.as_secs())
}

/// Takes that away.
#[must_use]
pub fn forget_elsewhere() -> Option<HeaderValue> {
    set(ELSEWHERE_COOKIE, "", 0)
}

fn set(name: &str, value: &str, age: u64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Max-Age={age}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

/// RFC 6265 §4.2.1: pairs with semicolons between.
fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_among_other_cookies() {
        let secret = Secret::new();
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_str(text).unwrap());
            session(&headers)
        };
        let told = secret.reveal();
        assert_eq!(read(&format!("a=b; __Host-connex_session={told}; c")), Some(secret));
        for wrong in ["", "connex_session=x", "__Host-connex_session=", &format!("x__Host-connex_session={told}")] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
