//~ E0451
// Nobody but the signer makes a signed message.
use connex::outbound::sign::SignedMessage;

pub fn attack(message: SignedMessage, bytes: Vec<u8>) -> SignedMessage {
    SignedMessage { bytes: bytes.into(), ..message }
}
