use super::*;
use crate::clock::Timestamp;
use crate::webhook::sign::{SigningSecrets, sign};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use std::time::Duration;
use tower::ServiceExt as _;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

struct Bench {
    receiver: Receiver,
    secret: WebhookSecret,
    clock: Clock,
}

fn bench(capacity: usize) -> Bench {
    let (secret, clock) = (WebhookSecret::generate(), Clock::fixed(NOW));
    Bench { receiver: Receiver::new(vec![secret.clone()], capacity, clock.clone()), secret, clock }
}

impl Bench {
    async fn post(&self, id: &str, signed: &str, sent: &str) -> (StatusCode, Value) {
        let headers = sign(id, signed.as_bytes(), &SigningSecrets::new(self.secret.clone()), NOW).unwrap();
        let request = Request::post("/")
            .header("webhook-id", headers.id)
            .header("webhook-timestamp", headers.timestamp)
            .header("webhook-signature", headers.signature)
            .header("connex-event-type", "message.classified")
            .header("connex-delivery", "dlv_1")
            .header("connex-attempt", "2")
            .body(Body::from(sent.to_owned()))
            .unwrap();
        answer(&self.receiver, request).await
    }
}

async fn answer(receiver: &Receiver, request: Request<Body>) -> (StatusCode, Value) {
    let response = router(receiver.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_genuine_event_is_kept_once() {
    let bench = bench(10);
    for _ in 0..3 {
        assert_eq!(bench.post("evt_1", r#"{"n":1}"#, r#"{"n":1}"#).await.0, StatusCode::NO_CONTENT);
    }
    let (status, listed) = answer(&bench.receiver, Request::get("/received").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        listed,
        serde_json::json!({
            "accepted": 1, "duplicates": 2, "refused": 0,
            "events": [{
                "id": "evt_1", "eventType": "message.classified", "delivery": "dlv_1", "attempt": 2,
                "receivedAt": "2027-01-15T08:00:00.000Z", "body": {"n": 1},
            }],
        })
    );
}

#[tokio::test]
async fn what_does_not_verify_is_refused_and_not_kept() {
    let bench = bench(10);
    let (status, problem) = bench.post("evt_1", r#"{"n":1}"#, r#"{"n":2}"#).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!((&problem["code"], &problem["status"]), (&"invalid_signature".into(), &401.into()));
    let (status, problem) = bench.post("evt_1", "not json", "not json").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"invalid_json".into()));
    bench.clock.advance(TOLERANCE + Duration::from_secs(1));
    let (status, problem) = bench.post("evt_1", "{}", "{}").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(problem["detail"].as_str().unwrap().contains("signed 301 s ago"), "{problem}");
    let received = bench.receiver.received();
    assert_eq!((received.refused, received.accepted, received.events.len()), (3, 0, 0));
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused() {
    let large = format!("\"{}\"", "a".repeat(MAX_BODY_BYTES));
    assert_eq!(bench(10).post("evt_1", &large, &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn only_the_last_events_are_kept_and_all_are_counted() {
    let bench = bench(2);
    for number in 0..5 {
        bench.post(&format!("evt_{number}"), "{}", "{}").await;
    }
    let received = bench.receiver.received();
    let ids: Vec<&str> = received.events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!((received.accepted, ids), (5, vec!["evt_3", "evt_4"]));
    // An event that is no longer listed is still known.
    bench.post("evt_0", "{}", "{}").await;
    assert_eq!(bench.receiver.received().duplicates, 1);
}

#[tokio::test]
async fn waiting_ends_when_enough_arrived() {
    let bench = bench(10);
    let posting = async {
        for number in 0..3 {
            bench.post(&format!("evt_{number}"), "{}", "{}").await;
        }
    };
    let waiting =
        tokio::time::timeout(Duration::from_secs(10), bench.receiver.wait_until(|received| received.accepted >= 3));
    let (received, ()) = tokio::join!(waiting, posting);
    assert_eq!(received.unwrap().accepted, 3);
}

#[tokio::test]
async fn a_secret_added_later_is_trusted() {
    let secret = WebhookSecret::generate();
    let receiver = Receiver::new(Vec::new(), 10, Clock::fixed(NOW));
    let bench = Bench { receiver, secret: secret.clone(), clock: Clock::fixed(NOW) };
    assert_eq!(bench.post("evt_1", "{}", "{}").await.0, StatusCode::UNAUTHORIZED);
    bench.receiver.trust(secret);
    assert_eq!(bench.post("evt_1", "{}", "{}").await.0, StatusCode::NO_CONTENT);
}
