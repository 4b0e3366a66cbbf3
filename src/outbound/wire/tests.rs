//! Messages against a server on loopback that says what a script tells it.

mod reuse;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;

use super::*;
use crate::dns::zone::Zone;
use crate::dns::{Resolver, ResolverSettings};
use crate::outbound::dialogue::Credentials;
use crate::outbound::pool::Reuse;
use crate::outbound::route::{Relay, RelayTls};
use crate::outbound::tests::Turn::{
    Closes, Encrypts, Hears, HearsBody, HearsMessage, HearsRest, Says, SaysForEver, Silent,
};
use crate::outbound::tests::{NOW, Server, Turn, certificate, domain, loopback, router, signed, signed_by};

const HELLO: &str = "EHLO mx.gateway.example";
const PLAIN: &str = "250-mx.buyer.example\r\n250 8BITMIME\r\n";
const OFFER: &str = "250-mx.buyer.example\r\n250-8BITMIME\r\n250 STARTTLS\r\n";
const MAIL: &str = "MAIL FROM:<deals@customer.example>";
const RCPT: &str = "RCPT TO:<ann@buyer.example>";
const ANN: &[&str] = &["ann@buyer.example"];
/// The last words of every message here.
const BODY: &str = "See you on Tuesday.";

fn terms(roots: &[CertificateDer<'static>]) -> Terms {
    let long = Duration::from_secs(30);
    let timeouts = Timeouts {
        connect: long,
        handshake: long,
        greeting: long,
        hello: long,
        mail: long,
        rcpt: long,
        data: long,
        block: long,
        end: long,
        quit: long,
        until_end_of_data: long,
    };
    let (tls, pool) = (ClientTls::new(roots).unwrap(), Pool::new(Reuse::NEVER));
    Terms { hello: domain("mx.gateway.example"), timeouts, tls, pool }
}

/// What every server here says up to DATA.
fn until_data() -> Vec<Turn> {
    vec![
        Says("220 mx.buyer.example\r\n"),
        Hears(HELLO, PLAIN),
        Hears(MAIL, "250 Ok\r\n"),
        Hears(RCPT, "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
    ]
}

fn then(mut script: Vec<Turn>, more: &[Turn]) -> Vec<Turn> {
    script.extend_from_slice(more);
    script
}

/// The message to Ann by her domain's servers, whose addresses these are.
async fn sends_to(scripts: &[Vec<Turn>], addresses: &[u8], terms: &Terms, records: bool) -> (Vec<Attempt>, usize) {
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("buyer.example", Ok(addresses.iter().map(|last| loopback(*last)).collect()));
    let router = router(&resolver, server.address().port());
    let recorded = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&recorded);
    let work = async move {
        let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
        send(signed(ANN, &[], BODY), &route, terms, async move |end: EndOfData| {
            assert_eq!(end.recipients.len(), 1);
            assert_eq!(end.host, "buyer.example");
            count.fetch_add(1, Ordering::SeqCst);
            if records { Ok(()) } else { Err("the database is away") }
        })
        .await
    };
    let attempts = server.plays(scripts, work).await;
    (attempts, recorded.load(Ordering::SeqCst))
}

async fn sends(script: Vec<Turn>) -> (Attempt, usize) {
    let (attempts, recorded) = sends_to(&[script], &[1], &terms(&[]), true).await;
    assert_eq!(attempts.len(), 1);
    (attempts.into_iter().next().unwrap(), recorded)
}

#[tokio::test]
async fn a_message_is_handed_over_and_the_reply_is_told() {
    let script = then(
        until_data(),
        &[HearsMessage(BODY, "250-2.0.0 Ok:\r\n250 2.0.0 queued as 4XyZ\r\n"), Hears("QUIT", "221 bye\r\n")],
    );
    let (attempt, recorded) = sends(script).await;
    assert_eq!((attempt.outcome, recorded), (Outcome::Accepted, 1));
    let report = attempt.report;
    assert_eq!((report.reason, report.code, report.host.as_str()), (Reason::Reply, Some(250), "buyer.example"));
    assert_eq!((report.address, report.encrypted), (Some(loopback(1)), false));
    assert_eq!(report.enhanced.unwrap().to_string(), "2.0.0");
    assert!(report.text.ends_with("queued as 4XyZ"), "{}", report.text);
}

#[tokio::test]
async fn the_null_reverse_path_is_sent_as_such_and_dots_are_doubled() {
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("buyer.example", Ok(vec![loopback(1)]));
    let router = router(&resolver, server.address().port());
    let script = [
        Says("220 mx\r\n"),
        Hears(HELLO, PLAIN),
        Hears("MAIL FROM:<>", "250 Ok\r\n"),
        Hears(RCPT, "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("\r\n\r\n..\r\n...dots\r\nend", "250 Ok\r\n"),
    ];
    let work = async {
        let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
        let message = signed_by(None, ANN, &[], ".\r\n..dots\r\nend");
        send(message, &route, &terms(&[]), async |_| Ok::<(), ()>(())).await
    };
    assert_eq!(server.plays(&[script.to_vec()], work).await[0].outcome, Outcome::Accepted);
}

#[tokio::test]
async fn nothing_more_is_written_where_the_end_is_not_on_record() {
    let script = then(until_data(), &[HearsBody(BODY), HearsRest("")]);
    let (attempts, recorded) = sends_to(&[script], &[1], &terms(&[]), false).await;
    assert_eq!(recorded, 1);
    assert_eq!((attempts[0].outcome, attempts[0].report.reason), (Outcome::Deferred, Reason::NotRecorded));
}

#[tokio::test]
async fn a_server_that_goes_away_before_the_dot_defers_and_behind_it_leaves_nobody_knowing() {
    let whole = then(until_data(), &[HearsBody(BODY)]);
    for length in 0..whole.len() {
        let mut script = whole[..length].to_vec();
        // The last answer is not given any more.
        if let Some(Says(text) | Hears(_, text)) = script.last_mut() {
            *text = "";
        }
        script.push(Closes);
        let (attempt, recorded) = sends(script).await;
        assert_eq!((attempt.outcome, recorded), (Outcome::Deferred, 0), "{length}");
        assert_eq!(attempt.report.reason, Reason::Closed, "{length}");
    }
    let (attempt, recorded) = sends(then(until_data(), &[HearsMessage(BODY, ""), Closes])).await;
    assert_eq!((attempt.outcome, recorded), (Outcome::Unknown, 1));
    assert_eq!(attempt.report.reason, Reason::Closed);
}

#[tokio::test]
async fn refusals_at_each_step_are_told_with_their_codes() {
    let refused = |script: Vec<Turn>| async move {
        let (attempt, _) = sends(script).await;
        (attempt.outcome, attempt.report.code, attempt.report.enhanced.map(|code| code.to_string()))
    };
    let code = |text: &str| Some(text.to_owned());
    let whole = until_data();
    let at = |length: usize, last: Turn| then(whole[..length].to_vec(), &[last]);
    use Outcome::{Deferred, Rejected};
    assert_eq!(refused(vec![Says("554 5.7.1 no\r\n")]).await, (Deferred, Some(554), code("5.7.1")));
    assert_eq!(refused(vec![Says("521 no mail here\r\n")]).await, (Rejected, Some(521), None));
    assert_eq!(refused(at(1, Hears(HELLO, "421 4.3.2 busy\r\n"))).await, (Deferred, Some(421), code("4.3.2")));
    assert_eq!(refused(at(2, Hears(MAIL, "553 5.1.8 no\r\n"))).await, (Rejected, Some(553), code("5.1.8")));
    assert_eq!(refused(at(3, Hears(RCPT, "550 5.1.1 no\r\n"))).await, (Rejected, Some(550), code("5.1.1")));
    // Greylisting.
    assert_eq!(refused(at(3, Hears(RCPT, "450 4.7.1 later\r\n"))).await, (Deferred, Some(450), code("4.7.1")));
    assert_eq!(refused(at(4, Hears("DATA", "451 later\r\n"))).await, (Deferred, Some(451), None));
    assert_eq!(refused(at(5, HearsMessage(BODY, "554 5.6.0 spam\r\n"))).await, (Rejected, Some(554), code("5.6.0")));
    assert_eq!(refused(at(5, HearsMessage(BODY, "452 4.3.1 full\r\n"))).await, (Deferred, Some(452), code("4.3.1")));
}

#[tokio::test]
async fn what_is_no_smtp_ends_the_session_and_behind_the_dot_leaves_nobody_knowing() {
    let whole = until_data();
    for garbage in ["hello\r\n", "999 x\r\n", "250x\r\n", "250-a\r\n251 b\r\n", "\0\u{fc}\r\n", "250 Ok\r\n250 Ok\r\n"]
    {
        for length in 0..whole.len() {
            let mut script = whole[..=length].to_vec();
            if let Some(Says(text) | Hears(_, text)) = script.last_mut() {
                *text = garbage;
            }
            script.push(Silent);
            let (attempt, recorded) = sends(script).await;
            assert_eq!((attempt.outcome, recorded), (Outcome::Deferred, 0), "{garbage:?} {length}");
            assert_eq!(attempt.report.reason, Reason::NotSmtp, "{garbage:?} {length}");
        }
        if !garbage.starts_with("250 Ok") {
            let (attempt, recorded) = sends(then(until_data(), &[HearsMessage(BODY, garbage), Closes])).await;
            assert_eq!((attempt.outcome, recorded), (Outcome::Unknown, 1), "{garbage:?}");
        }
    }
}

#[tokio::test]
async fn an_endless_reply_is_cut_off() {
    for endless in ["220-more\r\n", "2"] {
        let (attempt, _) = sends(vec![SaysForEver(endless)]).await;
        assert_eq!((attempt.outcome, attempt.report.reason), (Outcome::Deferred, Reason::NotSmtp), "{endless:?}");
    }
    let (attempt, _) = sends(then(until_data(), &[HearsMessage(BODY, ""), SaysForEver("250-more\r\n")])).await;
    assert_eq!((attempt.outcome, attempt.report.reason), (Outcome::Unknown, Reason::NotSmtp));
}

#[tokio::test]
async fn a_server_that_has_enough_before_the_end_did_not_take_the_message() {
    let (attempt, _) =
        sends(then(until_data(), &[HearsBody("Subject: Tuesday"), Says("552 5.3.4 too large\r\n"), Silent])).await;
    // Read before or behind the end: it is a no in both cases.
    assert_eq!((attempt.outcome, attempt.report.code), (Outcome::Rejected, Some(552)));
}

#[tokio::test]
async fn every_wait_ends() {
    let mut terms = terms(&[]);
    let short = Duration::from_millis(100);
    (terms.timeouts.greeting, terms.timeouts.rcpt, terms.timeouts.end) = (short, short, short);
    let timed_out = |script: Vec<Turn>, terms: Terms| async move {
        let (attempts, _) = sends_to(&[script], &[1], &terms, true).await;
        assert_eq!(attempts[0].report.reason, Reason::Timeout);
        attempts[0].outcome
    };
    assert_eq!(timed_out(vec![Silent], terms.clone()).await, Outcome::Deferred);
    assert_eq!(timed_out(then(until_data()[..3].to_vec(), &[Silent]), terms.clone()).await, Outcome::Deferred);
    assert_eq!(timed_out(then(until_data(), &[HearsMessage(BODY, ""), Silent]), terms.clone()).await, Outcome::Unknown);
    // All of it together, however patient each step is.
    let mut terms = super::tests::terms(&[]);
    terms.timeouts.until_end_of_data = short;
    assert_eq!(timed_out(then(until_data()[..1].to_vec(), &[Silent]), terms).await, Outcome::Deferred);
}

#[tokio::test]
async fn the_next_server_is_tried_where_the_first_gives_no_answer_and_never_behind_the_dot() {
    let taken = then(until_data(), &[HearsMessage(BODY, "250 Ok\r\n")]);
    let terms = terms(&[]);
    // Nobody listens on the first address.
    let (attempts, recorded) = sends_to(std::slice::from_ref(&taken), &[2, 1], &terms, true).await;
    assert_eq!((attempts[0].outcome, recorded), (Outcome::Accepted, 1));
    assert_eq!(attempts[0].report.address, Some(loopback(1)));
    // The first has no time, or goes away.
    for first in [vec![Says("421 busy\r\n")], until_data()[..2].to_vec(), until_data()[..4].to_vec()] {
        let first = then(first, &[Closes]);
        let (attempts, recorded) = sends_to(&[first, taken.clone()], &[1, 1], &terms, true).await;
        assert_eq!((attempts[0].outcome, recorded), (Outcome::Accepted, 1));
    }
    // It says "later", of the sender, the recipient or the message, and not behind the dot.
    let later = |count: usize, told: Turn| then(until_data()[..count].to_vec(), &[told]);
    let puts_off = [
        later(2, Hears(MAIL, "450 4.3.0 later\r\n")),
        later(3, Hears(RCPT, "451 4.7.1 later\r\n")),
        later(4, Hears("DATA", "452 4.3.1 full\r\n")),
    ];
    for first in &puts_off {
        let (attempts, recorded) = sends_to(&[first.clone(), taken.clone()], &[1, 1], &terms, true).await;
        assert_eq!((attempts[0].outcome, recorded), (Outcome::Accepted, 1));
    }
    let full = then(until_data(), &[HearsMessage(BODY, "452 4.3.1 full\r\n")]);
    let (attempts, _) = sends_to(&[full], &[1, 1], &terms, true).await;
    assert_eq!((attempts[0].outcome, attempts[0].report.code), (Outcome::Deferred, Some(452)));
    // Two that say so are enough.
    let [first, second, _] = puts_off;
    let (attempts, recorded) = sends_to(&[first, second], &[1, 1, 1], &terms, true).await;
    assert_eq!((attempts[0].outcome, attempts[0].report.code, recorded), (Outcome::Deferred, Some(451), 0));
    // A refusal is an answer.
    let refused = then(until_data()[..3].to_vec(), &[Hears(RCPT, "550 no\r\n")]);
    let (attempts, _) = sends_to(&[refused], &[1, 1], &terms, true).await;
    assert_eq!(attempts[0].outcome, Outcome::Rejected);
    // Behind the dot there is no other server.
    let lost = then(until_data(), &[HearsMessage(BODY, ""), Closes]);
    let (attempts, _) = sends_to(&[lost], &[1, 1], &terms, true).await;
    assert_eq!(attempts[0].outcome, Outcome::Unknown);
    let (attempts, _) = sends_to(&[], &[2, 3], &terms, true).await;
    assert_eq!((attempts[0].outcome, attempts[0].report.reason), (Outcome::Deferred, Reason::Unreachable));
}

#[tokio::test]
async fn offered_tls_is_used_with_any_certificate_and_mail_goes_in_clear_where_it_is_broken() {
    let (config, _) = certificate(&["somebody.else.example"]);
    let encrypted = [
        Says("220 mx\r\n"),
        Hears(HELLO, OFFER),
        Hears("STARTTLS", "220 go\r\n"),
        Encrypts(config),
        Hears(HELLO, PLAIN),
        Hears(MAIL, "250 Ok\r\n"),
        Hears(RCPT, "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage(BODY, "250 Ok\r\n"),
    ];
    let (attempt, _) = sends(encrypted.to_vec()).await;
    assert_eq!((attempt.outcome, attempt.report.encrypted), (Outcome::Accepted, true));
    let clear = [
        Says("220 mx\r\n"),
        Hears(HELLO, OFFER),
        Hears(MAIL, "250 Ok\r\n"),
        Hears(RCPT, "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage(BODY, "250 Ok\r\n"),
    ];
    let (config, _) = certificate(&["somebody.else.example"]);
    let asked = Hears("STARTTLS", "220 go\r\n");
    for broken in [
        vec![asked.clone(), Says("what?\r\n"), Closes],
        vec![asked.clone(), Closes],
        vec![Hears("STARTTLS", ""), Closes],
        vec![asked, Encrypts(config), Closes],
    ] {
        let first = then(vec![Says("220 mx\r\n"), Hears(HELLO, OFFER)], &broken);
        let (attempts, _) = sends_to(&[first, clear.to_vec()], &[1], &terms(&[]), true).await;
        assert_eq!((attempts[0].outcome, attempts[0].report.encrypted), (Outcome::Accepted, false));
    }
}

/// The message to Ann by a relay at the name `localhost`.
async fn relayed(
    script: Vec<Turn>,
    tls: RelayTls,
    credentials: Option<Credentials>,
    roots: &[CertificateDer<'static>],
) -> Attempt {
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("localhost", Ok(vec![loopback(1)]));
    let router = router(&resolver, 0);
    let relay = Relay::new("localhost", server.address().port(), tls, credentials).unwrap();
    let terms = terms(roots);
    let work = async {
        let route = router.relay(&relay).await.unwrap();
        send(signed(ANN, &[], BODY), &route, &terms, async |_| Ok::<(), ()>(())).await
    };
    let attempts = server.plays(&[script], work).await;
    attempts.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_relay_is_believed_by_its_certificate_alone_and_shown_the_password_then() {
    let (config, authority) = certificate(&["localhost"]);
    let roots = [authority];
    let credentials = || Credentials::new("user", "secret");
    let script = [
        Encrypts(Arc::clone(&config)),
        Says("220 relay\r\n"),
        Hears(HELLO, "250-relay\r\n250 AUTH PLAIN\r\n"),
        Hears("AUTH PLAIN AHVzZXIAc2VjcmV0", "235 ok\r\n"),
        Hears(MAIL, "250 Ok\r\n"),
        Hears(RCPT, "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage(BODY, "250 Ok\r\n"),
    ];
    let attempt = relayed(script.to_vec(), RelayTls::Implicit, credentials(), &roots).await;
    assert_eq!((attempt.outcome, attempt.report.encrypted), (Outcome::Accepted, true));
    let begun = [Says("220 relay\r\n"), Hears(HELLO, OFFER), Hears("STARTTLS", "220 go\r\n"), Encrypts(config)];
    let script = then(begun.to_vec(), &script[2..]);
    let attempt = relayed(script.clone(), RelayTls::StartTls, credentials(), &roots).await;
    assert_eq!(attempt.outcome, Outcome::Accepted, "{attempt:?}");
    // Another authority, another name, no TLS at all: nothing is sent, and nothing is tried in clear.
    let (foreign, other) = certificate(&["other.example"]);
    let foreign = then(begun[..3].to_vec(), &[Encrypts(foreign)]);
    for (script, roots) in
        [(begun.to_vec(), &[][..]), (foreign, &[other]), (vec![Says("220 relay\r\n"), Hears(HELLO, PLAIN)], &roots)]
    {
        let attempt = relayed(script, RelayTls::StartTls, credentials(), roots).await;
        assert_eq!((attempt.outcome, attempt.report.reason), (Outcome::Deferred, Reason::Tls), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_server_with_records_is_believed_by_them_alone_and_nothing_goes_in_clear() {
    let (config, authority) = certificate(&["buyer.example"]);
    let (_, other) = certificate(&["buyer.example"]);
    let encrypted = [vec![Hears(HELLO, OFFER), Hears("STARTTLS", "220 go\r\n"), Encrypts(config)]].concat();
    let taken =
        [Hears(HELLO, PLAIN), Hears(MAIL, "250 Ok\r\n"), Hears(RCPT, "250 Ok\r\n"), Hears("DATA", "354 go\r\n")];
    let taken = then(taken.to_vec(), &[HearsMessage(BODY, "250 Ok\r\n")]);
    for (recorded, outcome) in [(&authority, Outcome::Accepted), (&other, Outcome::Deferred)] {
        let zone = Zone::start().unwrap();
        let server = Server::start().await;
        let port = server.address().port();
        zone.sign().address_of("buyer.example", loopback(1));
        zone.tlsa(&format!("_{port}._tcp.buyer.example"), 2, 0, 0, recorded);
        let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(2), attempts: 1 };
        let prover = Resolver::proving(&settings, zone.anchor().unwrap()).unwrap();
        let router = router(&Resolver::new(&settings).unwrap(), port).proving(prover);
        // The public authorities have nothing to do with it: the terms believe the one that issued the certificate.
        let terms = terms(std::slice::from_ref(&authority));
        let work = async {
            let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
            send(signed(ANN, &[], BODY), &route, &terms, async |_| Ok::<(), ()>(())).await
        };
        let script = [vec![Says("220 mx\r\n")], encrypted.clone(), taken.clone()].concat();
        let attempts = server.plays(&[script], work).await;
        let told = (attempts[0].outcome, attempts[0].report.encrypted);
        assert_eq!(told, (outcome, outcome == Outcome::Accepted), "{attempts:?}");
        assert!(outcome == Outcome::Accepted || attempts[0].report.reason == Reason::Tls);
    }
}

#[tokio::test]
async fn what_is_said_in_clear_behind_starttls_ends_the_session() {
    let (config, authority) = certificate(&["localhost"]);
    let script =
        [Says("220 relay\r\n"), Hears(HELLO, OFFER), Hears("STARTTLS", "220 go\r\n250 injected\r\n"), Encrypts(config)];
    let attempt = relayed(script.to_vec(), RelayTls::StartTls, None, &[authority]).await;
    assert_eq!((attempt.outcome, attempt.report.reason), (Outcome::Deferred, Reason::Tls));
}

#[tokio::test]
async fn recipients_of_another_domain_are_not_sent_to_by_a_domains_servers() {
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("buyer.example", Ok(vec![loopback(1)]));
    let router = router(&resolver, server.address().port());
    let work = async {
        let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
        let message = signed(&["eve@other.example", "ann@buyer.example"], &[], BODY);
        send(message, &route, &terms(&[]), async |_| Ok::<(), ()>(())).await
    };
    let script = then(until_data(), &[HearsMessage(BODY, "250 Ok\r\n")]);
    let attempts = server.plays(&[script], work).await;
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.recipient.to_string(), attempt.outcome, attempt.report.reason))
        .collect();
    assert_eq!(told[0], ("eve@other.example".to_owned(), Outcome::Deferred, Reason::WrongRoute));
    assert_eq!(told[1], ("ann@buyer.example".to_owned(), Outcome::Accepted, Reason::Reply));
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    const LINE: &str = "All work and no play makes Jack a dull boy.\r\n";
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("buyer.example", Ok(vec![loopback(1)]));
    let router = router(&resolver, server.address().port());
    let body: &'static str = Box::leak(LINE.repeat(5_000).into_boxed_str());
    let work = async {
        let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
        send(signed(ANN, &[], body), &route, &terms(&[]), async |_| Ok::<(), ()>(())).await
    };
    // The fixture ends the body with one more line.
    let script = then(until_data(), &[HearsMessage(body, "250 Ok\r\n")]);
    assert_eq!(server.plays(&[script], work).await[0].outcome, Outcome::Accepted);
}

/// The caller's task must be able to move between threads.
#[test]
fn sending_can_be_a_task() {
    fn is_send<T: Send>(_: &T) {}
    fn check(message: SignedMessage, route: &Route, terms: &Terms) {
        is_send(&send(message, route, terms, |end: EndOfData| async move {
            if end.host.is_empty() { Err(()) } else { Ok(()) }
        }));
    }
    let _ = check;
}
