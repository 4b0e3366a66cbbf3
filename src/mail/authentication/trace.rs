//! The trace of a message's way to us, as header text: Return-Path, Received, Authentication-Results.
//!
//! It is kept beside the bytes, never in them: they stay as they were received, and a signature over them stays whole.
//! Nothing in it can break a line, and no recipient is named: a route address is a secret.
//!
//! Standards: RFC 5321 §4.4 (Return-Path, Received), RFC 3848 (protocol names), RFC 8601 §2.2 (Authentication-Results).

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Authentication, Identity, Method, MethodResult, TOKEN};
use crate::mail::envelope::{Door, Manifest};

/// Header text that a mail server would have put on top of the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// Return-Path, without the field name.
    pub return_path: String,
    /// Received, without the field name.
    pub received: String,
    /// Authentication-Results, without the field name; null where nothing was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_results: Option<String>,
}

impl Trace {
    /// What a server called `hostname` would have put on top of the message of `manifest`.
    #[must_use]
    pub fn of(manifest: &Manifest, hostname: &str, authentication: &Authentication) -> Self {
        let client = manifest.client().address;
        let results = authentication.checked.then(|| authentication_results(hostname, client, authentication));
        Self {
            return_path: format!("<{}>", manifest.envelope.reverse_path),
            received: received(manifest, hostname),
            authentication_results: results,
        }
    }
}

/// RFC 5321 §4.4, without a `for` clause.
fn received(manifest: &Manifest, hostname: &str) -> String {
    let origin = &manifest.origin;
    let helo: String = origin.helo.chars().filter(|letter| is_helo(*letter)).take(TOKEN).collect();
    let helo = if helo.is_empty() { "unknown" } else { &helo };
    let peer = match origin.peer {
        Some(IpAddr::V4(address)) => format!(" ([{address}])"),
        Some(IpAddr::V6(address)) => format!(" ([IPv6:{address}])"),
        None => String::new(),
    };
    // RFC 3848 §2
    let secured = if origin.tls.is_some() { "S" } else { "" };
    let with = match origin.door {
        Door::Smtp | Door::Smtps | Door::Milter if manifest.envelope.smtputf8 => format!("UTF8SMTP{secured}"),
        Door::Smtp | Door::Smtps | Door::Milter | Door::Submission | Door::Submissions => format!("ESMTP{secured}"),
        Door::Lmtp | Door::Inject | Door::Import => format!("LMTP{secured}"),
        Door::Http => format!("HTTP{secured}"),
    };
    let (id, date) = (manifest.id, manifest.received_at.to_rfc5322());
    format!("from {helo}{peer}\r\n\tby {hostname} with {with} id {id};\r\n\t{date}")
}

/// What a host name or address literal may hold; the peer may have written anything.
const fn is_helo(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':' | '[' | ']')
}

/// The value of an Authentication-Results field that `authserv_id` writes; `peer` is the address that was judged.
#[must_use]
pub fn authentication_results(authserv_id: &str, peer: Option<IpAddr>, authentication: &Authentication) -> String {
    let mut text = authserv_id.to_owned();
    if authentication.results.is_empty() {
        text.push_str("; none");
    }
    for result in &authentication.results {
        text.push_str(";\r\n\t");
        one(&mut text, peer, result);
    }
    text
}

fn one(text: &mut String, peer: Option<IpAddr>, result: &MethodResult) {
    let _ = write!(text, "{}={}", result.method.as_str(), result.result.as_str());
    if let Some(reason) = &result.reason {
        // RFC 8601 §2.2: reasonspec; our reasons hold no quote, and what could break out is left out all the same.
        let plain: String =
            reason.chars().filter(|letter| matches!(letter, ' '..='~') && !"\"\\".contains(*letter)).collect();
        let _ = write!(text, " reason=\"{plain}\"");
    }
    if let (Method::Iprev, Some(address)) = (result.method, peer) {
        let _ = write!(text, " policy.iprev={}", address_value(address));
    } else if !result.domain.is_empty() {
        let _ = write!(text, " {}={}", property(result.identity), result.domain);
    }
    if let Some(selector) = result.selector.as_deref().filter(|selector| !selector.is_empty()) {
        let _ = write!(text, " header.s={selector}");
    }
    if let Some(policy) = &result.policy {
        let _ = write!(text, " policy.dmarc={}", policy.requested.as_str());
    }
}

/// RFC 8601 §2.2: an IPv6 address holds colons and must be quoted.
fn address_value(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"{address}\""),
    }
}

const fn property(identity: Identity) -> &'static str {
    match identity {
        Identity::MailFrom => "smtp.mailfrom",
        Identity::Helo => "smtp.helo",
        Identity::Signer | Identity::Sealer => "header.d",
        Identity::Author => "header.from",
        Identity::Peer => "policy.iprev",
    }
}
