//~ E0308
// What is released and not signed does not go onto the wire.
use connex::governance::ReleasableMessage;
use connex::outbound::attempt::Attempt;
use connex::outbound::route::Route;
use connex::outbound::wire::{EndOfData, Terms, send};

pub async fn attack(message: ReleasableMessage, route: &Route, terms: &Terms) -> Vec<Attempt> {
    send(message, route, terms, async |_: EndOfData| Ok::<(), ()>(())).await
}
