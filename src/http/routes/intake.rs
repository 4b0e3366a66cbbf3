//! Mail by the API: its envelope in headers, its bytes as the body, streamed to the spool as they come.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use futures_util::StreamExt;

use crate::http::error::{Code, Problem};
use crate::http::{Peer, SharedApi, idempotency, json};
use crate::mail::envelope::ToldClient;
use crate::service::Fault;
use crate::service::intake::{CLIENT_ADDRESS, CLIENT_HELO, GivenEnvelope, IntakeError, MAIL_FROM, NamedCall, RCPT_TO};
use crate::service::keys::{Authenticated, MailIngest};

/// Takes one message.
///
/// # Errors
/// As the contract says.
pub async fn raw(
    State(api): State<SharedApi>,
    caller: Authenticated<MailIngest>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let reply = take(&api, &caller, peer, (&uri, &headers), body).await;
    count("raw", &reply);
    reply
}

/// Counts a reply of a door for mail.
pub(super) fn count(door: &'static str, reply: &Result<Response, Problem>) {
    let outcome = match reply {
        Ok(reply) if reply.headers().contains_key("idempotency-replayed") => "repeated",
        Ok(_) => "taken",
        Err(problem) if problem.status().is_server_error() => "put_off",
        Err(_) => "refused",
    };
    metrics::counter!("connex_http_mail_total", "door" => door, "outcome" => outcome).increment(1);
}

async fn take(
    api: &SharedApi,
    caller: &Authenticated<MailIngest>,
    peer: Peer,
    (uri, headers): (&Uri, &HeaderMap),
    body: Body,
) -> Result<Response, Problem> {
    require_message(headers)?;
    let call = idempotency::key(headers)?.map(|key| NamedCall { key, of: format!("POST {}", uri.path()) });
    let (reverse_path, forward_paths) = (reverse_path(headers)?, forward_paths(headers)?);
    let given = GivenEnvelope { reverse_path, forward_paths, peer: peer.0, client: client(headers)?, call };
    let mut mail = Box::pin(api.service.begin_mail(given, caller)).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::RequestTimeout, "The body broke off; nothing was stored."))?;
        mail.push(&chunk).await.map_err(|error| match error {
            IntakeError::TooLarge { limit } => {
                Problem::new(Code::PayloadTooLarge, format!("The message is over the limit of {limit} octets."))
            }
            IntakeError::Service(error) => error.into(),
        })?;
    }
    let reply = Box::pin(mail.accept()).await?;
    let json = json(&reply.answer);
    Ok(if reply.is_replayed { idempotency::replayed(json) } else { json })
}

fn require_message(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("message/rfc822") || essence.eq_ignore_ascii_case("message/global") {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "Send the message as `content-type: message/rfc822`."))
}

/// Empty, or `<>`, for the null reverse-path, which has to be said.
fn reverse_path(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(MAIL_FROM).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(bare(text(value.as_bytes(), MAIL_FROM)?).to_owned()),
        _ => Err(fault(MAIL_FROM, "must be given once; empty for the null reverse-path")),
    }
}

/// From every such header, separated by commas that are not in quotes.
fn forward_paths(headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    let mut paths = Vec::new();
    for value in headers.get_all(RCPT_TO) {
        let (mut is_quoted, mut is_escaped) = (false, false);
        let split = text(value.as_bytes(), RCPT_TO)?.split(|letter: char| {
            let is_end = letter == ',' && !is_quoted;
            if letter == '"' && !is_escaped {
                is_quoted = !is_quoted;
            }
            is_escaped = letter == '\\' && !is_escaped;
            is_end
        });
        paths.extend(split.map(bare).filter(|path| !path.is_empty()).map(str::to_owned));
    }
    Ok(paths)
}

/// From whom the caller has the message, where it says so.
fn client(headers: &HeaderMap) -> Result<Option<ToldClient>, Problem> {
    let one = |name: &'static str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => text(value.as_bytes(), name).map(|value| Some(value.trim())),
            _ => Err(fault(name, "must be given once")),
        }
    };
    let helo = one(CLIENT_HELO)?;
    match (one(CLIENT_ADDRESS)?, helo) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(fault(CLIENT_ADDRESS, "must be given where X-Connex-Client-Helo is")),
        (Some(address), helo) => {
            let address = address.parse().map_err(|_| fault(CLIENT_ADDRESS, "must be an IPv4 or IPv6 address"))?;
            let helo = helo.unwrap_or_default();
            if helo.len() > HELO_OCTETS {
                return Err(fault(CLIENT_HELO, "is longer than a domain name"));
            }
            Ok(Some(ToldClient { address, helo: helo.to_owned() }))
        }
    }
}

/// RFC 5321 §4.5.3.1.2
const HELO_OCTETS: usize = 255;

/// Without blanks and angle brackets.
fn bare(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}

fn text<'a>(value: &'a [u8], header: &'static str) -> Result<&'a str, Problem> {
    std::str::from_utf8(value).map_err(|_| fault(header, "must be UTF-8"))
}

fn fault(header: &'static str, message: &str) -> Problem {
    let detail = format!("The header {header} {message}.");
    Problem::new(Code::InvalidParameter, detail).with_errors(vec![Fault::at(header, message)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers
                .append(axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_envelope_is_read_from_headers() {
        let given = headers(RCPT_TO, &["<a@b.example>, \"c,d\"@b.example", " e@b.example,"]);
        assert_eq!(forward_paths(&given).unwrap(), ["a@b.example", "\"c,d\"@b.example", "e@b.example"]);
        for (values, expected) in [(&["<>"][..], Some("")), (&[""], Some("")), (&["a@b.example"], Some("a@b.example"))]
        {
            assert_eq!(reverse_path(&headers(MAIL_FROM, values)).ok().as_deref(), expected);
        }
        for values in [&[][..], &["a@b.example", "c@d.example"]] {
            assert_eq!(reverse_path(&headers(MAIL_FROM, values)).unwrap_err().code(), Code::InvalidParameter);
        }
    }
}
