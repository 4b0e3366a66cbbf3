//! The one stylesheet, which the program brings along.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

pub(super) const PATH: &str = "/assets/console.css";
const TEXT: &str = include_str!("console.css");

/// Its address, another for every content, so that browsers keep it.
pub(super) fn address() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| format!("{PATH}?{:08x}", crc32fast::hash(TEXT.as_bytes())));
    &ADDRESS
}

pub(super) async fn serve() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, TEXT).into_response()
}
