//~ E0308
// A draft does not leave as a notice.
use connex::clock::Timestamp;
use connex::governance::Draft;
use connex::outbound::keys::SigningKey;
use connex::outbound::sign::{SignError, SignedMessage, sign_notice};

pub fn attack(draft: Draft, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    sign_notice(draft, keys, now)
}
