//! Mail that providers hand over by webhook.
//!
//! A delivery may name several recipients. Those that are known here get the message; one that is not does not keep it from
//! the others, and is named in the answer. One that takes no mail now puts the whole delivery off. Mailboxes and routes never
//! share a message, so that a delivery for both becomes two. The delivery's own id is the `Idempotency-Key` of each.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::{IntakeAnswer, IntakeError, MailDoor, NamedCall, not_now};
use crate::intake::provider::form::Fields;
use crate::intake::provider::mailgun::{self, SignatureError};
use crate::intake::provider::{Delivery, ReadError, postmark, sendgrid, ses};
use crate::mail::address::ReversePath;
use crate::mail::envelope::{ForwardPath, Provider, ToldClient};
use crate::service::keys::{Authenticated, MailIngest};
use crate::service::{Conflict, Fault, Service, ServiceError};
use crate::spool::Admission;

/// What the operator says about providers.
#[derive(Clone)]
pub struct DeliverySettings {
    room: Arc<Semaphore>,
    /// Octets of `room`.
    memory: u64,
    mailgun_keys: Arc<[String]>,
    ses_topics: Arc<[String]>,
}

impl DeliverySettings {
    /// With `memory` octets for bodies that are being read, the signing keys of Mailgun accounts (none: no signature is
    /// asked for), and the SNS topics that are listened to.
    #[must_use]
    pub fn new(memory: u64, mailgun_keys: Vec<String>, ses_topics: Vec<String>) -> Self {
        let permits = usize::try_from(memory / UNIT).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let (mailgun_keys, ses_topics) = (mailgun_keys.into(), ses_topics.into());
        Self { room: Arc::new(Semaphore::new(permits)), memory, mailgun_keys, ses_topics }
    }
}

impl std::fmt::Debug for DeliverySettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DeliverySettings").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// In which octets of bodies are counted.
const UNIT: u64 = 1 << 10;
/// A body counts twice: as it came, and the message that is read from it.
const COUNTS: u64 = 2;
/// How much larger than its message a body may be: Postmark sends text and attachments beside the message itself.
const LARGER: u64 = 3;
/// Octets of a body beside its message.
const FRAME: u64 = 1 << 20;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryAnswer {
    /// What was stored: one message, or two where mailboxes and routes are among the recipients. Empty for a notice that
    /// holds no mail.
    pub messages: Vec<IntakeAnswer>,
    /// Recipients that did not get it, and why.
    pub refused: Vec<Fault>,
}

/// An answer, and whether it is that of an earlier call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReply {
    /// What became of it.
    pub answer: DeliveryAnswer,
    /// Whether nothing was stored now.
    pub is_replayed: bool,
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The provider hands over something else than the message; what to switch on there.
    #[error("{0}")]
    NotRaw(&'static str),
    /// It is not what the provider sends.
    #[error("{0}")]
    Malformed(&'static str),
    /// Its signature is by none of the configured keys.
    #[error("the signature is by no key of providers.mailgun_signing_keys")]
    Signature,
    /// Its topic is not listed.
    #[error("the topic is not in providers.ses_topics")]
    Topic,
    /// It is over the cap.
    #[error("over {limit} octets")]
    TooLarge {
        /// The cap.
        limit: u64,
    },
    /// Nobody takes it, now or later.
    #[error("no recipient takes it")]
    Refused(Vec<Fault>),
    /// The delivery's id came before with another message.
    #[error("the delivery's id came before with another message")]
    Reused,
    /// Any other reason; the delivery may be taken later.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A delivery whose bytes are coming. Dropping it gives it up.
#[derive(Debug)]
pub struct ArrivingDelivery {
    service: Service,
    door: MailDoor,
    provider: Provider,
    chunks: Vec<Bytes>,
    size: u64,
    limit: u64,
    room: Vec<OwnedSemaphorePermit>,
}

impl Service {
    /// Begins to take what `provider` hands over.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when no mail can be taken now.
    pub fn begin_delivery(&self, provider: Provider) -> Result<ArrivingDelivery, ServiceError> {
        let door = self.mail.clone().ok_or_else(|| not_now("no mail is taken here"))?;
        if door.acceptor.admission() != Admission::Open {
            return Err(not_now("the spool takes no mail now"));
        }
        let limit = door.message_size.saturating_mul(LARGER).saturating_add(FRAME).min(door.deliveries.memory / COUNTS);
        let service = self.clone();
        Ok(ArrivingDelivery { service, door, provider, chunks: Vec::new(), size: 0, limit, room: Vec::new() })
    }
}

impl ArrivingDelivery {
    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// [`DeliveryError::TooLarge`]; [`ServiceError::Unavailable`] while the memory for bodies is spent.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), DeliveryError> {
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > self.limit {
            return Err(DeliveryError::TooLarge { limit: self.limit });
        }
        let units = |size: u64| size.saturating_mul(COUNTS).div_ceil(UNIT);
        let more = u32::try_from(units(size) - units(self.size)).unwrap_or(u32::MAX);
        if more > 0 {
            let room = Arc::clone(&self.door.deliveries.room).try_acquire_many_owned(more);
            self.room.push(room.map_err(|_| not_now("the memory for bodies of providers is spent"))?);
        }
        self.size = size;
        self.chunks.push(bytes);
        Ok(())
    }

    /// Reads the body, which is of the type `content_type`, and stores its message; returns when that is on stable storage.
    ///
    /// # Errors
    /// Nothing counts as stored, or not for all: the provider must try again unless the error says that this is of no use.
    pub async fn accept(
        mut self,
        content_type: &str,
        peer: Option<IpAddr>,
        caller: &Authenticated<MailIngest>,
    ) -> Result<DeliveryReply, DeliveryError> {
        let body = std::mem::take(&mut self.chunks).concat();
        let settings = &self.door.deliveries;
        let delivery = match self.provider {
            Provider::Postmark => postmark::read(&body)?,
            Provider::Mailgun => {
                let mut fields = Fields::read(content_type, &body)?;
                if !settings.mailgun_keys.is_empty() {
                    let keys = settings.mailgun_keys.iter().map(String::as_str);
                    mailgun::check(&fields, keys, self.service.clock().now())?;
                }
                mailgun::read(&mut fields)?
            }
            Provider::Sendgrid => sendgrid::read(&mut Fields::read(content_type, &body)?)?,
            Provider::Ses => match notice(ses::read(&body)?, &settings.ses_topics)? {
                Some(delivery) => delivery,
                None => return Ok(DeliveryReply { answer: nothing(), is_replayed: false }),
            },
        };
        self.store(delivery, peer, caller).await
    }

    async fn store(
        &self,
        delivery: Delivery<'_>,
        peer: Option<IpAddr>,
        caller: &Authenticated<MailIngest>,
    ) -> Result<DeliveryReply, DeliveryError> {
        let door = &self.door;
        if delivery.message.len() as u64 > door.message_size {
            return Err(DeliveryError::TooLarge { limit: door.message_size });
        }
        let client = delivery.client.map(|address| ToldClient { address, helo: String::new() });
        let origin = self.service.origin(peer, Some(self.provider), client, caller);
        // What cannot be an address is none that a report could go to.
        let reverse_path = ReversePath::try_from(delivery.reverse_path).unwrap_or(ReversePath::Null);
        let (mut paths, mut refused) = (Vec::<ForwardPath>::new(), Vec::new());
        for text in &delivery.forward_paths {
            match door.known(text, &reverse_path, &origin, caller).await? {
                Ok(path) => paths.push(path),
                Err(why) => refused.push(Fault::at(text.clone(), why)),
            }
        }
        let (routes, mailboxes): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.recipient.is_copy());
        let mut reply = DeliveryReply { answer: DeliveryAnswer { messages: Vec::new(), refused }, is_replayed: true };
        for (part, paths) in [("mailboxes", mailboxes), ("routes", routes)] {
            let Some(all) = (!paths.is_empty()).then(|| paths.iter().map(|path| path.mailbox.to_string())) else {
                continue;
            };
            let all: Vec<String> = all.collect();
            let name = self.provider.as_str();
            // By the envelope as the provider has it: whom of it this gateway knows may change between two calls.
            let to = delivery.forward_paths.join("\n");
            let of = format!("delivery by {name}\n{reverse_path}\n{to}");
            let call = NamedCall { key: format!("{name}:{}:{part}", delivery.id), of };
            let envelope = (reverse_path.clone(), paths);
            let mut mail = self.service.arriving(door, envelope, origin.clone(), Some(&call), caller);
            mail.push(&delivery.message).await.map_err(|error| match error {
                IntakeError::TooLarge { limit } => DeliveryError::TooLarge { limit },
                IntakeError::Service(error) => error.into(),
            })?;
            match Box::pin(mail.accept()).await {
                Ok(taken) => {
                    reply.is_replayed &= taken.is_replayed;
                    reply.answer.messages.push(taken.answer);
                }
                Err(ServiceError::Invalid(faults)) => {
                    let why = faults.into_iter().next().map(|fault| fault.message).unwrap_or_default();
                    reply.answer.refused.extend(all.into_iter().map(|address| Fault::at(address, why.clone())));
                }
                Err(ServiceError::Conflict(Conflict::KeyReused)) => return Err(DeliveryError::Reused),
                Err(error) => return Err(error.into()),
            }
        }
        if reply.answer.messages.is_empty() {
            return Err(DeliveryError::Refused(reply.answer.refused));
        }
        Ok(reply)
    }
}

/// The message of a notice; `None` where it holds none, which the operator is told.
fn notice(notice: ses::Notice, listed: &[String]) -> Result<Option<Delivery<'static>>, DeliveryError> {
    let ses::Notice { topic, content } = notice;
    if !listed.contains(&topic) {
        // Whoever holds a key may write anything here; what is no name of a topic is not repeated.
        let is_name = topic.len() <= 400 && topic.bytes().all(|byte| byte.is_ascii_graphic());
        let topic = if is_name { topic.as_str() } else { "?" };
        tracing::warn!(
            error.kind = "configuration",
            "An SNS topic is not in providers.ses_topics, and its notice was put off: {topic}"
        );
        return Err(DeliveryError::Topic);
    }
    match content {
        ses::Content::Message(delivery) => Ok(Some(delivery?)),
        ses::Content::Confirmation(Some(url)) => {
            tracing::warn!(
                error.kind = "configuration",
                "SNS waits for the subscription to topic {topic} to be confirmed: if it is yours, open {url}"
            );
            Ok(None)
        }
        ses::Content::Confirmation(None) => {
            Err(ReadError::Malformed("the SubscribeURL is no https address of SNS in the topic's region").into())
        }
        ses::Content::Unsubscribed => {
            tracing::warn!(error.kind = "configuration", "The subscription to SNS topic {topic} ended");
            Ok(None)
        }
    }
}

const fn nothing() -> DeliveryAnswer {
    DeliveryAnswer { messages: Vec::new(), refused: Vec::new() }
}

impl From<ReadError> for DeliveryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotRaw(what) => Self::NotRaw(what),
            ReadError::Malformed(what) => Self::Malformed(what),
        }
    }
}

impl From<SignatureError> for DeliveryError {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Unknown => Self::Signature,
            SignatureError::Stale => Self::Malformed("the signature is older than 12 hours, or of the future"),
        }
    }
}
