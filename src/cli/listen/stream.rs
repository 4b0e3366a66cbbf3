//! The gateway's event stream, followed over breaks.
//!
//! # Retries
//! The first connection must succeed. After a break the stream is opened again behind the last event that was given
//! out, after a pause that doubles from 0.25 s to 30 s and is never shorter than the server asks for. An event can come
//! twice only when the server sends it twice. A key that is refused, or a cursor that is too old, ends it.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use super::super::CliError;
use super::forward::cause;
use super::sse::{SseEvent, SseParser};

/// A stream of events that goes on after breaks.
pub struct EventStream {
    client: Client,
    url: Url,
    headers: HeaderMap,
    parser: SseParser,
    waiting: std::collections::VecDeque<SseEvent>,
    open: Option<Response>,
    breaks: u32,
}

/// What the stream tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// An event.
    Event(SseEvent),
    /// The stream broke; it will be opened again after this time.
    Broke {
        /// What happened.
        why: String,
        /// Until the next try.
        pause: Duration,
    },
    /// It is open again.
    Resumed,
}

/// The server shows every 15 s that it is there.
const SILENCE: Duration = Duration::from_secs(45);
const ANSWER: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Of a problem document.
const PROBLEM_BYTES: usize = 16 * 1024;

/// Why there is no stream.
#[derive(Debug)]
enum NoStream {
    /// Trying again may help, after this time where the server named one.
    ForNow(String, Option<Duration>),
    /// It will not.
    ForGood(String),
}

impl EventStream {
    /// Opens the stream of the gateway at `base`.
    ///
    /// # Errors
    /// [`CliError::Unreachable`] when it cannot be reached now, [`CliError::Failed`] when it refuses.
    pub async fn open(client: Client, base: &Url, key: &str) -> Result<Self, CliError> {
        let url = format!("{}/api/v1/events/stream", base.as_str().trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| CliError::Usage(format!("{base}: {error}")))?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| CliError::Usage("the API key has characters that no key has".into()))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut stream = Self {
            client,
            url,
            headers,
            parser: SseParser::default(),
            waiting: std::collections::VecDeque::new(),
            open: None,
            breaks: 0,
        };
        match stream.connect().await {
            Ok(response) => stream.open = Some(response),
            Err(NoStream::ForNow(why, _)) => {
                let origin = base.origin().ascii_serialization();
                return Err(CliError::Unreachable(anyhow::anyhow!("{origin} cannot be followed now: {why}")));
            }
            Err(NoStream::ForGood(why)) => return Err(CliError::failed(why)),
        }
        Ok(stream)
    }

    /// What happens next. After [`Told::Broke`], call again when the pause is over.
    ///
    /// # Errors
    /// [`CliError::Failed`] when the gateway refuses to go on.
    pub async fn next(&mut self) -> Result<Told, CliError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.breaks = 0;
                return Ok(Told::Event(event));
            }
            let Some(response) = &mut self.open else {
                return match self.connect().await {
                    Ok(response) => {
                        self.open = Some(response);
                        Ok(Told::Resumed)
                    }
                    Err(NoStream::ForNow(why, wait)) => Ok(self.broke(why, wait)),
                    Err(NoStream::ForGood(why)) => Err(CliError::failed(why)),
                };
            };
            let why = match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(piece))) => match self.parser.feed(&piece) {
                    Ok(events) => {
                        self.waiting.extend(events);
                        continue;
                    }
                    Err(error) => return Err(CliError::Failed(error.into())),
                },
                Ok(Ok(None)) => "the gateway ended it".to_owned(),
                Ok(Err(error)) => cause(&error),
                Err(_) => format!("nothing came for {} s", SILENCE.as_secs()),
            };
            self.open = None;
            return Ok(self.broke(why, None));
        }
    }

    async fn connect(&mut self) -> Result<Response, NoStream> {
        let last = self.parser.last_id().to_owned();
        let mut request = self.client.get(self.url.clone()).headers(self.headers.clone());
        if !last.is_empty() {
            request = request.header("last-event-id", &last);
        }
        let answer = match tokio::time::timeout(ANSWER, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(NoStream::ForNow(cause(&error), None)),
            Err(_) => return Err(NoStream::ForNow("no answer came in time".to_owned(), None)),
        };
        if answer.status() != StatusCode::OK {
            return Err(refusal(answer).await);
        }
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(NoStream::ForGood(format!("{} is no event stream of a gateway", self.url)));
        }
        // What was begun before the break will come whole.
        self.parser = SseParser::new(&last);
        Ok(answer)
    }

    fn broke(&mut self, why: String, asked: Option<Duration>) -> Told {
        let doubled = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.breaks.min(10)));
        let least = asked.or(self.parser.retry()).unwrap_or(Duration::ZERO);
        self.breaks = self.breaks.saturating_add(1);
        Told::Broke { why, pause: doubled.min(LONGEST_PAUSE).max(least.min(MOST_ASKED)) }
    }
}

/// A server cannot make us wait longer.
const MOST_ASKED: Duration = Duration::from_secs(300);

impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStream").field("last_id", &self.parser.last_id()).finish_non_exhaustive()
    }
}

/// What an answer other than 200 means.
async fn refusal(answer: Response) -> NoStream {
    let status = answer.status();
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    let mut answer = answer;
    while body.len() < PROBLEM_BYTES
        && let Ok(Ok(Some(piece))) = tokio::time::timeout(ANSWER, answer.chunk()).await
    {
        body.extend_from_slice(&piece);
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
    let said = word("detail").or(word("title")).or(word("message")).unwrap_or_default();
    let why = format!("the gateway answers {}: {said}", status.as_u16());
    let is_temporary =
        status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    if is_temporary { NoStream::ForNow(why, seconds.map(Duration::from_secs)) } else { NoStream::ForGood(why) }
}
