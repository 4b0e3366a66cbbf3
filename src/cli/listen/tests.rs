//! Claims about following a stream and forwarding its events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Timestamp;
use crate::contract::webhook::{API_VERSION, SourceRef};
use crate::ids::EventId;
use crate::webhook::receiver::{Receiver, serve};

const KEY: &str = "any text will do here";

fn event(clock: &Clock) -> WebhookEvent {
    WebhookEvent {
        id: clock.mint::<EventId>().to_string(),
        kind: "message.classified".into(),
        timestamp: clock.now().to_string(),
        api_version: API_VERSION.into(),
        tenant_id: "ten_1".into(),
        app: Some("deals".into()),
        thread: None,
        threading: None,
        caused_by: None,
        source: SourceRef { kind: "direct".into(), event_id: Some("a@b.example".into()) },
        data: serde_json::json!({ "canonical": { "status": "needs_reply" }, "note": "Grüße" }),
    }
}

/// A gateway whose stream gives these answers, one a request.
#[derive(Clone, Default)]
struct Gateway {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    /// `authorization` and `last-event-id` of each request.
    asked: Arc<Mutex<Vec<[Option<String>; 2]>>>,
}

impl Gateway {
    fn answering<const N: usize>(answers: [(u16, String); N]) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into())), ..Self::default() }
    }

    /// Serves while `work` runs.
    async fn during<T>(&self, work: impl AsyncFnOnce(Url) -> T) -> T {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = Router::new().route("/api/v1/events/stream", get(answer)).with_state(self.clone());
        tokio::select! {
            result = work(url) => result,
            ended = async { axum::serve(listener, router).await } => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the stream hangs"),
        }
    }
}

async fn answer(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    gateway.asked.lock().unwrap().push([text("authorization"), text("last-event-id")]);
    let (status, body) = gateway.answers.lock().unwrap().pop_front().unwrap_or((503, String::new()));
    let kind = if status == 200 { "text/event-stream" } else { "application/problem+json" };
    (StatusCode::from_u16(status).unwrap(), [("content-type", kind)], Body::from(body)).into_response()
}

fn told(cursor: u32) -> SseEvent {
    SseEvent { kind: "message.classified".into(), data: format!("{{\"n\":{cursor}}}"), id: cursor.to_string() }
}

fn written(cursor: u32) -> String {
    format!("id: {cursor}\nevent: message.classified\ndata: {{\"n\":{cursor}}}\n\n")
}

#[tokio::test]
async fn a_broken_stream_goes_on_behind_the_last_event() {
    let gateway = Gateway::answering([
        (200, format!(": connected\nretry: 1\n\n{}{}id: 9\ndata: {{\"half\"", written(7), written(8))),
        (503, String::new()),
        (200, written(9)),
    ]);
    let heard = gateway
        .during(async |url| {
            let mut stream = EventStream::open(client(None).unwrap(), &url, KEY).await.unwrap();
            let mut heard = Vec::new();
            while heard.last() != Some(&Told::Event(told(9))) {
                heard.push(stream.next().await.unwrap());
            }
            heard
        })
        .await;
    let events: Vec<_> = heard.iter().filter(|told| matches!(told, Told::Event(_))).collect();
    assert_eq!(events, [&Told::Event(told(7)), &Told::Event(told(8)), &Told::Event(told(9))]);
    let pauses: Vec<_> = heard
        .iter()
        .filter_map(|told| if let Told::Broke { pause, .. } = told { Some(pause.as_millis()) } else { None })
        .collect();
    assert_eq!(pauses, [250, 500], "the second break follows the first without an event between");
    let bearer = Some(format!("Bearer {KEY}"));
    let eight = Some("8".to_owned());
    let asked = gateway.asked.lock().unwrap().clone();
    assert_eq!(asked, [[bearer.clone(), None], [bearer.clone(), eight.clone()], [bearer, eight]]);
}

#[tokio::test]
async fn a_key_that_is_refused_ends_it_with_the_gateways_words() {
    let refusal = r#"{"title":"Forbidden","detail":"The key lacks events:read."}"#.to_owned();
    let gateway = Gateway::answering([(403, refusal), (502, String::new())]);
    let errors = gateway
        .during(async |url| {
            let open = async || EventStream::open(client(None).unwrap(), &url, KEY).await.unwrap_err();
            [open().await, open().await]
        })
        .await;
    assert!(errors[0].to_string().contains("The key lacks events:read."), "{}", errors[0]);
    let exits = errors.map(|error| error.exit());
    assert_eq!(exits, [crate::cli::Exit::Failed, crate::cli::Exit::Unreachable]);
}

#[tokio::test]
async fn a_forwarded_event_is_a_genuine_webhook() {
    let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-12-24T18:00:00Z").unwrap());
    let secret = WebhookSecret::generate();
    let receiver = Receiver::new(vec![secret.clone()], 10, clock.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let forward = Forward::new(client(None).unwrap(), url.clone(), secret, clock.clone());
    let stranger = Forward::new(client(None).unwrap(), url, WebhookSecret::generate(), clock.clone());
    let event = event(&clock);
    let body = serde_json::to_string(&event).unwrap();
    let stop = CancellationToken::new();
    let posting = async {
        let result = (forward.post(&event, body.clone()).await, stranger.post(&event, body.clone()).await);
        stop.cancel();
        result
    };
    let (served, (genuine, forged)) = tokio::join!(serve(listener, receiver.clone(), stop.clone()), posting);
    served.unwrap();
    assert!(genuine.is_success(), "{genuine:?}");
    assert_eq!(forged.status, Some(401));
    let received = receiver.received();
    let [one] = received.events.as_slice() else { panic!("{received:?}") };
    assert_eq!((&one.id, one.event_type.as_str(), one.attempt), (&event.id, "message.classified", 1));
    assert!(one.delivery.starts_with("dlv_"), "{}", one.delivery);
    assert_eq!(one.body, serde_json::to_value(&event).unwrap());
}

#[tokio::test]
async fn an_application_that_is_not_there_is_told() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    let forward = Forward::new(client(None).unwrap(), url, WebhookSecret::generate(), Clock::System);
    let event = event(&Clock::System);
    let forwarded = forward.post(&event, "{}".into()).await;
    assert!(forwarded.status.is_none() && forwarded.error.unwrap().contains("refused"));
    let odd = WebhookEvent { id: "evt.1".into(), ..event };
    assert!(forward.post(&odd, "{}".into()).await.error.is_some());
}

#[test]
fn types_are_chosen_as_endpoints_choose_them() {
    let event = told(1);
    for (wanted, is_it) in [("message.classified", true), ("message.*", true), ("*", true), ("outcome.*", false)] {
        assert_eq!(is_wanted(&event, &[wanted.to_owned()]), is_it, "{wanted}");
    }
    assert!(is_wanted(&event, &[]));
}

#[test]
fn a_wrong_key_is_not_repeated() {
    let args = |key: &str| ListenArgs {
        url: None,
        key: Some(key.to_owned()),
        key_file: None,
        forward: None,
        secret_file: None,
        event_type: Vec::new(),
        ca_file: None,
        data: DataArgs::default(),
        json: JsonArgs { json: false },
    };
    let error = api_key(&args("cxk_live_secret")).unwrap_err();
    assert_eq!(error.exit(), crate::cli::Exit::Usage);
    assert!(!error.to_string().contains("secret"), "{error}");
}
