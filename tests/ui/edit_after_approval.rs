//~ E0616
// What was approved stays as it was.
use connex::governance::{ApprovedDraft, Content};

pub fn attack(approved: &mut ApprovedDraft, content: Content) {
    approved.version.content = content;
}
