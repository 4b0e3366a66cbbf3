//~ allowed
// The control: the same imports and the legal use. If this does not compile, the errors of the others mean nothing.
use connex::clock::Timestamp;
use connex::governance::gate::{Refused, ReleaseTerms};
use connex::governance::{
    Actor, Approval, ApprovedDraft, Content, Draft, Facts, Notice, NoticeFacts, NoticeRefused, ReleasableMessage,
    ReleasableNotice, ReleaseRow, readmit, system_notice,
};
use connex::outbound::attempt::Attempt;
use connex::outbound::keys::SigningKey;
use connex::outbound::route::Route;
use connex::outbound::sign::{SignError, SignedMessage, sign, sign_notice};
use connex::outbound::wire::{self, EndOfData, Terms};

pub fn send(message: ReleasableMessage) -> usize {
    message.into_wire().bytes.len()
}

pub fn approve_release_and_send(
    draft: Draft,
    approval: &Approval,
    terms: ReleaseTerms,
    facts: &Facts,
    now: Timestamp,
) -> Result<usize, Refused> {
    let approved: ApprovedDraft = draft.approve(approval).map_err(|_| Refused::ContentChanged)?;
    let (message, _row): (ReleasableMessage, ReleaseRow) = approved.release(terms, facts, now)?;
    Ok(send(message))
}

pub fn send_after_a_restart(row: &ReleaseRow, draft: Draft, facts: &Facts, now: Timestamp) -> Result<usize, Refused> {
    readmit(row, draft, facts, now).map(send)
}

pub fn tell(
    notice: &Notice,
    facts: &NoticeFacts,
    keys: &[&SigningKey],
    now: Timestamp,
) -> Result<Result<SignedMessage, SignError>, NoticeRefused> {
    let released: ReleasableNotice = system_notice(notice, facts, now)?;
    Ok(sign_notice(released, keys, now))
}

pub fn decide(_: &connex::service::accounts::SignedIn<connex::service::accounts::Approver>) {}

pub fn require_a_role(who: &connex::service::accounts::SignedIn<connex::service::accounts::Viewer>) -> bool {
    who.require().is_ok_and(|who| {
        decide(&who);
        true
    })
}

pub fn edit_before_approval(draft: &mut Draft, editor: Actor, content: Content) {
    draft.edit(editor, content);
}

pub async fn sign_and_hand_over(
    message: ReleasableMessage,
    keys: &[&SigningKey],
    now: Timestamp,
    route: &Route,
    terms: &Terms,
) -> Result<Vec<Attempt>, SignError> {
    let signed: SignedMessage = sign(message, keys, now)?;
    Ok(wire::send(signed, route, terms, async |_: EndOfData| Ok::<(), ()>(())).await)
}
