//~ E0451
// Nobody but the router says where a message may go.
use connex::outbound::route::Route;

pub fn attack(route: Route) -> Route {
    Route { domain: None, ..route }
}
