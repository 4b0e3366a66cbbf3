//~ E0451
// Nor can an approved draft be put together by hand.
use connex::governance::{ApprovedDraft, ContentHash, Evidence, Version};

pub fn attack(version: Version, hash: ContentHash, evidence: Evidence) -> ApprovedDraft {
    ApprovedDraft { version, hash, evidence }
}
