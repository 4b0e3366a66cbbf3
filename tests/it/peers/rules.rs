//! The copy rules of Postfix and Exim, exactly as `docs/journaling.md` has them.

use super::company::{Company, Route, hand_over, mail, recipients};
use super::expect_same;
use crate::harness::{Engine, EximServer, Postfix, Wire, fresh_id, on_both_engines, text, wait_for};

on_both_engines!(
    postfix_copies_mail_of_each_direction_once_with_its_true_recipients,
    exim_copies_mail_of_each_direction_once_with_its_true_recipients,
);

const BUYER: &str = "buyer@lakeside.example";
/// A name with which the address of the copy is longer than the 64 octets of RFC 5321 §4.5.3.1.1.
const LONG: &str = "bartholomew.featherstonehaugh-cholmondeley+house.42";
const OWN: &str = "127.0.0.0/8";

/// A mail server of the company, whichever program it is.
struct Server<'a> {
    company: &'a Company,
    smtp: std::net::SocketAddr,
    queued: &'a dyn Fn() -> usize,
}

impl Server<'_> {
    /// Sends a mail to `to`, of whom the header names the first; it reaches them all unchanged. Its Message-ID.
    fn relays(&self, from: &str, to: &[&str]) -> String {
        let id = fresh_id("rule");
        let bytes = mail(&id, from, to[0]);
        hand_over(self.smtp, from, to, &bytes);
        let there = self.company.far.arrival(&id, to);
        assert_eq!(there.from, from);
        expect_same(&there.bytes[there.bytes.len().saturating_sub(bytes.len())..], &bytes, "what it relayed");
        id
    }
}

/// Mail in, out, and from colleague to colleague. `sees_all`: whether the rule names blind recipients elsewhere, too.
fn all_directions(server: &Server<'_>, route: &Route, sees_all: bool) {
    let company = server.company;
    let at = |local: &str| format!("{local}@{}", company.domain);
    let (ann, sam, mia, long, words) = (at("ann"), at("sam"), at("mia"), at(LONG), at("\"two words\""));

    let id = server.relays(BUYER, &[&sam, &mia, &long]);
    let event = company.event(&id, route, server.queued);
    assert_eq!(text(&event, "/direction"), "inbound", "{event}");
    assert_eq!(text(&event, "/envelope/mailFrom"), BUYER, "{event}");
    let mut expected = vec![(sam.as_str(), "to"), (&mia, "bcc"), (&long, "bcc")];
    expected.sort_unstable();
    assert_eq!(recipients(&event), expected, "{event}");

    let hidden = "hidden@elsewhere.example";
    let id = server.relays(&ann, &[BUYER, hidden]);
    let event = company.event(&id, route, server.queued);
    assert_eq!(text(&event, "/direction"), "outbound", "{event}");
    let seen = if sees_all { vec![(BUYER, "to"), (hidden, "bcc")] } else { vec![(BUYER, "to")] };
    assert_eq!(recipients(&event), seen, "{event}");

    let id = server.relays(&ann, &[&sam, &mia]);
    let event = company.event(&id, route, server.queued);
    assert_eq!(text(&event, "/direction"), "internal", "{event}");
    assert_eq!(recipients(&event), [(mia.as_str(), "bcc"), (sam.as_str(), "to")], "{event}");

    // A name that has to be quoted costs nobody the copy.
    let id = server.relays(BUYER, &[&sam, &words]);
    let event = company.event(&id, route, server.queued);
    let seen = if sees_all { vec![(words.as_str(), "bcc"), (sam.as_str(), "to")] } else { vec![(sam.as_str(), "to")] };
    assert_eq!(recipients(&event), seen, "{event}");
}

fn postfix_copies_mail_of_each_direction_once_with_its_true_recipients(engine: Engine) {
    let company = Company::start(engine);
    let route = company.route(OWN);
    let postfix = Postfix::start(&company.postfix(&route));
    let server = Server { company: &company, smtp: postfix.smtp(), queued: &|| postfix.queued() };
    all_directions(&server, &route, false);
}

fn exim_copies_mail_of_each_direction_once_with_its_true_recipients(engine: Engine) {
    let company = Company::start(engine);
    let route = company.route(OWN);
    let exim = EximServer::start(&company.exim(&route), &company.ca());
    let server = Server { company: &company, smtp: exim.smtp(), queued: &|| exim.queued() };
    all_directions(&server, &route, true);
}

/// Whoever sent the mail is told nothing of its copies.
fn expect_no_report(company: &Company) {
    let reports: Vec<_> = company.far.delivered().into_iter().filter(|one| one.from.is_empty()).collect();
    assert!(reports.is_empty(), "{reports:?}");
}

/// While copies are put off, or nobody answers, mail arrives all the same; the copies come when they can, and once.
fn copies_wait(mut company: Company, route: &Route, smtp: std::net::SocketAddr, queued: &dyn Fn() -> usize) {
    let sam = format!("sam@{}", company.domain);
    let relays = |company: &Company| Server { company, smtp, queued }.relays(BUYER, &[&sam]);
    company.gateway.json(&["route", "pause", &route.id, "--tenant", "acme"]);
    let paused = relays(&company);
    assert!(queued() >= 1, "the copy is in the queue");
    assert!(company.gateway.messages().is_empty());
    company.gateway.json(&["route", "resume", &route.id, "--tenant", "acme"]);
    company.event(&paused, route, queued);
    company.gateway.kill();
    let gone = relays(&company);
    assert!(queued() >= 1, "the copy is in the queue");
    company.gateway = company.gateway.restarted();
    company.event(&gone, route, queued);
    // Refused for good: the copy is lost, and nobody outside learns of it.
    company.gateway.json(&["route", "remove", &route.id, "--tenant", "acme"]);
    wait_for("the address to be unknown", || {
        let mut wire = Wire::hello(company.gateway.smtp()).unwrap();
        wire.command("MAIL FROM:<>").unwrap();
        wire.command(&format!("RCPT TO:<{}>", route.address)).unwrap().1.starts_with("550").then_some(())
    });
    let lost = relays(&company);
    assert_eq!(company.events(&lost, queued), Vec::<serde_json::Value>::new());
    expect_no_report(&company);
    company.is_hidden(route, "");
}

#[test]
fn copies_of_postfix_wait_while_we_cannot_and_its_mail_goes_on() {
    let (company, _data) = Company::at_one_port();
    let route = company.route(OWN);
    let postfix = Postfix::start(&company.postfix(&route));
    copies_wait(company, &route, postfix.smtp(), &|| postfix.queued());
}

#[test]
fn copies_of_exim_wait_while_we_cannot_and_its_mail_goes_on() {
    let (company, _data) = Company::at_one_port();
    let route = company.route(OWN);
    let exim = EximServer::start(&company.exim(&route), &company.ca());
    copies_wait(company, &route, exim.smtp(), &|| exim.queued());
}

/// What Postfix says of the copy in a mail to `sam`, with `more` in its configuration; and the mail's Message-ID.
fn tried(company: &Company, main: &str, is_done: impl Fn(&str) -> bool) -> (Postfix, String) {
    let postfix = Postfix::start(main);
    let sam = format!("sam@{}", company.domain);
    let id = Server { company, smtp: postfix.smtp(), queued: &|| postfix.queued() }.relays(BUYER, &[&sam]);
    wait_for("Postfix to have tried the copy", || postfix.log().lines().any(&is_done).then_some(()));
    (postfix, id)
}

#[test]
fn postfix_is_believed_by_its_certificate_and_without_it_the_copy_waits() {
    let company = Company::start(Engine::Sqlite);
    let pair = company.authority.issue(company.folder.path(), "connex-client");
    std::fs::rename(&pair.cert, company.folder.path().join("connex-client.pem")).unwrap();
    let route = company.route(&format!("cert:sha256:{}", pair.sha256));
    let without = company.postfix(&route);
    let put_off = |line: &str| line.contains("to=<bcc-") && line.contains("status=deferred") && line.contains("4.7.1");
    let (postfix, _) = tried(&company, &without, put_off);
    assert!(company.gateway.messages().is_empty());
    drop(postfix);
    let proof = company.documented("smtp_tls_cert_file = /etc/postfix/connex-client.pem", &route);
    let sent = |line: &str| line.contains("to=<bcc-") && line.contains("status=sent");
    let (postfix, id) = tried(&company, &format!("{without}{proof}"), sent);
    company.event(&id, &route, || postfix.queued());
}

#[test]
fn postfix_is_believed_by_its_key_and_copies_everything() {
    let company = Company::start(Engine::Sqlite);
    let add = ["key", "add", "--tenant", "acme", "--name", "copies", "--scope", "mail:ingest"];
    let key = company.gateway.json(&add);
    let route = company.route(&format!("key:{}", text(&key, "/id")));
    let of_rules = company.postfix(&route);
    let rest = of_rules.lines().filter(|line| !line.contains("_bcc_maps"));
    let main: String = rest.map(|line| format!("{line}\n")).collect();
    let block = company.documented("smtp_sasl_auth_enable = yes", &route).replace("API-KEY", text(&key, "/key"));
    let main = format!("{main}{}always_bcc = {}\n", company.files(&block), route.address);
    let sent = |line: &str| line.contains("to=<bcc-") && line.contains("status=sent");
    let (postfix, id) = tried(&company, &main, sent);
    let event = company.event(&id, &route, || postfix.queued());
    assert_eq!(text(&event, "/direction"), "inbound", "{event}");
    let log = company.gateway.log();
    assert!(!log.contains(text(&key, "/key")), "{log}");
}

#[test]
fn exim_is_believed_by_its_certificate() {
    let company = Company::start(Engine::Sqlite);
    let pair = company.authority.issue(company.folder.path(), "connex-client");
    let route = company.route("cert:name:Lake CA:connex-client");
    let shown = format!(
        "driver = smtp\n  tls_certificate = {}\n  tls_privatekey = {}\n",
        pair.cert.display(),
        pair.key.display()
    );
    let config = company.exim(&route).replacen("driver = smtp\n", &shown, 1);
    let exim = EximServer::start(&config, &company.ca());
    let server = Server { company: &company, smtp: exim.smtp(), queued: &|| exim.queued() };
    let id = server.relays(BUYER, &[&format!("sam@{}", company.domain)]);
    company.event(&id, &route, server.queued);
}
