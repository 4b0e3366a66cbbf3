//~ E0451
// Only the gate fills the fields.
use connex::governance::{Content, ContentHash, IdentityOwner, ReleasableMessage};
use connex::ids::{ReleaseId, TenantId};

pub fn attack(release: ReleaseId, tenant: TenantId, hash: ContentHash, content: Content) -> ReleasableMessage {
    ReleasableMessage { release, tenant, hash, owner: IdentityOwner::Connex, content, remaining: Vec::new() }
}
