//~ E0308
// No key signs a notice that the gate did not let out.
use connex::clock::Timestamp;
use connex::governance::Notice;
use connex::outbound::keys::SigningKey;
use connex::outbound::sign::{SignError, SignedMessage, sign_notice};

pub fn attack(notice: Notice, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    sign_notice(notice, keys, now)
}
