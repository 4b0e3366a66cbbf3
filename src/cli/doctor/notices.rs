//! Whether people get mail of the gateway itself.

use super::report::Finding;
use crate::config::Config;
use crate::ids::OPERATOR;
use crate::store::signing::KeyRecordSeen;
use crate::store::{Store, StoreError};

/// Whether notices can be sent.
pub(super) async fn gather(config: &Config, store: &Store) -> Finding {
    let Some(from) = &config.sending.notices_from else { return judge(None, None) };
    let now = store.clock().now();
    let seen = store.for_tenant(OPERATOR).key_record(from.domain(), now).await;
    judge(Some(&from.to_string()), Some(seen.map(|seen| seen == KeyRecordSeen::OfLate)))
}

fn judge(from: Option<&str>, seen: Option<Result<bool, StoreError>>) -> Finding {
    match (from, seen) {
        (Some(from), Some(Ok(true))) => Finding::good("notices", format!("people get notices from {from}")),
        (Some(from), Some(Ok(false)) | None) => Finding::problem(
            "notices",
            format!("none are sent from {from}: its domain has no signing key whose record was seen of late"),
            "connex signing add, publish its record, and connex signing check",
        ),
        (Some(_), Some(Err(error))) => Finding::note("notices", error.to_string(), "see the database above"),
        (None, _) => Finding::note(
            "notices",
            "none are sent: nobody is told by mail of invitations, new sign-ins and drafts that wait",
            "set sending.notices_from to an address of a platform domain with a signing key",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::Level;

    #[test]
    fn that_nobody_is_told_is_said() {
        assert_eq!(judge(None, None).level, Level::Note);
        assert_eq!(judge(Some("connex@in.example.org"), Some(Ok(false))).level, Level::Problem);
        assert_eq!(judge(Some("connex@in.example.org"), Some(Ok(true))).level, Level::Good);
    }
}
