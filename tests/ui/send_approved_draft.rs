//~ E0308
// An approval is not a release: the owner of the identity was not asked.
use connex::governance::{ApprovedDraft, ReleasableMessage};

pub fn send(message: ReleasableMessage) -> usize {
    message.into_wire().bytes.len()
}

pub fn attack(approved: ApprovedDraft) -> usize {
    send(approved)
}
