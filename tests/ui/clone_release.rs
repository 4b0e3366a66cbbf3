//~ E0277
// A release cannot be copied before it is spent.
use connex::governance::ReleasableMessage;

fn copy<T: Clone>(value: &T) -> T {
    value.clone()
}

pub fn attack(message: &ReleasableMessage) -> ReleasableMessage {
    copy(message)
}
