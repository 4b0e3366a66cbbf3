//! The `Idempotency-Key` of a call that hands mail in: one message, however often the call is made.

use ring::digest;

use super::{IntakeAnswer, NamedCall};
use crate::ids::MessageId;
use crate::service::keys::{Authenticated, MailIngest};
use crate::service::{Conflict, Service, ServiceError};
use crate::spool::SpoolError;
use crate::store::TenantStore;
use crate::store::idempotency::{KeyedCall, Once};

/// A named call whose bytes are coming.
pub(super) struct ArrivingCall {
    tenant: TenantStore,
    principal: String,
    key: String,
    /// Of what the call is of, and the bytes.
    digest: digest::Context,
}

/// A named call that is at work.
#[derive(Debug)]
pub(super) struct CallAtWork {
    tenant: TenantStore,
    call: KeyedCall,
}

/// What is to be done for a call.
pub(super) enum Begun {
    /// Nothing: its message is stored, and this was the answer.
    Answered(IntakeAnswer),
    /// Its message is to be stored under this id.
    ToDo(MessageId, Box<CallAtWork>),
}

impl ArrivingCall {
    pub(super) fn new(service: &Service, call: &NamedCall, caller: &Authenticated<MailIngest>) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        // Neither what it is of nor an address in it holds an empty line.
        digest.update(format!("{}\n\n", call.of).as_bytes());
        Self {
            tenant: service.store.for_tenant(caller.principal().tenant()),
            principal: caller.principal().key_id().to_string(),
            key: call.key.clone(),
            digest,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Takes the key, for a message of `size` octets that would get the id `minted`.
    pub(super) async fn begin(self, minted: MessageId, size: u64) -> Result<Begun, ServiceError> {
        let Self { tenant, principal, key, digest } = self;
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(digest.finish().as_ref()).for_each(|(byte, value)| *byte = *value);
        let body = serde_json::to_string(&IntakeAnswer { message_id: minted.to_string(), size }).map_err(unreadable)?;
        let call = KeyedCall { principal, key, fingerprint, body };
        let first = match tenant.begin_call(call.clone()).await? {
            Once::Replayed(body) => return Ok(Begun::Answered(serde_json::from_str(&body).map_err(unreadable)?)),
            Once::Reused => return Err(Conflict::KeyReused.into()),
            Once::InProgress => return Err(Conflict::KeyInProgress.into()),
            Once::First(body) => body,
        };
        let at_work = CallAtWork { tenant, call };
        let answer: IntakeAnswer = serde_json::from_str(&first).map_err(unreadable)?;
        let id: MessageId = answer.message_id.parse().map_err(unreadable)?;
        // An earlier attempt may have come as far as storing it.
        if id != minted && at_work.tenant.knows_message(id).await? {
            at_work.done().await;
            return Ok(Begun::Answered(answer));
        }
        Ok(Begun::ToDo(id, Box::new(at_work)))
    }
}

impl CallAtWork {
    /// The message is stored. A mark that cannot be made is made by the next call, which finds the message or stores it
    /// again under the same id.
    pub(super) async fn done(self) {
        note(self.tenant.end_call(self.call).await);
    }

    /// The message does not count as stored.
    pub(super) async fn failed(self, error: &SpoolError) {
        let is_nowhere = matches!(error, SpoolError::Refused | SpoolError::TooLarge { .. });
        note(if is_nowhere {
            self.tenant.drop_call(self.call).await
        } else {
            // It may be stored all the same: the next call goes on with its id.
            self.tenant.release_call(self.call).await
        });
    }
}

fn note(result: Result<(), crate::store::StoreError>) {
    if let Err(error) = result {
        tracing::warn!(error.kind = "store", temporary = true, "An Idempotency-Key could not be marked: {error}");
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> ServiceError {
    ServiceError::Internal(error.into())
}

/// Never shows the key.
impl std::fmt::Debug for ArrivingCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ArrivingCall").finish_non_exhaustive()
    }
}
