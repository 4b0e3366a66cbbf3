//! A submission: gathered in memory as a whole, then handed up.
//!
//! # Security
//! All that is gathered counts for the memory that bodies share; a message is bounded by the door's limit.

use tokio::time::{Duration, timeout};
use tracing::warn;

use super::Session;
use crate::intake::{Intake, SubmissionAnswer, SubmissionRefusal, SubmittedMail};
use crate::mail::address::Mailbox;
use crate::smtp::memory::Share;
use crate::smtp::reply;
use crate::smtp::state::Input;

/// Octets that have come, and the memory that they take.
pub(super) struct Gathered {
    bytes: Vec<u8>,
    share: Share,
}

/// How long the layers above have for a draft. A client waits ten minutes for the reply (RFC 5321 §4.5.3.2.6).
const PATIENCE: Duration = Duration::from_secs(60);

impl<I: Intake> Session<I> {
    /// Keeps octets of a submission; whether there was memory for them.
    pub(super) fn gather(&mut self, run: &[u8]) -> bool {
        let memory = &self.shared.pool.memory;
        let gathered =
            self.gathered.get_or_insert_with(|| Box::new(Gathered { bytes: Vec::new(), share: memory.share() }));
        if !gathered.share.hold(run.len()) {
            warn!(session.id = %self.id, error.kind = "memory", temporary = true, "No memory is left for a submission");
            return false;
        }
        gathered.bytes.extend_from_slice(run);
        true
    }

    /// Hands up what was gathered.
    pub(super) async fn submit(&mut self, recipients: Vec<Mailbox>) -> Input<'static> {
        let (bytes, _share) = self.gathered.take().map(|gathered| (gathered.bytes, gathered.share)).unzip();
        let count = recipients.len();
        let mail =
            SubmittedMail { recipients, bytes: bytes.unwrap_or_default(), origin: self.origin(self.machine.helo()) };
        // Boxed: the future of the layers above must not make every idle session larger.
        let answer = timeout(PATIENCE, Box::pin(self.shared.intake.submit(mail))).await;
        match answer.unwrap_or(SubmissionAnswer::Refused(SubmissionRefusal::Unavailable)) {
            SubmissionAnswer::Drafted(drafted) => {
                self.pace.taken(tokio::time::Instant::now(), self.shared.settings.limits());
                if let Some(ledger) = &mut self.ledger {
                    ledger.drafted(drafted.draft(), count);
                }
                Input::Stored(reply::drafted(&drafted))
            }
            SubmissionAnswer::Denied { draft, codes } => Input::NotDrafted(reply::denied(draft, &codes)),
            SubmissionAnswer::Refused(refusal) => Input::NotDrafted(reply::not_drafted(&refusal)),
        }
    }
}
