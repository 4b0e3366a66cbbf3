//~ E0308
// A draft is not sendable.
use connex::governance::{Draft, ReleasableMessage};

pub fn send(message: ReleasableMessage) -> usize {
    message.into_wire().bytes.len()
}

pub fn attack(draft: Draft) -> usize {
    send(draft)
}
