//! What is told of a transaction when it is over: one log line and one count.

use tracing::info;

use super::Session;
use crate::clock::Timestamp;
use crate::ids::{DraftId, MessageId};
use crate::intake::RecipientAnswer;
use crate::smtp::tenants::{Seat, Tenants};
use crate::spool::SpooledMessage;

/// The account of one open transaction.
#[derive(Debug)]
pub(super) struct Ledger {
    opened: Timestamp,
    /// What the peer called itself; the machine forgets it when it closes.
    helo: Box<str>,
    seat: Option<Seat>,
    recipients: u32,
    refused: u32,
    stored: Option<(MessageId, u64)>,
    drafted: Option<DraftId>,
}

impl Ledger {
    pub(super) fn open(now: Timestamp, helo: &str) -> Self {
        Self { opened: now, helo: helo.into(), seat: None, recipients: 0, refused: 0, stored: None, drafted: None }
    }

    /// Notes what is known of a recipient; whether its tenant may have this transaction too. All recipients of one are of
    /// one tenant, so the first that is known decides.
    pub(super) fn asked(&mut self, answer: RecipientAnswer, tenants: &Tenants) -> bool {
        let has_room = match answer {
            RecipientAnswer::Known { recipient, .. } if self.seat.is_none() => {
                self.seat = tenants.enter(recipient.tenant());
                self.seat.is_some()
            }
            _ => true,
        };
        let is_known = matches!(answer, RecipientAnswer::Known { .. }) && has_room;
        let count = if is_known { &mut self.recipients } else { &mut self.refused };
        *count = count.saturating_add(1);
        has_room
    }

    pub(super) const fn stored(&mut self, message: &SpooledMessage) {
        self.stored = Some((message.id(), message.size()));
    }

    /// Notes the draft that a submission for so many recipients became.
    pub(super) fn drafted(&mut self, draft: DraftId, recipients: usize) {
        self.drafted = Some(draft);
        self.recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
    }

    /// Closes the account with the code of the last reply, 0 when the peer went away.
    pub(super) fn close<I>(&self, session: &Session<I>, code: u16) {
        let outcome = match (self.stored, code) {
            _ if self.drafted.is_some() && code < 400 => "drafted",
            (Some(_), _) => "accepted",
            (None, 400..=499) => "deferred",
            (None, 500..) => "refused",
            (None, _) => "abandoned",
        };
        metrics::counter!("connex_smtp_messages_total", "outcome" => outcome).increment(1);
        let spent = session.shared.acceptor.clock().now().since(self.opened);
        let (id, size) = self.stored.unzip();
        let message = id.map(tracing::field::display);
        info!(
            session.id = %session.id,
            message.id = message,
            draft.id = self.drafted.map(tracing::field::display),
            peer.ip = session.peer.address.map(tracing::field::display),
            door = session.shared.door.as_str(),
            helo = &*self.helo,
            tls = session.tls.as_deref(),
            size_bytes = size,
            recipients = self.recipients,
            recipients_refused = self.refused,
            reply.code = code,
            duration_ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
            outcome,
            "Transaction of session `{}` is over: {outcome}",
            session.id,
        );
    }
}
