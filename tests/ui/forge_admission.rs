//~ E0451
// Only the gate says what goes on record as its answer, and only with that can sending begin.
use connex::governance::{Admission, ContentHash};

pub fn attack(content_hash: ContentHash) -> Admission {
    Admission { content_hash, ruling: "release", reasons: Vec::new(), policy: String::new() }
}
