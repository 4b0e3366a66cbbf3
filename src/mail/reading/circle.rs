//! Whether a message goes in a circle.
//!
//! Standards: RFC 5321 §6.3 (simple loop detection in mail systems).

use crate::mail::address::Domain;
use crate::mail::message::Message;

/// Hosts of ours that a message may have passed.
const OWN_HOPS: usize = 25;
/// Hosts of anybody that a message may have passed.
const HOPS: usize = 100;

/// Whether `message` has been at `hosts`, which are our own names, more often than mail is, has passed too many hosts at
/// all, or bears the trace that this gateway writes.
pub(super) fn is_suspect(message: &Message, hosts: &[Domain]) -> bool {
    let own = || message.trace.hops.iter().filter(|hop| hosts.iter().any(|host| host.as_str() == hop.by));
    message.trace.received > HOPS || own().count() > OWN_HOPS || own().any(|hop| hop.id.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MessageId;
    use crate::mail::message::{Limits, read};

    fn is_suspect_of(header: &str) -> bool {
        let hosts = ["mx.in.example", "in.example"].map(|name| Domain::parse(name).unwrap());
        is_suspect(&read(format!("{header}From: a@b.example\r\n\r\nx").as_bytes(), &Limits::default()), &hosts)
    }

    fn hops(by: &str, count: usize) -> String {
        format!("Received: from x by {by} with ESMTP id 4X; Tue\r\n").repeat(count)
    }

    #[test]
    fn more_than_twenty_five_hosts_of_ours_are_a_circle() {
        assert!(!is_suspect_of(&hops("mx.in.example", 25)));
        assert!(is_suspect_of(&hops("mx.in.example", 26)));
        assert!(is_suspect_of(&(hops("mx.in.example", 13) + &hops("IN.example.", 13))), "each name of ours");
        assert!(!is_suspect_of(&hops("mx.mx.in.example", 100)), "hosts of others");
    }

    #[test]
    fn more_than_a_hundred_hosts_of_anybody_are_a_circle() {
        assert!(!is_suspect_of(&hops("mx.else.example", 100)));
        assert!(is_suspect_of(&hops("mx.else.example", 101)));
    }

    #[test]
    fn our_own_trace_is_a_circle_and_nobody_elses_is() {
        let trace = |by: &str, id: &str| format!("Received: from x by {by} with ESMTP id {id};\r\n\tTue\r\n");
        let id = MessageId::from_bits(9).to_string();
        assert!(is_suspect_of(&trace("mx.in.example", &id)));
        assert!(!is_suspect_of(&trace("mx.else.example", &id)), "another gateway's");
        assert!(!is_suspect_of(&trace("mx.in.example", "4X")), "another server's of the same host");
    }
}
