//~ E0308
// What is approved and not released does not go onto the wire.
use connex::governance::ApprovedDraft;
use connex::outbound::attempt::Attempt;
use connex::outbound::route::Route;
use connex::outbound::wire::{EndOfData, Terms, send};

pub async fn attack(message: ApprovedDraft, route: &Route, terms: &Terms) -> Vec<Attempt> {
    send(message, route, terms, async |_: EndOfData| Ok::<(), ()>(())).await
}
