//! The operator's listener: is it alive, is it ready and why not, what does it count. Not for the public network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;

use crate::clock::Timestamp;
use crate::service::{NotServing, Service};

/// What the listener needs.
#[derive(Clone)]
pub struct Operations {
    /// For readiness.
    pub service: Service,
    /// The metrics as Prometheus text.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What is wrong now, beside the database. It is asked for each request, so it must look at nothing but memory.
    pub reasons: Arc<dyn Fn() -> Vec<Reason> + Send + Sync>,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Operations").field("service", &self.service).finish_non_exhaustive()
    }
}

/// How bad a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No mail should be sent here now.
    NotReady,
    /// Mail is taken and safe; somebody should look.
    Degraded,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What part of the program: a word.
    pub component: &'static str,
    /// Which one of several: a door with its address, a certificate's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How bad it is.
    pub state: Standing,
    /// What is wrong: a word of a closed set.
    pub reason: &'static str,
    /// The same for people.
    pub detail: String,
    /// What to do.
    pub remedy: &'static str,
    /// Since when; where the part itself does not know, since it was first seen by this listener.
    #[serde(serialize_with = "as_text")]
    pub since: Option<Timestamp>,
}

fn as_text<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

impl From<NotServing> for Reason {
    fn from(why: NotServing) -> Self {
        let (reason, remedy) = match why {
            NotServing::Silent => ("unreachable", "start the database, and check database.url and the network to it"),
            NotServing::NoWrites => {
                ("no_writes", "end what locks the database, make room for it, or have it lead again after a failover")
            }
        };
        Self {
            component: "database",
            subject: None,
            state: Standing::NotReady,
            reason,
            detail: why.to_string(),
            remedy,
            since: None,
        }
    }
}

/// How long the database may take to show that it works.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer of the database counts: whoever asks often does not make it write often.
const FRESH: Duration = Duration::from_secs(1);

/// When the database was asked, and what came of it.
type Look = (Timestamp, Result<(), NotServing>);

/// What tells one reason from another: component, subject, reason.
type Key = (&'static str, Option<String>, &'static str);

/// What handlers share.
#[derive(Clone)]
struct Shared {
    operations: Operations,
    patience: Duration,
    /// The last answer and when it came; held while the database is asked, so that one asks for all.
    last: Arc<tokio::sync::Mutex<Option<Look>>>,
    /// When each reason that still holds was first seen.
    seen: Arc<Mutex<BTreeMap<Key, Timestamp>>>,
}

impl Shared {
    async fn database(&self) -> Result<(), NotServing> {
        let clock = self.operations.service.clock();
        let mut last = self.last.lock().await;
        let now = clock.now();
        if let Some((when, answer)) = *last
            && when <= now
            && now.since(when) < FRESH
        {
            return answer;
        }
        let answer = self.operations.service.check(self.patience).await;
        *last = Some((clock.now(), answer));
        answer
    }

    /// All that is wrong, each with its time.
    async fn reasons(&self) -> Vec<Reason> {
        let database = self.database().await.err().map(Reason::from);
        let mut reasons: Vec<Reason> = database.into_iter().chain((self.operations.reasons)()).collect();
        let now = self.operations.service.clock().now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still = BTreeMap::new();
        for reason in &mut reasons {
            let key = (reason.component, reason.subject.clone(), reason.reason);
            let first = seen.get(&key).copied().unwrap_or(now);
            reason.since.get_or_insert(first);
            still.insert(key, first);
        }
        *seen = still;
        reasons
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(operations: Operations) -> Router {
    with_patience(operations, PATIENCE)
}

/// The same, with its own measure of how long the database may take.
pub(super) fn with_patience(operations: Operations, patience: Duration) -> Router {
    let shared = Shared { operations, patience, last: Arc::default(), seen: Arc::default() };
    Router::new()
        .route("/healthz", get(|| async { no_store(StatusCode::OK, &json!({ "status": "alive" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> Response {
    let reasons = shared.reasons().await;
    let (status, word) = if reasons.iter().any(|reason| reason.state == Standing::NotReady) {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    } else if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::OK, "degraded")
    };
    no_store(status, &json!({ "status": word, "reasons": reasons }))
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = (shared.operations.render_metrics)();
    // The text format of Prometheus, version 0.0.4.
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

fn no_store(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}
