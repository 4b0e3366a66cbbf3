//~ E0382
// A signed message is spent by sending it.
use connex::outbound::attempt::Attempt;
use connex::outbound::route::Route;
use connex::outbound::sign::SignedMessage;
use connex::outbound::wire::{EndOfData, Terms, send};

pub async fn attack(message: SignedMessage, route: &Route, terms: &Terms) -> Vec<Attempt> {
    let mut attempts = send(message, route, terms, async |_: EndOfData| Ok::<(), ()>(())).await;
    attempts.extend(send(message, route, terms, async |_: EndOfData| Ok::<(), ()>(())).await);
    attempts
}
