use super::{Limits, Message, structure::Structure};
pub(super) fn read(_bytes: &[u8], _structure: &Structure, _limits: &Limits, _message: &mut Message) {}
