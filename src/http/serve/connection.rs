//! One connection: its requests one after the other, and the watch over its pauses.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::ServeLimits;
use super::pulse::{Answering, Overdue, Pulse, Socket};
use crate::tls::{ClientCertificates, ServerTls};

/// Does the TLS handshake.
///
/// # Errors
/// What the peer let us wait for too long; `None` where it went away, speaks no TLS, or we stop.
pub(super) async fn secure(
    stream: TcpStream,
    tls: &ServerTls,
    limits: ServeLimits,
    stop: &CancellationToken,
) -> Result<Box<TlsStream<TcpStream>>, Option<Overdue>> {
    let handshake = timeout(limits.header_timeout, Box::pin(tls.accept(stream, ClientCertificates::Off)));
    let Some(ended) = stop.run_until_cancelled(handshake).await else { return Err(None) };
    let (outcome, result) = match ended {
        Ok(Ok(stream)) => ("ok", Ok(Box::new(stream))),
        Ok(Err(_)) => ("failed", Err(None)),
        Err(_) => ("failed", Err(Some(Overdue::Handshake))),
    };
    metrics::counter!("connex_http_handshakes_total", "outcome" => outcome).increment(1);
    result
}

/// Serves `stream` to its end; says what it was closed for, where the peer let it wait for too long.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: ServeLimits,
    stop: CancellationToken,
) -> Option<Overdue> {
    let pulse = Pulse::new();
    let socket = TokioIo::new(Socket { stream, pulse: pulse.clone() });
    let service = service_fn(|request: Request<Incoming>| {
        let call = pulse.call();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        // A router is always ready, and so needs no asking.
        let reply = router.clone().call(request);
        async move { Ok::<_, Infallible>(reply.await?.map(|body| Answering { body, _call: call })) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(socket, service));
    let mut stopping = pin!(stop.cancelled());
    let mut is_stopping = false;
    let mut timer = pin!(sleep_until(Instant::now()));
    // Whatever moves the deadline happens while the connection is polled, so that it is read anew after each time.
    poll_fn(|cx| {
        if !is_stopping && stopping.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        // An error is the peer's: it went away, or what it sent was answered 400 and closed.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let Some((deadline, overdue)) = pulse.deadline(&limits) else { return Poll::Pending };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| Some(overdue))
    })
    .await
}
