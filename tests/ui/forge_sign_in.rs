//~ E0451
// Nobody is signed in but who was found so.
use connex::service::accounts::{Approver, SignedIn};

pub fn forge(other: SignedIn<Approver>) -> SignedIn<Approver> {
    SignedIn { role: std::marker::PhantomData, ..other }
}
