//~ E0616
// What was released stays as it was.
use connex::governance::{Content, ReleasableMessage};

pub fn attack(message: &mut ReleasableMessage, content: Content) {
    message.content = content;
}
