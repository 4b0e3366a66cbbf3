//~ E0451
// Only the gate fills the fields.
use connex::governance::{Admission, Content, ContentHash, IdentityOwner, ReleasableMessage};
use connex::ids::{ReleaseId, TenantId};

pub fn attack(
    (release, tenant): (ReleaseId, TenantId),
    (hash, content): (ContentHash, Content),
    admission: Admission,
) -> ReleasableMessage {
    ReleasableMessage { release, tenant, hash, owner: IdentityOwner::Connex, content, remaining: Vec::new(), admission }
}
