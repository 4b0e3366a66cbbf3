//~ E0308
// No key signs what is approved and not released.
use connex::clock::Timestamp;
use connex::governance::ApprovedDraft;
use connex::outbound::keys::SigningKey;
use connex::outbound::sign::{SignError, SignedMessage, sign};

pub fn attack(approved: ApprovedDraft, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    sign(approved, keys, now)
}
