//! What a connection is doing now, and until when it may: told by its socket and its calls, read by its watch.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ServeLimits;

/// What the peer let us wait for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A request.
    Request,
    /// The rest of a header.
    Header,
    /// That it reads its reply.
    Reading,
    /// Its part of a TLS handshake.
    Handshake,
}

impl Overdue {
    /// As metrics call it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Header => "header",
            Self::Reading => "reading",
            Self::Handshake => "handshake",
        }
    }
}

/// Clones tell of the same connection.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Calls whose reply was not handed to the socket to its end.
    calls: u32,
    /// When a call last ended, or bytes last went out.
    quiet_since: Instant,
    /// First bytes of a request that has no call yet.
    header_since: Option<Instant>,
    /// Since when the socket takes no more bytes.
    blocked_since: Option<Instant>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let quiet_since = Instant::now();
        Self(Arc::new(Mutex::new(State { calls: 0, quiet_since, header_since: None, blocked_since: None })))
    }

    /// Until when the peer may go on as it does; `None` while it waits for us.
    pub(super) fn deadline(&self, limits: &ServeLimits) -> Option<(Instant, Overdue)> {
        let state = self.state();
        match *state {
            State { blocked_since: Some(since), .. } => Some((since + limits.idle_timeout, Overdue::Reading)),
            State { calls: 1.., .. } => None,
            State { header_since: Some(since), .. } => Some((since + limits.header_timeout, Overdue::Header)),
            State { quiet_since, .. } => Some((quiet_since + limits.idle_timeout, Overdue::Request)),
        }
    }

    /// A call began: its header is complete.
    pub(super) fn call(&self) -> Call {
        let mut state = self.state();
        state.calls += 1;
        state.header_since = None;
        Call(self.clone())
    }

    fn bytes_came(&self) {
        let mut state = self.state();
        if state.calls == 0 && state.header_since.is_none() {
            state.header_since = Some(Instant::now());
        }
    }

    fn wrote<T>(&self, written: &Poll<T>) {
        let mut state = self.state();
        match written {
            Poll::Pending => drop(state.blocked_since.get_or_insert_with(Instant::now)),
            Poll::Ready(_) => {
                state.blocked_since = None;
                state.quiet_since = Instant::now();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between a lock and its end can panic; the state stays whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that goes on until this is dropped.
#[derive(Debug)]
pub(super) struct Call(Pulse);

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.calls = state.calls.saturating_sub(1);
        state.quiet_since = Instant::now();
    }
}

/// The body of a reply, with the call that it ends.
pub(super) struct Answering {
    pub(super) body: Body,
    pub(super) _call: Call,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that tells its pulse what goes through it.
#[derive(Debug)]
pub(super) struct Socket<S> {
    pub(super) stream: S,
    pub(super) pulse: Pulse,
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pulse.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.pulse.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
