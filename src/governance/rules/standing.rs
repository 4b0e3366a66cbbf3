//! Rules about limits, suppressions and switches as they are now.

use super::person::{needs_approval, of_answered, valid};
use super::{Case, Finding};
use crate::governance::facts::{Quota, TrustBand};

pub(super) fn too_many_recipients(case: &Case<'_>) -> Finding {
    let (Some(mailbox), Some(version)) = (case.mailbox(), &case.version) else { return Finding::Unknown };
    let most = usize::try_from(mailbox.max_recipients).unwrap_or(usize::MAX);
    Finding::when(version.version.content.recipients().len() > most)
}

pub(super) fn suppressed_recipient(case: &Case<'_>) -> Finding {
    let (Some(suppressed), Some(version)) = (case.facts.standing.suppressed.known(), &case.version) else {
        return Finding::Unknown;
    };
    let suppressed: Vec<String> = suppressed.iter().map(crate::mail::address::Mailbox::key).collect();
    let is_suppressed = |key: String| suppressed.contains(&key);
    Finding::when(version.version.content.recipients().iter().any(|recipient| is_suppressed(recipient.key())))
}

pub(super) fn recipient_not_allowed(case: &Case<'_>) -> Finding {
    let (Some(settings), Some(version)) = (case.settings(), &case.version) else { return Finding::Unknown };
    Finding::when(!version.version.content.recipients().iter().all(|recipient| settings.admits(recipient)))
}

pub(super) fn quiet_hours(case: &Case<'_>) -> Finding {
    let quiet = case.facts.standing.quiet_until.known();
    quiet.map_or(Finding::Unknown, |until| Finding::when(until.is_some_and(|until| case.now < until)))
}

pub(super) fn auto_reply_loop(case: &Case<'_>) -> Finding {
    // RFC 3834 §2: no answer to automatic mail, and none to the null reverse-path.
    of_answered(case, |answered| {
        Finding::of(&answered.is_auto_submitted).or(Finding::of(&answered.has_null_reverse_path))
    })
    .or(over_the_rate(case))
}

/// What a person says yes to is no automatic answer.
fn over_the_rate(case: &Case<'_>) -> Finding {
    if needs_approval(case) == Finding::Applies || valid(case).next().is_some() {
        return Finding::Clear;
    }
    Finding::of(&case.facts.standing.is_over_auto_reply_rate)
}

pub(super) fn bulk_pattern(case: &Case<'_>) -> Finding {
    let (Some(sent), Some(settings)) = (case.facts.standing.similar_to_new_recipients.known(), case.settings()) else {
        return Finding::Unknown;
    };
    Finding::when(*sent > settings.similar_to_new_recipients)
}

pub(super) fn quota_exceeded(case: &Case<'_>) -> Finding {
    case.facts.standing.quota.known().map_or(Finding::Unknown, |quota| match quota {
        Quota::Open => Finding::Clear,
        Quota::UsedUpUntil(opens) => Finding::when(case.now < *opens),
    })
}

pub(super) fn tenant_restricted(case: &Case<'_>) -> Finding {
    let band = case.facts.standing.trust_band.known();
    band.map_or(Finding::Unknown, |band| Finding::when(*band == TrustBand::Blocked))
}

pub(super) fn sending_paused(case: &Case<'_>) -> Finding {
    Finding::of(&case.facts.standing.is_paused)
}
