//~ E0382
// A release is spent by signing.
use connex::clock::Timestamp;
use connex::governance::ReleasableMessage;
use connex::outbound::keys::SigningKey;
use connex::outbound::sign::sign;

pub fn attack(message: ReleasableMessage, keys: &[&SigningKey], now: Timestamp) -> usize {
    [sign(message, keys, now), sign(message, keys, now)].len()
}
