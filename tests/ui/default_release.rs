//~ E0277
// There is no release out of nothing.
use connex::governance::ReleasableMessage;

fn anything<T: Default>() -> T {
    T::default()
}

pub fn attack() -> ReleasableMessage {
    anything()
}
