//! Held copies of a route: why they are held, what would make them believed, and deciding on them again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RouteError;
use crate::clock::Timestamp;
use crate::ids::RouteId;
use crate::store::redecisions::{HeldCopies, HeldFor};
use crate::store::{StoreError, TenantStore};

/// Who asks, where it is the operator of this machine and no key.
pub const OPERATOR: &str = "operator";

/// Held copies to be decided on again.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedecisionRequest {
    /// Those that came then or later (RFC 3339).
    #[schema(max_length = 40)]
    pub from: String,
    /// And before this.
    #[schema(max_length = 40)]
    pub to: String,
    /// And are held for this reason; nothing: for any.
    #[schema(max_length = 40)]
    pub reason: Option<String>,
}

/// Copies that are held for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldReason {
    /// Its word.
    pub reason: String,
    /// What would make them believed.
    pub remedy: String,
    /// How many copies.
    pub copies: u64,
    /// How many of them are being decided on again.
    pub waiting: u64,
    /// When the first came.
    pub first_at: String,
    /// When the last came.
    pub last_at: String,
}

/// A route's held copies that can still be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldPage {
    /// The route's id.
    pub id: String,
    /// By reason, those of the most copies first.
    pub items: Vec<HeldReason>,
    /// Whether there are more in the window than one call asks for: the same call goes on with them.
    pub more: bool,
}

/// Reasons for which copies are held, and what mends each.
const REASONS: &[(&str, &str)] = &[
    (
        "peer_not_authorised",
        "name who handed them over among the route's peers; or prove the domain of their authors, where DMARC passes for it",
    ),
    ("author_not_listed", "list their authors, or take copies of anyone's mail"),
    (
        "format_mismatch",
        "pin the format in which the mail system sends; of anybody else's imitation nothing must be made",
    ),
    ("no_owned_participant", "prove the domain of a sender or recipient; else they are another tenant's"),
    ("returned_report", "anybody can write a delivery report: the operator can look at each and release it"),
    ("nested_report", "narrow the rule that journals the journal; these copies say nothing that others do not"),
    ("author_ambiguous", "nothing: From names no single author, and anybody could have written that"),
    ("learning", "confirm the marks, where they are yours"),
    ("unverified", "have the route learn, and confirm the marks that are yours"),
    ("marks_differ", "nothing where the marks are a stranger's; confirm these where they are yours"),
    ("too_large", "nothing: the copy was refused, and this is the record of the loss"),
    ("erased", "nothing: its bytes are not there any more"),
];

/// What would make copies believed that are held for this reason.
#[must_use]
pub fn remedy(reason: &str) -> &'static str {
    REASONS.iter().find(|(word, _)| *word == reason).map_or("", |(_, remedy)| remedy)
}

impl RedecisionRequest {
    /// Which copies are meant.
    ///
    /// # Errors
    /// [`RouteError::Field`].
    pub fn wanted(&self) -> Result<HeldCopies, RouteError> {
        let time = |field: &'static str, text: &str| {
            Timestamp::parse_rfc3339(text).ok_or_else(|| RouteError::field(field, "must be a time as in RFC 3339"))
        };
        window(time("from", &self.from)?, time("to", &self.to)?, self.reason.as_deref())
    }
}

/// Copies that came from `from` on and before `to`, and are held for `reason`.
///
/// # Errors
/// [`RouteError::Field`] for a window that ends before it begins, and a reason that there is not.
pub fn window(from: Timestamp, to: Timestamp, reason: Option<&str>) -> Result<HeldCopies, RouteError> {
    if to <= from {
        return Err(RouteError::field("to", "must be later than where the window begins"));
    }
    if reason.is_some_and(|reason| remedy(reason).is_empty()) {
        let words: Vec<&str> = REASONS.iter().map(|(word, _)| *word).collect();
        return Err(RouteError::field("reason", format!("must be one of {}", words.join(", "))));
    }
    Ok(HeldCopies { from, to, reason: reason.map(str::to_owned) })
}

/// Every held copy of a route.
#[must_use]
pub fn everything() -> HeldCopies {
    HeldCopies { from: Timestamp::from_micros(0), to: Timestamp::from_micros(i64::MAX), reason: None }
}

/// Held copies of a route by reason.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn held(tenant: &TenantStore, route: RouteId, wanted: &HeldCopies) -> Result<HeldPage, StoreError> {
    let items = tenant.held_copies(route, wanted).await?.into_iter().map(shown).collect();
    Ok(HeldPage { id: route.to_string(), items, more: false })
}

/// Has held copies decided on again, and tells of those that are meant. Once more changes nothing: those that wait, wait.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the route takes no copies.
pub async fn redecide(
    tenant: &TenantStore,
    route: RouteId,
    wanted: HeldCopies,
    asked_by: String,
) -> Result<HeldPage, StoreError> {
    let more = tenant.ask_again(route, wanted.clone(), asked_by).await?;
    Ok(HeldPage { more, ..held(tenant, route, &wanted).await? })
}

fn shown(one: HeldFor) -> HeldReason {
    HeldReason {
        remedy: remedy(&one.reason).to_owned(),
        reason: one.reason,
        copies: one.copies,
        waiting: one.waiting,
        first_at: one.first_at.to_string(),
        last_at: one.last_at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_for_which_a_copy_is_held_has_a_remedy_or_says_that_there_is_none() {
        // As the worker says them.
        let words = [include_str!("../../pipeline/ingest/view.rs"), include_str!("../../pipeline/ingest.rs")];
        let marks = include_str!("../../pipeline/ingest/marked.rs");
        let held = words.iter().flat_map(|text| text.split("Kept::Held(\"").skip(1));
        let mut held: Vec<&str> = held.filter_map(|rest| rest.split('"').next()).collect();
        held.extend(["marks_differ", "learning", "unverified"].iter().filter(|word| marks.contains(*word)));
        assert!(held.len() > 10, "{held:?}");
        for word in held {
            assert!(!remedy(word).is_empty(), "{word}");
        }
        assert!(remedy("sunny").is_empty());
    }

    #[test]
    fn a_window_has_two_ends_and_a_reason_that_there_is() {
        let at = Timestamp::from_micros;
        assert!(window(at(1), at(2), Some("learning")).is_ok());
        for (from, to, reason, field) in [(2, 2, None, "to"), (1, 2, Some("sunny"), "reason"), (3, 1, None, "to")] {
            let refused = window(at(from), at(to), reason).unwrap_err();
            assert!(matches!(refused, RouteError::Field { field: named, .. } if named == field), "{refused}");
        }
    }
}
