//! Copies from networks that are everybody's: whose marks they carry.

use crate::clock::Timestamp;
use crate::mail::authentication::Authentication;
use crate::mail::envelope::{Manifest, Recipient, TransferDefect};
use crate::mail::marks::{Mark, marks};
use crate::mail::retention::Keep;
use crate::store::ingest::{Kept, NewCopy};
use crate::store::routes::RouteRow;
use crate::store::watch::Alarm;

/// The recipient with what its route's marks say of the peer, and the marks of the copy where they do not settle it: those
/// that were kept when it came, where there are such, since not all that they are made of is kept.
pub(super) fn judged(
    recipient: Recipient,
    row: Option<&RouteRow>,
    authentication: &Authentication,
    kept: Option<&Vec<Mark>>,
) -> (Recipient, Option<Vec<Mark>>) {
    let Recipient::Route { tenant, route, reader, peer_authorised: false, shared_range: true } = recipient else {
        return (recipient, None);
    };
    let Some(row) = row else { return (recipient, None) };
    let mut providers = row.peers.iter().filter_map(|rule| rule.provider());
    let Some(first) = providers.next() else { return (recipient, None) };
    let mut carried = kept.cloned().unwrap_or_else(|| marks(authentication, first));
    if row.marks.as_ref().is_some_and(|pinned| !pinned.is_empty() && *pinned == carried) {
        let authorised = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: true };
        return (authorised, None);
    }
    for provider in providers.filter(|_| kept.is_none()) {
        let of_another = marks(authentication, provider);
        if row.marks.as_ref().is_some_and(|pinned| !pinned.is_empty() && *pinned == of_another) {
            let authorised = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: true };
            return (authorised, None);
        }
        if carried.is_empty() {
            carried = of_another;
        }
    }
    (recipient, Some(carried))
}

/// The routes that a message reached of which nothing could be read.
pub(super) fn copies(manifest: &Manifest, kept: &Kept) -> Vec<NewCopy> {
    let held = if let Kept::Held(reason) = kept { Some(*reason) } else { None };
    let is_lost = manifest.defects.contains(&TransferDefect::OverSize);
    let alarm = is_lost.then_some(Alarm::TooLarge);
    let mut copies: Vec<NewCopy> = Vec::new();
    for path in &manifest.envelope.forward_paths {
        if let Recipient::Route { route, .. } = path.recipient
            && copies.iter().all(|copy| copy.route != route)
        {
            copies.push(NewCopy { route, marks: None, keep: Keep::Raw, alarm, tests_connector: false, held });
        }
    }
    copies
}

/// Why such a copy is held.
pub(super) fn reason(row: &RouteRow, received_at: Timestamp) -> &'static str {
    match &row.marks {
        Some(_) => "marks_differ",
        None if row.learns(received_at) => "learning",
        None => "unverified",
    }
}
