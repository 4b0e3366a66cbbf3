//~ E0451
// An identity comes from what is registered; nobody else says who owns it.
use connex::governance::{Identity, IdentityOwner, ReplyPolicy};

pub fn attack() -> Identity {
    Identity {
        owner: IdentityOwner::Connex,
        policy: ReplyPolicy::PolicyAuto,
        is_registered: true,
        is_contradicted: false,
        external_reply_url: None,
    }
}
