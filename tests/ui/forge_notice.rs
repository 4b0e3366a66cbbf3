//~ E0451
// Only the gate fills the fields: a notice has no words but those of the gateway.
use connex::governance::{Content, ContentHash, ReleasableNotice};
use connex::ids::{NoticeId, TenantId};

pub fn attack(notice: NoticeId, tenant: TenantId, hash: ContentHash, content: Content) -> ReleasableNotice {
    ReleasableNotice { notice, tenant, hash, content }
}
