//~ E0603
// The one function behind both doors cannot be called.
use connex::governance::gate::mint;

pub fn attack() {
    let _ = mint;
}
