//! Stored messages as keys may read them: what is known of one, its rendition, its text, its attachments, and what was found
//! out about its sender.
//!
//! # Security
//! Bytes leave without the addresses of routes ([`crate::mail::rendition`]). Of a journal report, which names those whom the
//! mail hid, a key without the scope for that gets the original alone. Bytes that are being read and sent are counted in
//! memory, all callers together.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::keys::{Authenticated, MessagesRaw, MessagesRead, Principal};
use super::links::{Link, LinkKey};
use super::sight::Sight;
use super::{Refusal, Service, ServiceError};
use crate::clock::Timestamp;
use crate::ids::MessageId;
use crate::keys::Scope;
use crate::mail::copy::RouteAddresses;
use crate::mail::envelope::Manifest;
use crate::mail::message::{self, Attachment, Limits, Message, TextSource};
use crate::mail::reading::{Opened, open_all};
use crate::mail::rendition::{self, Blind};
use crate::mail::text::{self, Part};
use crate::store::reading::{EventRow, MessageRow, describe};

/// Reads the bytes of a stored message, given where they are; called where blocking is allowed.
pub type ReadBody = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<u8>, Cause>> + Send + Sync>;

/// Why something cannot be had now.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How stored bytes are read and given out.
#[derive(Clone)]
pub struct Bodies {
    read: ReadBody,
    limits: Limits,
    links: LinkKey,
    /// KiB that may be in memory.
    room: Arc<Semaphore>,
}

/// KiB of bytes that may be read and sent at the same time.
const ROOM: u32 = 1 << 20;

impl std::fmt::Debug for Bodies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Bodies").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Bodies {
    /// Bytes by `read`, taken apart within `limits`, as when their events were made; links to attachments signed with `links`.
    #[must_use]
    pub fn new(read: ReadBody, limits: Limits, links: LinkKey) -> Self {
        Self { read, limits, links, room: Arc::new(Semaphore::new(ROOM as usize)) }
    }
}

/// In what a rendition differs from the bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendition {
    /// In nothing.
    Exact,
    /// Route addresses were taken out: no signature over it holds.
    Redacted,
    /// It is the original out of a journal report, as it stood there.
    Original,
    /// The same, and something was taken out of it.
    RedactedOriginal,
}

impl Rendition {
    /// Its word in replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Redacted => "redacted",
            Self::Original => "original",
            Self::RedactedOriginal => "original, redacted",
        }
    }
}

/// Bytes to be given out; they count as memory in use until they are dropped.
#[derive(Debug)]
pub struct Given {
    /// The bytes.
    pub bytes: Bytes,
    /// In what they differ from what arrived.
    pub rendition: Rendition,
}

/// An attachment to be given out.
#[derive(Debug)]
pub struct File {
    /// Its octets.
    pub given: Given,
    /// Its name; empty where it has none. The sender chose it.
    pub filename: String,
}

/// The text of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageBody {
    /// The message.
    pub message_id: String,
    /// Subject, decoded.
    pub subject: String,
    /// The best plain text.
    pub text: String,
    /// New text, without quoted history and signature.
    pub visible_text: String,
    /// `plain`, `html` or `none`: where the text comes from.
    pub text_source: String,
    /// `message`, or `event` where the route keeps no bytes: long texts are cut there.
    pub read_from: String,
}

/// A link to an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkAnswer {
    /// Where the attachment can be fetched without a key.
    pub url: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
}

/// Which attachment.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its place among those of its message.
    pub number: usize,
    /// SHA-256 of its octets, hexadecimal, where several messages of one forward have an attachment at that place.
    pub sha256: Option<&'a str>,
}

/// A message, and its events that the caller sees.
struct Seen {
    row: MessageRow,
    events: Vec<EventRow>,
}

impl Service {
    /// What is known of a stored message.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Unavailable`].
    pub async fn message(&self, id: &str, caller: &Authenticated<MessagesRead>) -> Result<Value, ServiceError> {
        let Seen { row, events } = self.seen(id, caller.principal()).await?;
        let mut shown = describe(&row)?;
        let attachments: Vec<Value> = described(&events).map(|one| self.shown_attachment(one, &row)).collect();
        if let Some(members) = shown.as_object_mut() {
            members.insert("attachments".into(), attachments.into());
        }
        Ok(shown)
    }

    fn shown_attachment(&self, attachment: &Value, row: &MessageRow) -> Value {
        let mut shown = attachment.clone();
        let (number, sha256) = (attachment.get("index").and_then(Value::as_u64), attachment.get("sha256"));
        let href = match (number, sha256.and_then(Value::as_str)) {
            (Some(number), Some(sha256)) if row.is_raw_kept => {
                format!("{}/api/v1/messages/{}/attachments/{number}?sha256={sha256}", self.base_url, row.id).into()
            }
            _ => Value::Null,
        };
        if let Some(members) = shown.as_object_mut() {
            members.insert("href".into(), href);
        }
        shown
    }

    /// The bytes of a stored message as the caller may read them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also where its bytes are not kept; [`ServiceError::Refused`] where they are a journal
    /// report from which no original can be told, to a key that may not see whom reports name; [`ServiceError::Unavailable`]
    /// when they cannot be read now.
    pub async fn raw_message(&self, id: &str, caller: &Authenticated<MessagesRaw>) -> Result<Given, ServiceError> {
        let seen = self.seen(id, caller.principal()).await?;
        let shows_blind = caller.principal().has(Scope::JournalBcc);
        let given =
            self.work_on(&seen.row, move |bytes, manifest, limits| rendition_of(bytes, manifest, shows_blind, limits));
        let (bytes, rendition) = given.await?;
        Ok(Given { bytes, rendition })
    }

    /// The text of a stored message.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also where nothing of it is kept; as [`Service::raw_message`].
    pub async fn message_body(
        &self,
        id: &str,
        caller: &Authenticated<MessagesRead>,
    ) -> Result<MessageBody, ServiceError> {
        let Seen { row, events } = self.seen(id, caller.principal()).await?;
        let event = events.into_iter().next();
        if !row.is_raw_kept {
            let content = event.map(|event| event.content).filter(|content| content.get("textErased").is_none());
            let content = content.ok_or(ServiceError::NotFound("message with its text: its route does not keep it"))?;
            return Ok(body_of_event(&row, &content));
        }
        let shows_blind = caller.principal().has(Scope::JournalBcc);
        let wanted =
            event.and_then(|event| event.content.get("rfcMessageId").and_then(Value::as_str).map(str::to_owned));
        let id = row.id;
        let body = self.work_on(&row, move |bytes, manifest, limits| {
            let opened = open_all(manifest, &bytes, limits);
            let is_wanted = |one: &&Opened| wanted.is_some() && one.message().message_id == wanted;
            let one = opened.iter().find(is_wanted).or(opened.first()).ok_or(Withheld::Nothing)?;
            if one.shows_a_report() && is_copy(manifest) && !shows_blind {
                return Err(Withheld::Report);
            }
            let routes = RouteAddresses::new(manifest.route_addresses());
            let body = body_of(id, one.message(), &routes);
            Ok((serde_json::to_vec(&body).unwrap_or_default(), Rendition::Redacted))
        });
        let (bytes, _) = body.await?;
        serde_json::from_slice(&bytes).map_err(|error| ServiceError::Internal(error.into()))
    }

    /// What was found out about the sender of a stored message.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Unavailable`].
    pub async fn auth_results(&self, id: &str, caller: &Authenticated<MessagesRead>) -> Result<Value, ServiceError> {
        let Seen { row, .. } = self.seen(id, caller.principal()).await?;
        let trace = row.trace.as_deref().unwrap_or("{}");
        let trace: Value = serde_json::from_str(trace).map_err(|error| ServiceError::Internal(error.into()))?;
        Ok(json!({
            "messageId": row.id,
            "authentication": trace.get("authentication"),
            "authenticationResults": trace.get("authenticationResults"),
        }))
    }

    /// One attachment of a stored message.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also where its bytes are not kept; [`ServiceError::Unavailable`].
    pub async fn attachment(
        &self,
        id: &str,
        wanted: Wanted<'_>,
        caller: &Authenticated<MessagesRead>,
    ) -> Result<File, ServiceError> {
        let Seen { row, events } = self.seen(id, caller.principal()).await?;
        let sha256 = digest_of(&events, wanted)?;
        self.file(&row, wanted.number, sha256).await
    }

    /// A link by which one attachment can be fetched without a key for `seconds`.
    ///
    /// # Errors
    /// As [`Service::attachment`].
    pub async fn link_attachment(
        &self,
        id: &str,
        wanted: Wanted<'_>,
        seconds: u32,
        caller: &Authenticated<MessagesRead>,
    ) -> Result<LinkAnswer, ServiceError> {
        let Seen { row, events } = self.seen(id, caller.principal()).await?;
        let sha256 = digest_of(&events, wanted)?;
        if !row.is_raw_kept {
            return Err(NOT_KEPT);
        }
        let now = self.clock().now().as_micros().div_euclid(1_000_000);
        let expires = now.saturating_add(seconds.min(LONGEST_LINK).into());
        let tenant = caller.principal().tenant();
        let link = Link { tenant, message: row.id, number: wanted.number, sha256, expires };
        Ok(LinkAnswer {
            url: format!("{}{}", self.base_url, self.bodies.links.sign(&link)),
            expires_at: Timestamp::from_micros(expires.saturating_mul(1_000_000)).to_string(),
        })
    }

    /// The attachment of a link.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], the same for every reason; [`ServiceError::Unavailable`].
    pub async fn linked_attachment(&self, link: Link, signature: &str) -> Result<File, ServiceError> {
        const NOTHING: ServiceError = ServiceError::NotFound("attachment, or the link to it has ended");
        if !self.bodies.links.allows(&link, signature, self.clock().now()) {
            return Err(NOTHING);
        }
        let store = self.store.for_tenant(link.tenant);
        if store.suspended_since().await?.is_some() {
            return Err(NOTHING);
        }
        let row = store.message(link.message).await?.ok_or(NOTHING)?;
        self.file(&row, link.number, link.sha256).await.map_err(|error| match error {
            ServiceError::NotFound(_) | ServiceError::Refused(_) => NOTHING,
            error => error,
        })
    }

    /// A message of the caller's tenant that it may see.
    async fn seen(&self, id: &str, principal: &Principal) -> Result<Seen, ServiceError> {
        const UNKNOWN: ServiceError = ServiceError::NotFound("message");
        let id: MessageId = id.parse().map_err(|_| UNKNOWN)?;
        let store = self.store.for_tenant(principal.tenant());
        let row = store.message(id).await?.ok_or(UNKNOWN)?;
        let events = Sight::of(principal).of_message(&row, &store).await?.ok_or(UNKNOWN)?;
        Ok(Seen { row, events })
    }

    async fn file(&self, row: &MessageRow, number: usize, sha256: String) -> Result<File, ServiceError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let made = self.work_on(row, move |bytes, manifest, limits| {
            let opened = open_all(manifest, &bytes, limits);
            let at = |one: &Opened| one.message().attachments.get(number).filter(|one| one.sha256 == sha256).cloned();
            let found = opened.iter().find_map(|one| Some((one, at(one)?)));
            let (one, attachment) = found.ok_or(Withheld::Nothing)?;
            let content = message::attachment(one.holder(&bytes), number, limits).ok_or(Withheld::Nothing)?;
            let routes = RouteAddresses::new(manifest.route_addresses());
            let (content, rendition) = without_routes(content, &attachment, &routes, limits);
            let _ = sender.send(routes.redact(&attachment.filename).into_owned());
            Ok((content, rendition))
        });
        let (bytes, rendition) = made.await?;
        Ok(File { given: Given { bytes, rendition }, filename: receiver.await.unwrap_or_default() })
    }

    /// What `work` makes of the bytes of a message, done where blocking is allowed; both count as memory in use.
    async fn work_on<W>(&self, row: &MessageRow, work: W) -> Result<(Bytes, Rendition), ServiceError>
    where
        W: FnOnce(Vec<u8>, &Manifest, &Limits) -> Result<(Vec<u8>, Rendition), Withheld> + Send + 'static,
    {
        if !row.is_raw_kept {
            return Err(NOT_KEPT);
        }
        let manifest: Manifest =
            serde_json::from_str(&row.manifest).map_err(|error| ServiceError::Internal(error.into()))?;
        // What is read, and what is made of it.
        let size = u32::try_from(row.size / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let room = Arc::clone(&self.bodies.room).acquire_many_owned(size.saturating_mul(3).min(ROOM)).await;
        let mut room = room.map_err(|error| ServiceError::Unavailable(error.into()))?;
        let bytes = (self.bodies.read)(row.body.clone()).await.map_err(ServiceError::Unavailable)?;
        let limits = self.bodies.limits;
        let made = tokio::task::spawn_blocking(move || work(bytes, &manifest, &limits));
        let made = made.await.map_err(|error| ServiceError::Internal(error.into()))?;
        let (made, rendition) = made.map_err(|why| match why {
            Withheld::Nothing => ServiceError::NotFound("attachment or text in this message"),
            Withheld::Report => Refusal::Scope(Scope::JournalBcc).into(),
        })?;
        // While it is sent, only what is sent is there.
        let left = (made.len() / 1024 + 1).min(room.num_permits());
        drop(room.split(room.num_permits() - left));
        Ok((Bytes::from_owner(Held { bytes: made, _room: room }), rendition))
    }
}

/// Bytes that count as memory in use.
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why bytes are not given out.
enum Withheld {
    /// There is no such thing in them.
    Nothing,
    /// They are a journal report, with whom it names.
    Report,
}

const NOT_KEPT: ServiceError = ServiceError::NotFound("message with its bytes: its route does not keep them");

/// Seconds for which a link can be made: a day.
pub const LONGEST_LINK: u32 = 24 * 3600;

fn is_copy(manifest: &Manifest) -> bool {
    manifest.envelope.forward_paths.iter().any(|path| path.recipient.is_copy())
}

fn rendition_of(
    bytes: Vec<u8>,
    manifest: &Manifest,
    shows_blind: bool,
    limits: &Limits,
) -> Result<(Vec<u8>, Rendition), Withheld> {
    let routes = RouteAddresses::new(manifest.route_addresses());
    let whole = |bytes: Vec<u8>| {
        let made = rendition::of(&bytes, &routes, Blind::Shown, limits);
        let rendition = if made == bytes { Rendition::Exact } else { Rendition::Redacted };
        (made, rendition)
    };
    if shows_blind || !is_copy(manifest) {
        return Ok(whole(bytes));
    }
    let opened = open_all(manifest, &bytes, limits);
    if opened.iter().any(Opened::shows_a_report) {
        return Err(Withheld::Report);
    }
    let Some(report) = opened.iter().find(|one| one.is_journal()) else { return Ok(whole(bytes)) };
    let (original, _) = report.original(&bytes).ok_or(Withheld::Report)?;
    let made = rendition::of(original, &routes, Blind::Hidden, limits);
    let rendition = if made == original { Rendition::Original } else { Rendition::RedactedOriginal };
    Ok((made, rendition))
}

/// The octets of an attachment without route addresses, where it is a message or a text; other files stay as they are.
fn without_routes(
    octets: Vec<u8>,
    attachment: &Attachment,
    routes: &RouteAddresses,
    limits: &Limits,
) -> (Vec<u8>, Rendition) {
    let made = match attachment.content_type.split('/').next() {
        Some("message") => rendition::of(&octets, routes, Blind::Shown, limits),
        Some("text") => routes.redact_octets(&octets).into_owned(),
        _ => return (octets, Rendition::Exact),
    };
    let rendition = if made == octets { Rendition::Exact } else { Rendition::Redacted };
    (made, rendition)
}

/// The attachments that events describe, each once.
fn described(events: &[EventRow]) -> impl Iterator<Item = &Value> {
    let mut known = Vec::new();
    let all = events.iter().filter_map(|event| event.content.get("attachments")?.as_array()).flatten();
    all.filter(move |one| {
        let name = (one.get("index"), one.get("sha256"));
        let is_new = !known.contains(&name);
        known.push(name);
        is_new
    })
}

/// The digest of the attachment that is wanted, where an event that the caller sees describes it.
fn digest_of(events: &[EventRow], wanted: Wanted<'_>) -> Result<String, ServiceError> {
    let is_wanted = |one: &&Value| {
        one.get("index").and_then(Value::as_u64) == u64::try_from(wanted.number).ok()
            && wanted.sha256.is_none_or(|sha256| one.get("sha256").and_then(Value::as_str) == Some(sha256))
    };
    let found = described(events).find(is_wanted).and_then(|one| one.get("sha256")).and_then(Value::as_str);
    found.map(str::to_owned).ok_or(ServiceError::NotFound("attachment"))
}

fn body_of(id: MessageId, message: &Message, routes: &RouteAddresses) -> MessageBody {
    let told = |text: &str| routes.redact(text).into_owned();
    let source = match message.text_source {
        TextSource::Plain => "plain",
        TextSource::Html => "html",
        TextSource::None => "none",
    };
    MessageBody {
        message_id: id.to_string(),
        subject: told(&message.subject),
        visible_text: told(&text::part(&message.text, &message.text_spans(), Part::Visible)),
        text: told(&message.text),
        text_source: source.to_owned(),
        read_from: "message".to_owned(),
    }
}

fn body_of_event(row: &MessageRow, content: &Value) -> MessageBody {
    let text = |name: &str| content.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    MessageBody {
        message_id: row.id.to_string(),
        subject: text("subject"),
        text: text("text"),
        visible_text: text("visibleText"),
        text_source: text("textSource"),
        read_from: "event".to_owned(),
    }
}
