//~ E0308
// The gate makes no notice of a draft's content.
use connex::clock::Timestamp;
use connex::governance::{Content, NoticeFacts, NoticeRefused, ReleasableNotice, system_notice};

pub fn attack(content: &Content, facts: &NoticeFacts, now: Timestamp) -> Result<ReleasableNotice, NoticeRefused> {
    system_notice(content, facts, now)
}
