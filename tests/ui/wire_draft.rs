//~ E0308
// A draft does not go onto the wire.
use connex::governance::Draft;
use connex::outbound::attempt::Attempt;
use connex::outbound::route::Route;
use connex::outbound::wire::{EndOfData, Terms, send};

pub async fn attack(message: Draft, route: &Route, terms: &Terms) -> Vec<Attempt> {
    send(message, route, terms, async |_: EndOfData| Ok::<(), ()>(())).await
}
