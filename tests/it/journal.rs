//! Journal reports and forwards on their way from a real client to the webhook; and domains that are proven.

use connex::dns::zone::Trouble;

use crate::harness::{Engine, Gateway, Sink, Wire, fresh_id, list, on_both_engines, text, wait_for, zone};

on_both_engines!(
    a_journal_report_by_an_authorised_peer_becomes_an_event_of_the_original,
    a_report_is_held_where_the_route_takes_another_format,
    a_domain_counts_once_its_record_is_there_and_belongs_to_one_tenant,
    a_proven_domain_has_mailboxes_and_fails_after_three_looks_in_vain,
);

/// A report of Exchange about mail from a buyer to sam at this domain, with a blind copy that no header names.
fn report(id: &str, domain: &str) -> String {
    format!(
        "From: Microsoft Exchange <journal@{domain}>\r\nTo: journal@{domain}\r\nSubject: Journal Report\r\n\
         Message-ID: <wrapper.{id}>\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"_r_\"\r\n\r\n--_r_\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\r\n\
         Sender: buyer@lakeside.example\r\nSubject: Proof of funds\r\nMessage-Id: <{id}>\r\nRecipient: sam@{domain}\r\n\
         Bcc: mia@{domain}, Expanded: deals@{domain}\r\n\r\n--_r_\r\nContent-Type: message/rfc822\r\n\r\n\
         From: Lakeside Buying <buyer@lakeside.example>\r\nTo: Sam <sam@{domain}>\r\nSubject: Proof of funds\r\n\
         Date: Tue, 10 Mar 2026 09:15:02 +0100\r\nMessage-ID: <{id}>\r\n\r\n\
         Could you please send the proof of funds by Friday?\r\n\r\n--_r_--\r\n"
    )
}

/// A domain of its own for each test: the name server is shared.
fn fresh_domain() -> String {
    let id = fresh_id("d");
    format!("{}.example", id.split('@').next().unwrap_or("x").trim_start_matches('<').replace('.', "-"))
}

/// A gateway whose tenant has proven a domain.
fn proven(engine: Engine) -> (Gateway, String) {
    let domain = fresh_domain();
    let gateway = Gateway::serving(engine, "");
    let claimed = gateway.json(&["domain", "add", &domain, "--tenant", "acme"]);
    zone().txt(&format!("_connex.{domain}"), text(&claimed, "/record/value"));
    let checked = gateway.json(&["domain", "check", &domain, "--tenant", "acme"]);
    assert_eq!(text(&checked, "/state"), "verified");
    (gateway, domain)
}

fn add_route(gateway: &Gateway, format: &str) -> String {
    let add = [
        "route",
        "add",
        "--tenant",
        "acme",
        "--app",
        "crm",
        "--peer",
        "127.0.0.0/8",
        "--kind",
        "journal",
        "--observe",
        "0s",
    ];
    text(&gateway.json(&[&add[..], &["--format", format]].concat()), "/address").to_owned()
}

fn send(gateway: &Gateway, to: &str, mail: &str) {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("", to, mail.as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
}

fn a_journal_report_by_an_authorised_peer_becomes_an_event_of_the_original(engine: Engine) {
    let (gateway, domain) = proven(engine);
    let receiver = Sink::start();
    gateway.json(&["webhook", "add", &receiver.url(), "--tenant", "acme", "--app", "crm"]);
    let route = add_route(&gateway, "exchange");
    assert!(route.starts_with("journal-"), "{route}");
    let id = fresh_id("journal");
    send(&gateway, &route, &report(&id, &domain));
    let hit = wait_for("the webhook", || receiver.hits().into_iter().next());
    assert_eq!(text(&hit.json(), "/source/kind"), "journal", "{}", hit.json());
    // A second copy of the same mail, by another rule.
    send(&gateway, &route, &report(&id, &domain).replace("wrapper.", "second."));
    let messages = wait_for("both messages in the index", || {
        let messages = gateway.messages();
        (messages.len() == 2 && messages.iter().all(|one| text(one, "/state") != "spooled")).then_some(messages)
    });
    let explained: Vec<_> = messages.iter().map(|one| gateway.explained(text(one, "/id"))).collect();
    let events: Vec<_> = explained.iter().flat_map(|one| list(one, "/events")).collect();
    assert_eq!(events.len(), 1, "one event for both copies");
    let told = serde_json::to_string(&explained).unwrap();
    assert!(told.contains(&format!("mia@{domain}")), "who was blind-copied is known: {told}");
    assert!(told.contains("Proof of funds") && told.contains("inbound"), "{told}");
    assert!(!told.contains(route.split('@').next().unwrap()), "the route address is a secret: {told}");
}

fn a_report_is_held_where_the_route_takes_another_format(engine: Engine) {
    let (gateway, domain) = proven(engine);
    for (count, format) in ["plain", "workmail", "exchange-legacy"].into_iter().enumerate() {
        let route = add_route(&gateway, format);
        send(&gateway, &route, &report(&fresh_id("mismatch"), &domain));
        wait_for("the message is held", || {
            let messages = gateway.messages();
            let is_held = |one: &serde_json::Value| text(one, "/state") == "held";
            (messages.len() == count + 1 && messages.iter().all(is_held)).then_some(())
        });
    }
}

fn a_domain_counts_once_its_record_is_there_and_belongs_to_one_tenant(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    gateway.json(&["tenant", "add", "other"]);
    let domain = fresh_domain();
    let claim =
        |tenant: &str| gateway.json(&["domain", "add", &format!("{}.", domain.to_uppercase()), "--tenant", tenant]);
    let state = |tenant: &str| {
        let domains = gateway.json(&["domain", "list", "--tenant", tenant]);
        text(&list(&domains, "")[0], "/state").to_owned()
    };
    let check = |tenant: &str| gateway.connex(&["domain", "check", &domain, "--tenant", tenant, "--json"]);
    let (own, foreign) = (claim("acme"), claim("other"));
    assert_eq!(claim("acme"), own, "a second claim changes nothing");
    assert_eq!((check("acme").code, state("acme").as_str()), (1, "pending"));
    let record = format!("_connex.{domain}");
    zone().txt(&record, text(&own, "/record/value")).txt(&record, text(&foreign, "/record/value"));
    assert_eq!((check("acme").code, state("acme").as_str()), (0, "verified"));
    let refused = check("other");
    assert!(refused.code == 1 && refused.stderr.contains("another tenant"), "{}", refused.stderr);
    assert_eq!(state("other"), "pending");
    gateway.json(&["domain", "remove", &domain, "--tenant", "acme"]);
    assert_eq!((check("other").code, state("other").as_str()), (0, "verified"));
    // DNS that does not answer proves nothing, in either direction.
    zone().trouble_at(&record, Trouble::Fails);
    assert_eq!((check("other").code, state("other").as_str()), (5, "verified"));
    let platform = gateway.connex(&["domain", "add", "gateway.example", "--tenant", "other"]);
    assert_eq!(platform.code, 2, "{}", platform.stderr);
}

fn a_proven_domain_has_mailboxes_and_fails_after_three_looks_in_vain(engine: Engine) {
    let gateway = Gateway::serving(engine, "[routes]\nwatch_interval = \"1s\"\n");
    // A record that is there, and one of a domain taken over without it, which is gone.
    let (domain, gone) = (fresh_domain(), fresh_domain());
    for one in [&domain, &gone] {
        let claimed = gateway.json(&["domain", "add", one, "--tenant", "acme"]);
        zone().txt(&format!("_connex.{domain}"), text(&claimed, "/record/value"));
    }
    let refused = gateway.connex(&["mailbox", "add", &format!("ann@{domain}"), "--tenant", "acme"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    gateway.json(&["domain", "check", &domain, "--tenant", "acme"]);
    gateway.json(&["mailbox", "add", &format!("ann@{domain}"), "--tenant", "acme", "--app", "crm"]);
    gateway.json(&["mailbox", "add", &domain, "--catch-all", "--tenant", "acme", "--app", "crm"]);
    let boxes = gateway.json(&["mailbox", "list", "--tenant", "acme"]);
    let owners = list(&boxes, "").iter().filter(|one| text(one, "/identityOwner") == "customer_domain").count();
    assert_eq!(owners, 2, "{boxes}");
    for to in [format!("ann@{domain}"), format!("anybody@{domain}")] {
        send(&gateway, &to, &format!("From: a@b.example\r\nSubject: Hello\r\n\r\nTo {to}\r\n"));
    }
    wait_for("both messages in the index", || {
        let messages = gateway.messages();
        (messages.iter().filter(|one| text(one, "/state") == "emitted").count() == 2).then_some(())
    });
    gateway.alter(&format!("UPDATE domains SET state = 'verified' WHERE domain = '{gone}'"));
    let state = |wanted: &str| {
        let domains = gateway.json(&["domain", "list", "--tenant", "acme"]);
        let row = list(&domains, "").iter().find(|row| text(row, "/domain") == wanted).unwrap().clone();
        (text(&row, "/state").to_owned(), row["misses"].as_u64().unwrap())
    };
    for misses in 1..=3 {
        gateway.alter("UPDATE domains SET checked_at = NULL");
        wait_for("the next look", || (state(&gone).1 == misses).then_some(()));
    }
    assert_eq!(state(&gone).0, "failing");
    assert_eq!(state(&domain), ("verified".to_owned(), 0));
    assert!(gateway.log().contains("The proof of a domain is gone"), "{}", gateway.log());
}
