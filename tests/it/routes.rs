//! Routes over their life, as a mail server on the other side of a socket meets them.

use crate::harness::{Engine, Gateway, Wire, fresh_id, list, message, on_both_engines, text, wait_for};

on_both_engines!(
    an_address_is_rotated_with_overlap_then_put_off_and_then_unknown,
    a_paused_route_puts_off_and_a_retired_one_tells_its_operator,
    each_route_has_its_own_cap_and_what_is_over_it_raises_an_alarm,
);

const DAY: &str = "86400000000";

fn add(gateway: &Gateway, more: &[&str]) -> (String, String) {
    let add = ["route", "add", "--tenant", "acme", "--app", "crm", "--peer", "127.0.0.0/8"];
    let route = gateway.json(&[&add[..], more].concat());
    (text(&route, "/id").to_owned(), text(&route, "/address").to_owned())
}

/// RCPT in a transaction of its own.
fn rcpt(gateway: &Gateway, address: &str, size: &str) -> String {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.command(&format!("MAIL FROM:<ann@lakeside.example>{size}")).unwrap();
    assert_eq!(code, 250, "{reply}");
    wire.command(&format!("RCPT TO:<{address}>")).unwrap().1
}

/// The reply, once doors have seen what was changed: they keep what they know for a second.
fn answered(gateway: &Gateway, address: &str, wanted: &str) {
    wait_for(wanted, || rcpt(gateway, address, "").starts_with(wanted).then_some(()));
}

fn alarms(gateway: &Gateway, route: &str) -> Vec<String> {
    let routes = gateway.json(&["route", "list", "--tenant", "acme"]);
    let row = list(&routes, "").iter().find(|row| text(row, "/id") == route).unwrap().clone();
    list(&row, "/alarms").iter().map(|alarm| text(alarm, "/alarm").to_owned()).collect()
}

fn an_address_is_rotated_with_overlap_then_put_off_and_then_unknown(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let (route, old) = add(&gateway, &["--kind", "bcc"]);
    let rotated = gateway.json(&["route", "rotate", &route, "--overlap", "1d"]);
    let new = text(&rotated, "/address").to_owned();
    assert!(new != old && text(&rotated, "/former") == old, "{rotated}");
    answered(&gateway, &new, "250 2.1.5");
    // Both count, and neither is shown to an app.
    let copy = message(&fresh_id("rotated"), "buyer@elsewhere.example", "Offer", &format!("{old} and {new}\r\n"));
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("ann@lakeside.example", &old, &copy).unwrap();
    assert_eq!(code, 250, "{reply}");
    let stored = wait_for("the copy in the index", || {
        gateway.messages().into_iter().find(|one| text(one, "/state") == "emitted")
    });
    let told = gateway.explained(text(&stored, "/id")).to_string();
    for address in [&old, &new] {
        assert!(!told.contains(address.split('@').next().unwrap()), "{told}");
    }
    let pass =
        |micros: &str| gateway.alter(&format!("UPDATE retired_tokens SET accepted_until = accepted_until - {micros}"));
    pass(DAY);
    answered(&gateway, &old, "450 4.7.0");
    assert_eq!(alarms(&gateway, &route), ["retired_address"]);
    assert!(gateway.log().contains(&route), "the log names the route: {}", gateway.log());
    pass("259200000000");
    answered(&gateway, &old, "550 5.1.1");
    answered(&gateway, &new, "250 2.1.5");
}

fn a_paused_route_puts_off_and_a_retired_one_tells_its_operator(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let (route, address) = add(&gateway, &["--kind", "bcc"]);
    let pass = || gateway.alter("UPDATE routes SET state_since = state_since - 259200000000");
    gateway.json(&["route", "pause", &route]);
    answered(&gateway, &address, "450 4.2.1");
    pass();
    answered(&gateway, &address, "550 5.2.1");
    gateway.json(&["route", "resume", &route]);
    answered(&gateway, &address, "250 2.1.5");
    let again = gateway.connex(&["route", "resume", &route]);
    assert!(again.code == 1 && again.stderr.contains("paused"), "{}", again.stderr);
    gateway.json(&["route", "retire", &route]);
    answered(&gateway, &address, "450 4.7.0");
    assert_eq!(alarms(&gateway, &route), ["retired_address"]);
    pass();
    answered(&gateway, &address, "550 5.1.1");
}

fn each_route_has_its_own_cap_and_what_is_over_it_raises_an_alarm(engine: Engine) {
    let more = "[smtp.limits]\nmessage_size = \"64KiB\"\n[routes]\nmessage_size = \"256KiB\"\n";
    let gateway = Gateway::serving(engine, more);
    let (_, journal) = add(&gateway, &["--kind", "journal", "--format", "plain"]);
    let (small, narrow) = add(&gateway, &["--kind", "bcc", "--size-cap", "1KiB"]);
    let mut wire = Wire::connect(gateway.smtp()).unwrap();
    wire.reply().unwrap();
    let (_, ehlo) = wire.command("EHLO client.example").unwrap();
    assert!(ehlo.contains("SIZE 262144"), "the largest: {ehlo}");
    assert!(rcpt(&gateway, &journal, " SIZE=262144").starts_with("250 "));
    assert!(rcpt(&gateway, gateway.field("/mailbox"), " SIZE=65537").starts_with("552 5.3.4"));
    assert!(rcpt(&gateway, &narrow, " SIZE=1025").starts_with("552 5.3.4"));
    assert_eq!(alarms(&gateway, &small), ["too_large"]);
    let large = message(&fresh_id("large"), "buyer@elsewhere.example", "Large", &"0123456789\r\n".repeat(10_000));
    for (to, wanted) in [(journal.as_str(), 250), (narrow.as_str(), 552), (gateway.field("/mailbox"), 552)] {
        let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("ann@lakeside.example", to, &large).unwrap();
        assert_eq!(code, wanted, "{to}: {reply}");
    }
    let refused =
        gateway.connex(&["route", "add", "--tenant", "acme", "--app", "crm", "--kind", "bcc", "--size-cap", "1GiB"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}
