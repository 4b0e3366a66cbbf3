//! A receiver of connex webhooks: verify, store once, answer at once.
//!
//!     cargo add axum base64 ring && cargo add tokio --features full
//!     CONNEX_WEBHOOK_SECRET=whsec_... cargo run -- 8080

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

#[derive(Clone)]
pub struct Receiver {
    pub key: hmac::Key,
    pub inbox: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("CONNEX_WEBHOOK_SECRET")?;
    let port: u16 = std::env::args().nth(1).unwrap_or_default().parse()?;
    tokio::fs::create_dir_all("inbox").await?;
    let receiver = Receiver { key: key(&secret)?, inbox: "inbox".into() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, router(receiver)).await?)
}

pub fn key(secret: &str) -> Result<hmac::Key, base64::DecodeError> {
    let bytes = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

pub fn router(receiver: Receiver) -> Router {
    Router::new().route("/", post(receive)).layer(DefaultBodyLimit::max(1024 * 1024)).with_state(receiver)
}

/// `body` is the bytes as they came: parsed and printed again, they would not verify.
async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(id) = verified_id(&receiver.key, &headers, &body) else { return StatusCode::UNAUTHORIZED };
    match store(&receiver, id, &body).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR, // the event comes again
    }
}

/// The id, when the time is near and one of the signatures fits.
fn verified_id<'a>(key: &hmac::Key, headers: &'a HeaderMap, body: &[u8]) -> Option<&'a str> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (id, timestamp) = (headers.get("webhook-id")?.to_str().ok()?, text("webhook-timestamp")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    if now.abs_diff(timestamp.parse().ok()?) > 300
        || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    text("webhook-signature")?
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .any(|tag| hmac::verify(key, &signed, &tag).is_ok())
        .then_some(id)
}

/// True when the event is new. Process the folder elsewhere: the answer must not wait for that.
async fn store(receiver: &Receiver, id: &str, body: &[u8]) -> std::io::Result<bool> {
    let part = receiver.inbox.join(format!(".{id}-{}", UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos())));
    tokio::fs::write(&part, body).await?;
    tokio::fs::File::open(&part).await?.sync_all().await?;
    // Takes the name for the whole file at once, or fails.
    let linked = tokio::fs::hard_link(&part, receiver.inbox.join(format!("{id}.json"))).await;
    tokio::fs::remove_file(&part).await?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
