use super::{Limits, Message, structure::Structure};
pub(super) fn read(_bytes: &[u8], _structure: &Structure, _limits: &Limits) -> Message {
    Message::default()
}
