//! From a bound socket to answered requests, until told to stop.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::limit::GlobalConcurrencyLimitLayer;

/// Handles at most `concurrency` requests at the same time; more wait. A stream that was begun does not count.
pub fn bounded(router: Router, concurrency: u32) -> Router {
    let concurrency = usize::try_from(concurrency).unwrap_or(usize::MAX);
    router.layer(GlobalConcurrencyLimitLayer::new(concurrency))
}

/// Serves `router` on `listener` until `stop`; requests that were begun are answered.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await
}
