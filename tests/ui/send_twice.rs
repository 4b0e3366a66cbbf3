//~ E0382
// A release is spent by sending.
use connex::governance::ReleasableMessage;

pub fn send(message: ReleasableMessage) -> usize {
    message.into_wire().bytes.len()
}

pub fn attack(message: ReleasableMessage) -> usize {
    send(message) + send(message)
}
