//~ E0308
// A person of one role is not one of another.
use connex::service::accounts::{Approver, SignedIn, Viewer};

pub fn decide(_: &SignedIn<Approver>) {}

pub fn widen(who: &SignedIn<Viewer>) {
    decide(who);
}
