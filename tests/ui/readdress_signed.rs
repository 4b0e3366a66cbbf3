//~ E0616
// A signed message keeps the recipients to whom it was released.
use connex::mail::address::Mailbox;
use connex::outbound::sign::SignedMessage;

pub fn attack(message: &mut SignedMessage, recipients: Vec<Mailbox>) {
    message.recipients = recipients;
}
