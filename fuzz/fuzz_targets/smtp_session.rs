//! Arbitrary bytes, cut anywhere, into the SMTP machine: it never panics, never stalls, and keeps no more than a line.
//! The first octet says how the rest is cut. No message is ever stored here, so no `250` may end one.
#![no_main]

use std::sync::Arc;

use connex::ids::{MailboxId, RouteId, TenantId};
use connex::intake::{AuthenticationAnswer, ForwardName, RecipientAnswer};
use connex::mail::address::Domain;
use connex::mail::envelope::Recipient;
use connex::mail::reading::Reader;
use connex::smtp::Limits;
use connex::smtp::state::{Channel, Effect, Input, Machine, Phase, Settings};
use connex::spool::Admission;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let limits = Limits { message: 64, recipients: 3, errors: 50, ..Limits::default() };
    let hostname = Domain::parse("mx.test").expect("a constant domain");
    let mut machine = Machine::new(Arc::new(Settings::new(&hostname, limits)), Channel::Upgradable);
    for packet in bytes.chunks(usize::from(*cut).max(1)) {
        if !feed(&mut machine, packet) {
            return;
        }
    }
});

/// Gives one packet to the machine; whether it takes more.
fn feed(machine: &mut Machine, packet: &[u8]) -> bool {
    let mut rest = packet;
    let mut steps_without_bytes = 0;
    loop {
        let mut step = machine.on(Input::Bytes(rest));
        if step.is_idle() {
            assert!(rest.is_empty(), "bytes are left and nothing happens");
            return true;
        }
        steps_without_bytes = if step.consumed == 0 { steps_without_bytes + 1 } else { 0 };
        assert!(steps_without_bytes < 8, "the machine does not come to an end");
        rest = &rest[step.consumed..];
        loop {
            if let Some(reply) = step.reply.take() {
                let mut out = Vec::new();
                reply.write(&mut out);
                assert!(!out.starts_with(b"250 2.0.0 Ok: msg_"), "accepted without a stored message");
            }
            let answer = match step.effect {
                Effect::None | Effect::Body(_) | Effect::Discard | Effect::Head(_) | Effect::Lose(_) => break,
                Effect::Close => return false,
                Effect::Admit => Input::Admission(Admission::Open),
                Effect::Recipient => Input::Recipient(answer(machine)),
                Effect::Commit(_) | Effect::Submit(_) => Input::NotStored,
                Effect::Authenticate(_) => Input::Authenticated(AuthenticationAnswer::Refused),
                Effect::Secure => Input::Secured,
            };
            step = machine.on(answer);
        }
        if machine.phase() == Phase::Closed {
            return false;
        }
    }
}

/// Mailboxes and copy routes, told apart by the first letter.
fn answer(machine: &Machine) -> RecipientAnswer {
    let tenant = TenantId::from_bits(1);
    match machine.asked().map(|question| question.name) {
        Some(ForwardName::Mailbox(mailbox)) if mailbox.local().starts_with('c') => {
            RecipientAnswer::known(Recipient::Route {
                tenant,
                route: RouteId::from_bits(1),
                reader: Reader::Bcc,
                peer_authorised: true,
                shared_range: false,
            })
        }
        Some(ForwardName::Mailbox(mailbox)) if mailbox.local().starts_with('u') => RecipientAnswer::Unknown,
        Some(_) => RecipientAnswer::known(Recipient::Mailbox { tenant, mailbox: MailboxId::from_bits(1) }),
        None => RecipientAnswer::Unavailable,
    }
}
