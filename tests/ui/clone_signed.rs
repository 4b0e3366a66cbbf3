//~ E0277
// A signed message cannot be copied before it is spent.
use connex::outbound::sign::SignedMessage;

fn copy<T: Clone>(value: &T) -> T {
    value.clone()
}

pub fn attack(message: &SignedMessage) -> SignedMessage {
    copy(message)
}
