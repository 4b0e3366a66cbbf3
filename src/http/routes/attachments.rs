//! Attachments of stored messages: by a key, and by links that work without one.
//!
//! # Security
//! What a sender chose is never shown as a page of this origin, nor under a type or name that a browser would run: every
//! attachment is a download of octets, with a policy that allows nothing, and is kept by no cache.
//!
//! Standards: RFC 6266 (Content-Disposition), RFC 8187 (file names beyond ASCII).

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::events::{number, parameter, refuse_unknown};
use super::messages::RENDITION;
use crate::http::error::{Code, Problem};
use crate::http::{SharedApi, json};
use crate::service::ServiceError;
use crate::service::keys::{Authenticated, MessagesRead};
use crate::service::links::Link;
use crate::service::messages::{File, LONGEST_LINK, Wanted};

/// Seconds for which a link works unless told.
const LINK: u32 = 900;

/// One attachment.
///
/// # Errors
/// As the contract says.
pub async fn attachment(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRead>,
    Path((id, at)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["sha256"])?;
    let wanted = wanted(&at, &query)?;
    Ok(download(api.service.attachment(&id, wanted, &caller).await?))
}

/// A link to one attachment.
///
/// # Errors
/// As the contract says.
pub async fn link(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRead>,
    Path((id, at)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["sha256", "expiresIn"])?;
    let wanted = wanted(&at, &query)?;
    let seconds = number(parameter(&query, "expiresIn"), "expiresIn", 1, LONGEST_LINK.into())?;
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(LINK);
    Ok(json(&api.service.link_attachment(&id, wanted, seconds, &caller).await?))
}

/// The attachment of a link.
///
/// # Errors
/// The same for whatever is wrong with a link.
pub async fn linked(
    State(api): State<SharedApi>,
    Path((tenant, message, at)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let given = || {
        Some(Link {
            tenant: tenant.parse().ok()?,
            message: message.parse().ok()?,
            number: at.parse().ok()?,
            sha256: parameter(&query, "sha256").filter(|text| is_digest(text))?.to_owned(),
            expires: parameter(&query, "expires")?.parse().ok()?,
        })
    };
    let signature = parameter(&query, "signature").unwrap_or_default();
    let Some(link) = given() else {
        return Err(ServiceError::NotFound("attachment, or the link to it has ended").into());
    };
    let found = api.service.linked_attachment(link, signature);
    match tokio::time::timeout(api.settings.call_timeout, found).await {
        Ok(found) => Ok(download(found?)),
        Err(_) => {
            Err(Problem::new(Code::TemporarilyUnavailable, "The attachment could not be read in time.").retry_after(5))
        }
    }
}

fn wanted<'a>(at: &str, query: &'a str) -> Result<Wanted<'a>, Problem> {
    let number = at.parse().map_err(|_| ServiceError::NotFound("attachment"))?;
    let sha256 = parameter(query, "sha256");
    if sha256.is_some_and(|text| !is_digest(text)) {
        return Err(Problem::new(Code::InvalidParameter, "`sha256` must be 64 hexadecimal digits in lower case."));
    }
    Ok(Wanted { number, sha256 })
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

fn download(file: File) -> Response {
    let headers: [(HeaderName, HeaderValue); 7] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, disposition(&file.filename)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (header::ACCEPT_RANGES, HeaderValue::from_static("none")),
        (RENDITION, HeaderValue::from_static(file.given.rendition.as_str())),
    ];
    (headers, file.given.bytes).into_response()
}

/// RFC 6266 §4: a plain name for all, and the whole one in UTF-8.
fn disposition(filename: &str) -> HeaderValue {
    let name: String = filename.chars().filter(|letter| !letter.is_control()).take(255).collect();
    let name = name.trim_matches(['.', ' ']);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ' ');
    let plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let plain = if plain.is_empty() { "attachment" } else { &plain };
    let mut text = format!("attachment; filename=\"{plain}\"");
    if !name.is_empty() && plain != name {
        text.push_str("; filename*=UTF-8''");
        for octet in name.bytes() {
            // RFC 8187 §3.2.1
            if octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_') {
                text.push(char::from(octet));
            } else {
                text.push_str(&format!("%{octet:02X}"));
            }
        }
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_breaks_out_of_no_header_and_is_kept_whole() {
        let shown = |name: &str| disposition(name).to_str().unwrap().to_owned();
        assert_eq!(shown("loi.pdf"), "attachment; filename=\"loi.pdf\"");
        assert_eq!(shown(""), "attachment; filename=\"attachment\"");
        assert_eq!(
            shown("a\"; x=\r\n.html"),
            "attachment; filename=\"a__ x_.html\"; filename*=UTF-8''a%22%3B%20x%3D.html"
        );
        assert_eq!(
            shown("Übersicht.pdf"),
            "attachment; filename=\"_bersicht.pdf\"; filename*=UTF-8''%C3%9Cbersicht.pdf"
        );
    }
}
