//! Files for drafts, one a call: the bytes as the body, name and type beside them.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;

use super::events::{parameter, refuse_unknown};
use crate::http::error::{Code, Problem};
use crate::http::{SharedApi, json};
use crate::service::drafts::uploads::{UPLOAD, UploadName};
use crate::service::keys::{Authenticated, DraftsWrite};

/// Takes one in.
///
/// # Errors
/// As the contract says.
pub async fn upload(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["name"])?;
    let name = percent_encoding::percent_decode_str(parameter(&query, "name").unwrap_or_default());
    let name = name.decode_utf8().unwrap_or_default();
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = UploadName::new(&name, media)?;
    let busy = || Problem::new(Code::TemporarilyUnavailable, "Too many uploads at a time; repeat the call.");
    let _room = api.service.begin_upload().ok_or_else(|| busy().retry_after(2))?;
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::RequestTimeout, "The body broke off; nothing was kept."))?;
        if bytes.len().saturating_add(chunk.len()) > UPLOAD {
            return Err(Problem::new(Code::PayloadTooLarge, format!("The file is over the limit of {UPLOAD} octets.")));
        }
        bytes.extend_from_slice(&chunk);
    }
    let mut reply = json(&api.service.upload(name, bytes, &caller).await?);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}
