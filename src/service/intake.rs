//! Mail that a program hands in by the API: the same promise as at every other door.
//!
//! What it must never do: say that a message is taken which is not on stable storage, or take mail for another tenant than
//! that of the caller's key: its addresses look like those that nobody has.
//!
//! # Calls that are made again
//! With an `Idempotency-Key` the answer, and with it the message's id, is written down before the message is stored, and
//! marked as given when the message is durable. Whatever ends in between, the next call with the key stores the message under
//! the same id, which is one message however often it is stored.

mod calls;
pub mod deliveries;

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{Authenticated, MailIngest};
use super::{Fault, Service, ServiceError};
use crate::ids::MessageId;
use crate::intake::{Acceptor, Offer, RecipientAnswer};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Origin, Provider, Recipient, ToldClient};
use crate::spool::{Admission, Incoming, SpoolError};

/// Recipients of one message.
pub const RECIPIENTS: usize = 1_000;
/// Header that has MAIL FROM.
pub const MAIL_FROM: &str = "X-Connex-Mail-From";
/// Header that has RCPT TO.
pub const RCPT_TO: &str = "X-Connex-Rcpt-To";

/// Header that has the address of the SMTP client from which the caller has the message.
pub const CLIENT_ADDRESS: &str = "X-Connex-Client-Address";
/// Header that has what that client called itself.
pub const CLIENT_HELO: &str = "X-Connex-Client-Helo";

/// Asks whom an address names here, for who hands mail in.
pub type AskRecipient = Arc<dyn Fn(Mailbox, ReversePath, Origin) -> BoxFuture<'static, RecipientAnswer> + Send + Sync>;

/// What this use case needs of the doors.
#[derive(Clone)]
pub struct MailDoor {
    /// Takes messages for good.
    pub acceptor: Acceptor,
    /// Whom an address names.
    pub recipient: AskRecipient,
    /// Octets of a message.
    pub message_size: u64,
    /// Mail that providers hand over.
    pub deliveries: deliveries::DeliverySettings,
}

/// The envelope as a caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenEnvelope {
    /// MAIL FROM without angle brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// RCPT TO without angle brackets.
    pub forward_paths: Vec<String>,
    /// Address of the caller.
    pub peer: Option<IpAddr>,
    /// From whom the caller has the message: by that its sender is judged.
    pub client: Option<ToldClient>,
    /// What names the call, where it may be made again.
    pub call: Option<NamedCall>,
}

/// A call that may be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCall {
    /// The `Idempotency-Key`.
    pub key: String,
    /// What it is of: with other words here, or other bytes, it is another call. Without an empty line.
    pub of: String,
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntakeAnswer {
    /// Our id of the message, as in `/api/v1/messages/{id}`.
    pub message_id: String,
    /// Octets that were stored.
    pub size: u64,
}

/// An answer, and whether it is that of an earlier call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeReply {
    /// What was taken.
    pub answer: IntakeAnswer,
    /// Whether nothing was taken now: an earlier call with the same key did it.
    pub is_replayed: bool,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The message is over the cap.
    #[error("over {limit} octets")]
    TooLarge {
        /// The cap.
        limit: u64,
    },
    /// Any other reason.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A message whose envelope was accepted, and whose bytes are coming. Dropping it gives it up.
#[derive(Debug)]
pub struct ArrivingMail {
    acceptor: Acceptor,
    incoming: Incoming,
    envelope: Envelope,
    origin: Origin,
    limit: u64,
    call: Option<calls::ArrivingCall>,
}

impl Service {
    /// Accepts the envelope of a message, before its first byte.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names each recipient that is none of the caller's tenant, or an address that is none;
    /// [`ServiceError::Unavailable`] when mail cannot be taken now.
    pub async fn begin_mail(
        &self,
        given: GivenEnvelope,
        caller: &Authenticated<MailIngest>,
    ) -> Result<ArrivingMail, ServiceError> {
        let door = self.mail.as_ref().ok_or_else(|| not_now("no mail is taken here"))?;
        if door.acceptor.admission() != Admission::Open {
            return Err(not_now("the spool takes no mail now"));
        }
        let origin = self.origin(given.peer, None, given.client, caller);
        let envelope = format!("{}\n{}", given.reverse_path, given.forward_paths.join("\n"));
        let reverse_path = ReversePath::try_from(given.reverse_path)
            .map_err(|error| ServiceError::Invalid(vec![Fault::at(MAIL_FROM, format!("is no address: {error}"))]))?;
        let count = given.forward_paths.len();
        if !(1..=RECIPIENTS).contains(&count) {
            let fault = Fault::at(RCPT_TO, format!("must name 1 to {RECIPIENTS} recipients"));
            return Err(ServiceError::Invalid(vec![fault]));
        }
        let mut forward_paths: Vec<ForwardPath> = Vec::new();
        let mut faults = Vec::new();
        for (index, text) in given.forward_paths.iter().enumerate() {
            match door.known(text, &reverse_path, &origin, caller).await? {
                Ok(path) => match forward_paths.first() {
                    Some(first) if first.recipient.is_copy() != path.recipient.is_copy() => {
                        faults.push(at(index, "mailboxes and routes do not share a message: send it once for each"));
                    }
                    _ => forward_paths.push(path),
                },
                Err(why) => faults.push(at(index, why)),
            }
        }
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let call = given.call.map(|call| NamedCall { of: [call.of, envelope].join("\n"), ..call });
        Ok(self.arriving(door, (reverse_path, forward_paths), origin, call.as_ref(), caller))
    }

    fn origin(
        &self,
        peer: Option<IpAddr>,
        provider: Option<Provider>,
        client: Option<ToldClient>,
        caller: &Authenticated<MailIngest>,
    ) -> Origin {
        Origin {
            door: Door::Http,
            session: self.clock().mint(),
            peer,
            proxy: None,
            helo: String::new(),
            tls: None,
            authenticated: Some(caller.principal().key_id()),
            certificate: None,
            provider,
            client: client.map(Box::new),
        }
    }

    fn arriving(
        &self,
        door: &MailDoor,
        (reverse_path, forward_paths): (ReversePath, Vec<ForwardPath>),
        origin: Origin,
        call: Option<&NamedCall>,
        caller: &Authenticated<MailIngest>,
    ) -> ArrivingMail {
        let body = BodyKind::EightBitMime;
        let envelope =
            Envelope { reverse_path, forward_paths, body, smtputf8: false, envelope_id: None, returned: None };
        let call = call.map(|call| calls::ArrivingCall::new(self, call, caller));
        let (acceptor, limit) = (door.acceptor.clone(), door.message_size);
        ArrivingMail { incoming: acceptor.begin(), acceptor, envelope, origin, limit, call }
    }
}

impl MailDoor {
    /// The recipient that `text` names, or why it is none; an error when that cannot be told now.
    async fn known(
        &self,
        text: &str,
        reverse_path: &ReversePath,
        origin: &Origin,
        caller: &Authenticated<MailIngest>,
    ) -> Result<Result<ForwardPath, &'static str>, ServiceError> {
        let Ok(mailbox) = Mailbox::parse(text) else { return Ok(Err("is no address")) };
        let recipient = match (self.recipient)(mailbox.clone(), reverse_path.clone(), origin.clone()).await {
            RecipientAnswer::Known { recipient, .. } => recipient,
            RecipientAnswer::Unknown | RecipientAnswer::Foreign | RecipientAnswer::Closed => return Ok(Err(NOBODY)),
            RecipientAnswer::TooLarge => return Ok(Err("takes no message of this size")),
            RecipientAnswer::NotAuthorised => return Err(not_now("the route does not name this key")),
            RecipientAnswer::Paused
            | RecipientAnswer::Retired
            | RecipientAnswer::Overloaded
            | RecipientAnswer::Unavailable => {
                return Err(not_now("a recipient takes no mail now"));
            }
        };
        if recipient.tenant() != caller.principal().tenant() {
            return Ok(Err(NOBODY));
        }
        match recipient {
            Recipient::Mailbox { .. } => {
                let (user, _) = mailbox.split_detail();
                caller.require_mailbox(Some(&format!("{user}@{}", mailbox.domain())))?;
            }
            Recipient::Route { .. } => caller.require_all_mailboxes()?,
        }
        Ok(Ok(ForwardPath::new(mailbox, recipient)))
    }
}

impl ArrivingMail {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The message cannot be taken any more.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        if self.incoming.len().saturating_add(bytes.len() as u64) > self.limit {
            return Err(IntakeError::TooLarge { limit: self.limit });
        }
        if let Some(call) = &mut self.call {
            call.push(bytes);
        }
        self.incoming.push(bytes).await.map_err(|error| ServiceError::Unavailable(error.into()).into())
    }

    /// Stores the message; returns when it is on stable storage.
    ///
    /// # Errors
    /// The message does not count as stored; [`ServiceError::Conflict`] when the call's key was used for another message.
    pub async fn accept(self) -> Result<IntakeReply, ServiceError> {
        let Self { acceptor, incoming, envelope, origin, call, .. } = self;
        if incoming.is_empty() {
            return Err(ServiceError::Invalid(vec![Fault::at("", "is empty: it must be a message (RFC 5322)")]));
        }
        let minted = acceptor.clock().mint::<MessageId>();
        let (id, call) = match call {
            None => (minted, None),
            Some(call) => match call.begin(minted, incoming.len()).await? {
                calls::Begun::Answered(answer) => return Ok(IntakeReply { answer, is_replayed: true }),
                calls::Begun::ToDo(id, call) => (id, Some(call)),
            },
        };
        let offer = Offer { envelope, origin, defects: Vec::new(), milter: None };
        let stored = match acceptor.accept_as(id, incoming, offer).await {
            Ok(stored) => stored,
            Err(error) => {
                if let Some(call) = call {
                    call.failed(&error).await;
                }
                return Err(match error {
                    // Trying again would not help: the mailbox does not take what fails DMARC.
                    SpoolError::Refused => {
                        ServiceError::Invalid(vec![Fault::at("", "fails DMARC, and no recipient takes that")])
                    }
                    error => ServiceError::Unavailable(error.into()),
                });
            }
        };
        if let Some(call) = call {
            call.done().await;
        }
        tracing::info!(message.id = %id, size_bytes = stored.size(), "Accepted message `{id}` by the API");
        let answer = IntakeAnswer { message_id: stored.id().to_string(), size: stored.size() };
        Ok(IntakeReply { answer, is_replayed: false })
    }
}

impl std::fmt::Debug for MailDoor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MailDoor").field("message_size", &self.message_size).finish_non_exhaustive()
    }
}

/// Unknown, of another domain, or of another tenant: one answer.
const NOBODY: &str = "is nobody here";

fn at(index: usize, message: &str) -> Fault {
    Fault::at(format!("{RCPT_TO}/{index}"), message)
}

fn not_now(why: &'static str) -> ServiceError {
    ServiceError::Unavailable(why.into())
}
