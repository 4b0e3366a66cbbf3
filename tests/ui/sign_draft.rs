//~ E0308
// No key signs a draft.
use connex::clock::Timestamp;
use connex::governance::Draft;
use connex::outbound::keys::SigningKey;
use connex::outbound::sign::{SignError, SignedMessage, sign};

pub fn attack(draft: Draft, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    sign(draft, keys, now)
}
