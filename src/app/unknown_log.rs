//! Whether a log without a cursor belongs to the database beside it.
//!
//! A database that was lost or replaced would let all earlier mail be recorded as poisoned, in good order and unnoticed.
//! A first start that was cut short before its first cursor looks alike, but there the recipients are known.

use crate::ids::OPERATOR;
use crate::mail::envelope::Recipient;
use crate::spool::log::{Log, Position};
use crate::store::Store;

use super::AppError;

/// Whether `store` knows a recipient of the first message of `log`, or there is no message. One message tells: had the
/// log grown with this database, its tenants would be here.
pub(super) async fn is_known(store: &Store, log: &Log) -> Result<bool, AppError> {
    let log = log.clone();
    let read = tokio::task::spawn_blocking(move || log.read_after(Position::START, 1, 1)).await;
    let first = read.map_err(|_| AppError::Interrupted)??;
    let Some(message) = first.first() else { return Ok(true) };
    let tenants = store.tenants().await?;
    for path in &message.manifest.envelope.forward_paths {
        let is_known = match path.recipient {
            // Every database has this tenant, with other mailboxes.
            Recipient::Mailbox { tenant: OPERATOR, mailbox } => {
                store.for_tenant(OPERATOR).mailboxes().await?.iter().any(|row| row.id == mailbox)
            }
            recipient => tenants.iter().any(|tenant| tenant.id == recipient.tenant()),
        };
        if is_known {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
