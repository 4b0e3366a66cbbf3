//! Events out of whole mails, as goldens; and what they must never show.
//!
//! `tests/corpus/mail/direct` is mail to a mailbox, `tests/corpus/mail/bcc` copies to a route; `NAME.json` is the event
//! of `NAME.eml`. `UPDATE_GOLDEN=1` writes what is read now; a golden without its mail fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::authentication::FailurePolicy;
use crate::mail::copy::RouteAddresses;
use crate::mail::envelope::{BodyKind, Envelope, ForwardPath, Manifest, Origin, Recipient, TransferDefect};
use crate::mail::message::{Limits, Message};
use crate::mail::reading::{Opened, Reader, open};
use crate::mail::thread::Method;

const ROUTE: &str = "bcc-mfzwizltoq2gk3tbnzsxe5dfon@in.connex.example";
/// Nothing was checked.
static UNCHECKED: Authentication = Authentication {
    checked: false,
    results: Vec::new(),
    verified: Vec::new(),
    voucher: None,
    forged_results: false,
    original: Vec::new(),
    other_originals: Vec::new(),
    signed_fields: Vec::new(),
};
const TOKEN: &str = "mfzwizltoq2gk3tbnzsxe5dfon";

fn mailbox() -> ForwardPath {
    let recipient = Recipient::Mailbox { tenant: TenantId::from_bits(1), mailbox: MailboxId::from_bits(2) };
    ForwardPath::new(Mailbox::parse("deals@in.connex.example").unwrap(), recipient)
}

fn route(peer_authorised: bool) -> ForwardPath {
    let recipient = Recipient::Route {
        tenant: TenantId::from_bits(1),
        route: RouteId::from_bits(3),
        reader: Reader::Bcc,
        peer_authorised,
        shared_range: false,
    };
    ForwardPath::new(Mailbox::parse(ROUTE).unwrap(), recipient)
}

/// The manifest of a mail whose reverse-path is its Return-Path, else its author.
fn manifest(message: &Message, path: ForwardPath) -> Manifest {
    let author = message.author.as_ref().map_or("nobody@elsewhere.example", |author| &author.address);
    let reverse_path = message.trace.return_path.as_deref().unwrap_or(author);
    Manifest {
        id: MessageId::from_bits(4),
        received_at: Timestamp::parse_rfc3339("2026-03-10T08:15:03Z").unwrap(),
        envelope: Envelope {
            reverse_path: ReversePath::try_from(reverse_path.to_owned()).unwrap_or(ReversePath::Null),
            forward_paths: vec![path],
            body: BodyKind::SevenBit,
            smtputf8: false,
            envelope_id: None,
            returned: None,
        },
        origin: Origin {
            door: Door::Smtp,
            session: SessionId::from_bits(5),
            peer: Some("192.0.2.1".parse().unwrap()),
            proxy: None,
            helo: "mx.lake.example".to_owned(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        },
        defects: Vec::new(),
        quiet: false,
        verdict: crate::mail::envelope::Verdict::NotAsked,
        milter: None,
    }
}

fn opened(mail: &[u8], recipient: Recipient) -> Opened {
    open(mail, recipient.reader(), &RouteAddresses::default(), &Limits::default())
}

fn event(mail: &[u8], path: ForwardPath) -> CanonicalEvent {
    let recipient = path.recipient;
    let opened = opened(mail, recipient);
    let manifest = manifest(opened.outer(), path);
    let owned = [Domain::parse("harbor.example").unwrap()];
    from_mail(&opened, &manifest, &view(recipient, &owned))
}

fn view(recipient: Recipient, owned_domains: &[Domain]) -> View<'_> {
    View {
        id: EventId::from_bits(6),
        recipient,
        own_hosts: &[],
        owned_domains,
        route_addresses: &[],
        thread: ThreadId::from_bits(7),
        threading: Threading::by(Method::References),
        authors: &[],
        authentication: &UNCHECKED,
        failure_policy: FailurePolicy::Mark,
        is_released: false,
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mail")
}

/// The files of a corpus folder with this extension, without it.
fn names(folder: &str, extension: &str) -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir(corpus().join(folder)).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|one| one == extension))
        .map(|path| path.with_extension(""))
        .collect()
}

fn check(folder: &str, path: &ForwardPath) {
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for name in names(folder, "eml") {
        let mail = std::fs::read(name.with_extension("eml")).unwrap();
        let event = event(&mail, path.clone());
        let json = serde_json::to_string_pretty(&event).unwrap() + "\n";
        assert!(!json.to_lowercase().contains(TOKEN), "{} shows the route's token", name.display());
        assert_eq!(serde_json::from_str::<CanonicalEvent>(&json).unwrap(), event);
        let golden = name.with_extension("json");
        if is_update {
            std::fs::write(&golden, json).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != json {
            eprintln!("{}: read as\n{json}", name.display());
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "not as their goldens say: {wrong:?}");
    let unused: Vec<PathBuf> = names(folder, "json").difference(&names(folder, "eml")).cloned().collect();
    assert!(unused.is_empty(), "goldens without a mail: {unused:?}");
}

#[test]
fn direct_mail_is_read_as_its_goldens_say() {
    check("direct", &mailbox());
}

#[test]
fn copies_are_read_as_their_goldens_say() {
    check("bcc", &route(true));
}

#[test]
fn a_copy_from_a_peer_without_authority_is_not_believed() {
    let event = event(b"From: mia@harbor.example\r\nTo: a@b.example\r\n\r\nHello", route(false));
    assert!(!event.trusted);
    assert_eq!(event.untrusted_reasons, [UntrustedReason::PeerNotAuthorised]);
    assert_eq!(event.event_type, EventType::OutboundCopy);
}

#[test]
fn a_report_is_one_by_whatever_door_it_came_so_that_its_blind_recipients_are_known_for_its_own() {
    use crate::mail::envelope::MilterEnvelope;
    let kind = |mail: &[u8], reader: Reader| {
        let mut path = route(true);
        if let Recipient::Route { reader: own, .. } = &mut path.recipient {
            *own = reader;
        }
        let opened = opened(mail, path.recipient);
        let mut manifest = manifest(opened.outer(), path.clone());
        manifest.milter = Some(Box::new(MilterEnvelope::default()));
        from_mail(&opened, &manifest, &view(path.recipient, &[])).source.kind
    };
    let report = include_bytes!("../../tests/corpus/journal/exchange-outbound-bcc-group.eml");
    let format = crate::mail::journal::ReportFormat::Exchange;
    assert_eq!(kind(report, Reader::Journal(format)), Kind::Journal);
    assert_eq!(kind(report, Reader::Bcc), Kind::Milter, "what is not unwrapped is what the door saw");
}

#[test]
fn an_answer_to_an_unknown_conversation_is_a_message() {
    let opened = opened(b"In-Reply-To: <1@x>\r\nFrom: a@b.example\r\n\r\nHello", mailbox().recipient);
    let manifest = manifest(opened.outer(), mailbox());
    let mut view = view(mailbox().recipient, &[]);
    assert_eq!(from_mail(&opened, &manifest, &view).event_type, EventType::InboundReply);
    view.threading = Threading::by(Method::New);
    assert_eq!(from_mail(&opened, &manifest, &view).event_type, EventType::InboundMessage);
}

#[test]
fn what_the_session_saw_is_a_defect_of_the_event() {
    let opened = opened(b"From: a@b.example\n\nHello", route(true).recipient);
    let mut manifest = manifest(opened.outer(), route(true));
    manifest.defects.push(TransferDefect::BareLf);
    let event = from_mail(&opened, &manifest, &view(route(true).recipient, &[]));
    assert!(event.defects.contains(&Defect::BareLf));
}

#[test]
fn a_recipient_is_not_shown_the_other_mailboxes_of_the_envelope() {
    let opened = opened(b"From: a@b.example\n\nHello", mailbox().recipient);
    let mut manifest = manifest(opened.outer(), mailbox());
    let other = Recipient::Mailbox { tenant: TenantId::from_bits(1), mailbox: MailboxId::from_bits(9) };
    let secret = Mailbox::parse("board@in.connex.example").unwrap();
    manifest.envelope.forward_paths.push(ForwardPath::new(secret, other));
    let event = from_mail(&opened, &manifest, &view(mailbox().recipient, &[]));
    assert!(!serde_json::to_string(&event).unwrap().contains("board"));
    assert_eq!(event.envelope.rcpt_to, ["deals@in.connex.example"]);
}

#[test]
fn the_sample_mails_are_without_defect() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/samples");
    let mut kinds = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let mail = std::fs::read(&file).unwrap();
        let path = if file.ends_with("bcc-copy.eml") { route(true) } else { mailbox() };
        let event = event(&mail, path);
        assert_eq!(event.defects, [], "{}", file.display());
        assert!(!event.visible_text.is_empty() && event.author.is_some(), "{}", file.display());
        assert!(mail.windows(2).all(|pair| pair[1] != b'\n' || pair[0] == b'\r'), "{}", file.display());
        kinds.insert(event.event_type.as_str());
    }
    assert_eq!(kinds, BTreeSet::from(["auto_reply", "inbound_message", "inbound_reply", "outbound_copy"]));
}

#[test]
fn each_message_of_a_forward_tells_of_its_own_signatures() {
    use crate::mail::authentication::{Identity, Method, MethodResult, Outcome};
    let original = "From: ann@lake.example\r\n\r\nHello\r\n";
    let part = format!("--r\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n");
    let mail = format!(
        "From: sam@harbor.example\r\nTo: fwd-{TOKEN}@in.connex.example\r\nContent-Type: multipart/mixed; boundary=r\r\n\r\n\
         {part}{part}{part}--r--\r\n"
    );
    let recipient = Recipient::Route {
        tenant: TenantId::from_bits(1),
        route: RouteId::from_bits(3),
        reader: Reader::Forward,
        peer_authorised: true,
        shared_range: false,
    };
    let path = ForwardPath::new(Mailbox::parse(&format!("fwd-{TOKEN}@in.connex.example")).unwrap(), recipient);
    let signed = |domain: &str| vec![MethodResult::new(Method::Dkim, Outcome::Pass, Identity::Signer, domain)];
    let found = Authentication {
        original: signed("one.example"),
        other_originals: vec![signed("two.example")],
        ..UNCHECKED.clone()
    };
    let first = opened(mail.as_bytes(), recipient);
    let others: Vec<Opened> = first.others(mail.as_bytes(), &Limits::default()).collect();
    let manifest = manifest(first.outer(), path);
    let view = View { authentication: &found, ..view(recipient, &[]) };
    let signers = std::iter::once(&first).chain(&others).map(|opened| {
        let shown = from_mail(opened, &manifest, &view).authentication;
        assert!(shown.other_originals.is_empty());
        shown.original.into_iter().map(|result| result.domain).collect::<Vec<_>>()
    });
    assert_eq!(signers.collect::<Vec<_>>(), [vec!["one.example".to_owned()], vec!["two.example".to_owned()], vec![]]);
}
