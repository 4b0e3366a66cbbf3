//! One event of the stream, handed to the user's own application as its webhook would be.
//!
//! One attempt, no second: what failed is shown, and the event can be read again from the event log.
//!
//! # Security
//! The target is the user's own choice on the user's own machine, so that any address may be called. That is why this
//! is a client of its own and not that of webhooks, which reaches public addresses only.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Url};
use serde::Serialize;

use crate::clock::Clock;
use crate::contract::webhook::WebhookEvent;
use crate::ids::{DeliveryId, EventId};
use crate::webhook::request::{CustomHeaders, DeliveryAttempt, signed_headers};
use crate::webhook::sign::{SigningSecrets, WebhookSecret};

/// Where events are posted to, and how they are signed.
#[derive(Debug)]
pub struct Forward {
    client: Client,
    url: Url,
    secrets: SigningSecrets,
    clock: Clock,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forwarded {
    /// Status code of the answer; null when none came.
    pub status: Option<u16>,
    /// Why none came; null when one did.
    pub error: Option<String>,
    /// From the first byte to the answer's head, in milliseconds.
    pub ms: f64,
}

impl Forwarded {
    /// Whether the application took the event.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// As long as a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Forward {
    /// Posts to `url` with signatures of `secret`.
    #[must_use]
    pub fn new(client: Client, url: Url, secret: WebhookSecret, clock: Clock) -> Self {
        Self { client, url, secrets: SigningSecrets::new(secret), clock }
    }

    /// Posts `body`, the exact bytes of `event`.
    pub async fn post(&self, event: &WebhookEvent, body: String) -> Forwarded {
        let begun = tokio::time::Instant::now();
        let result = match self.request(event, body) {
            Ok(request) => self.client.execute(request).await.map_err(|error| cause(&error)),
            Err(error) => Err(error),
        };
        let ms = (begun.elapsed().as_secs_f64() * 1e4).round() / 10.0;
        match result {
            Ok(answer) => Forwarded { status: Some(answer.status().as_u16()), error: None, ms },
            Err(error) => Forwarded { status: None, error: Some(error), ms },
        }
    }

    fn request(&self, event: &WebhookEvent, body: String) -> Result<reqwest::Request, String> {
        let id: EventId = event.id.parse().map_err(|error: crate::ids::InvalidId| error.to_string())?;
        let attempt = DeliveryAttempt {
            event: id,
            event_type: event.kind.clone(),
            delivery: self.clock.mint::<DeliveryId>(),
            attempt: 1,
        };
        let body = Bytes::from(body);
        let headers = signed_headers(&attempt, &body, &self.secrets, &CustomHeaders::default(), self.clock.now())
            .map_err(|error| error.to_string())?;
        let request = self.client.post(self.url.clone()).headers(headers).body(body).timeout(TIMEOUT);
        request.build().map_err(|error| cause(&error))
    }
}

/// The innermost reason, which alone says something.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer came in time".to_owned();
    }
    let mut deepest: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = deepest.source() {
        deepest = inner;
    }
    deepest.to_string()
}
