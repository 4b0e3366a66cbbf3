//! Domains of a tenant: how they are proven, which records they need, what a suspension takes away.

use connex::dns::zone::Trouble;
use serde_json::Value;

use crate::harness::{Answer, Engine, Gateway, Wire, fresh_id, http, list, on_both_engines, text, wait_for, zone};

on_both_engines!(
    a_domain_counts_once_its_record_is_there_and_belongs_to_one_tenant,
    a_proven_domain_has_mailboxes_and_fails_after_three_looks_in_vain,
    a_check_shows_every_record_beside_what_stands_in_dns,
    a_suspended_domain_owns_nothing_until_it_is_resumed_and_proven,
    a_domain_is_claimed_proven_and_given_up_by_the_api,
    postmaster_of_a_customers_domain_is_a_recipient_and_names_are_shown_as_people_write_them,
);

/// A domain of its own for each test: the name server is shared.
pub fn fresh_domain() -> String {
    let id = fresh_id("d");
    format!("{}.example", id.split('@').next().unwrap_or("x").trim_start_matches('<').replace('.', "-"))
}

/// A gateway whose tenant has proven a domain.
pub fn proven(engine: Engine) -> (Gateway, String) {
    let gateway = Gateway::serving(engine, "");
    let domain = prove(&gateway);
    (gateway, domain)
}

/// Has the tenant of a gateway prove a domain of its own.
pub fn prove(gateway: &Gateway) -> String {
    let domain = fresh_domain();
    let claimed = gateway.json(&["domain", "add", &domain, "--tenant", "acme"]);
    zone().txt(&format!("_connex.{domain}"), text(&claimed, "/record/value"));
    let checked = gateway.json(&["domain", "check", &domain, "--tenant", "acme"]);
    assert_eq!(text(&checked, "/state"), "verified");
    domain
}

fn send(gateway: &Gateway, to: &str, mail: &str) {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("", to, mail.as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
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

/// What a check says of each record, in its order.
fn standings(checked: &Value) -> Vec<String> {
    let records = list(checked, "/records").iter();
    records.map(|one| format!("{} {}", text(one, "/record"), text(one, "/standing"))).collect()
}

fn a_check_shows_every_record_beside_what_stands_in_dns(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let domain = fresh_domain();
    let check = || gateway.connex(&["domain", "check", &domain, "--tenant", "acme", "--json"]);
    let claimed = gateway.json(&["domain", "add", &domain, "--tenant", "acme"]);
    let done = check();
    assert_eq!(done.code, 1, "{}", done.stderr);
    let unproven: Value = serde_json::from_slice(&done.stdout).unwrap();
    let none = ["ownership missing", "mx not_needed", "spf missing", "dkim not_needed", "dmarc missing"];
    assert_eq!(standings(&unproven), [&none[..], &["mta_sts not_needed", "tls_rpt not_needed"]].concat());
    // A provider that offers no TXT: the alias leads to a name that does not exist.
    zone().cname(text(&claimed, "/alias/name").trim_end_matches('.'), text(&claimed, "/alias/value"));
    let proven = check().json();
    assert_eq!((text(&proven, "/state"), standings(&proven)[0].as_str()), ("verified", "ownership ok"));
    gateway.json(&["mailbox", "add", &domain, "--catch-all", "--tenant", "acme", "--app", "crm"]);
    let line = format!("{domain}. IN MX 10 gateway.example.");
    let missing = check().json();
    assert_eq!(list(&missing, "/records/1/zoneLines"), [Value::from(line.as_str())], "{missing}");
    let shown = gateway.connex(&["domain", "check", &domain, "--tenant", "acme"]).text();
    assert!(shown.lines().any(|one| one == line), "a line to copy: {shown}");
    zone()
        .mx(&domain, "elsewhere.example")
        .txt(&domain, "v=spf1 -all")
        .txt(&domain, "v=spf1 ~all")
        .txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject")
        .txt(&format!("_mta-sts.{domain}"), "v=STSv1; id=1")
        .trouble_at(&format!("_smtp._tls.{domain}"), Trouble::Fails);
    let made = gateway.json(&["signing", "add", &domain, "--tenant", "acme", "--selector", "s1"]);
    let key = list(&check().json(), "/records").iter().find(|one| text(one, "/record") == "dkim").unwrap().clone();
    let line = format!("s1._domainkey.{domain}. IN TXT \"{}\"", text(&made, "/record"));
    assert_eq!((text(&key, "/standing"), list(&key, "/zoneLines")), ("missing", &[Value::from(line)][..]));
    zone().txt(&format!("s1._domainkey.{domain}"), text(&made, "/record"));
    let found = check().json();
    let all = ["ownership ok", "mx differs", "spf differs", "dkim ok", "dmarc ok", "mta_sts ok", "tls_rpt unknown"];
    assert_eq!(standings(&found), all);
    assert_eq!(list(&found, "/records/1/found"), [Value::from("10 elsewhere.example.")]);
}

fn a_suspended_domain_owns_nothing_until_it_is_resumed_and_proven(engine: Engine) {
    let (gateway, domain) = proven(engine);
    let run = |command: &str| gateway.connex(&["domain", command, &domain, "--tenant", "acme", "--json"]);
    let address = format!("ann@{domain}");
    gateway.json(&["mailbox", "add", &address, "--tenant", "acme", "--app", "crm"]);
    let direction_of_next = || {
        let subject = fresh_id("direction");
        let mail = format!("From: Ann <{address}>\r\nTo: b@lakeside.example\r\nSubject: {subject}\r\n\r\nHello\r\n");
        send(&gateway, gateway.field("/mailbox"), &mail);
        let explained = wait_for("the event", || {
            let all: Vec<String> = gateway.messages().iter().map(|one| text(one, "/id").to_owned()).collect();
            let all = all.iter().map(|id| gateway.explained(id).to_string());
            all.into_iter()
                .find(|told| told.contains(subject.trim_matches(['<', '>'])) && told.contains("\"direction\""))
        });
        ["outbound", "inbound", "internal"]
            .into_iter()
            .find(|word| explained.contains(&format!("\"direction\":\"{word}\"")))
    };
    let answer = || Wire::hello(gateway.smtp()).unwrap().mail("", &address, b"Subject: x\r\n\r\nHello\r\n").unwrap();
    let counted = direction_of_next();
    assert_eq!(answer().0, 250);
    assert_eq!(text(&run("suspend").json(), "/state"), "suspended");
    wait_for("450 at the door", || answer().1.starts_with("450 4.2.1 ").then_some(()));
    // Who reads mail may know the old state a moment longer than who takes it.
    wait_for("a domain that is nobody's", || (direction_of_next() != counted).then_some(()));
    let refused = gateway.connex(&["mailbox", "add", &format!("bob@{domain}"), "--tenant", "acme"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert_eq!(text(&run("check").json(), "/state"), "suspended", "a check resumes nothing");
    gateway.alter(&format!("UPDATE domains SET state_since = 0 WHERE domain = '{domain}'"));
    wait_for("550 at the door", || answer().1.starts_with("550 ").then_some(()));
    let record = format!("_connex.{domain}");
    zone().trouble_at(&record, Trouble::Fails);
    assert_eq!(run("resume").code, 5, "DNS does not say whether it is still proven");
    zone().trouble_at(&record, Trouble::Truncated);
    gateway.alter(&format!("UPDATE domains SET proof = 'connex-verification=else' WHERE domain = '{domain}'"));
    let stays = run("resume");
    assert!(stays.code == 1 && stays.stderr.contains("stays suspended"), "{}", stays.stderr);
    zone().txt(&record, "connex-verification=else");
    assert_eq!(text(&run("resume").json(), "/state"), "verified");
    wait_for("250 at the door", || (answer().0 == 250).then_some(()));
    assert_eq!(run("resume").code, 1, "it is not suspended");
}

fn postmaster_of_a_customers_domain_is_a_recipient_and_names_are_shown_as_people_write_them(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let written = format!("b\u{fc}cher-{}", fresh_domain());
    let claimed = gateway.json(&["domain", "add", &written, "--tenant", "acme"]);
    let domain = text(&claimed, "/domain").to_owned();
    assert!(domain.starts_with("xn--"), "{domain}");
    assert_eq!(text(&claimed, "/unicode"), written);
    zone().txt(&format!("_connex.{domain}"), text(&claimed, "/record/value"));
    gateway.json(&["domain", "check", &written, "--tenant", "acme"]);
    let postmaster = format!("postmaster@{domain}");
    let answer = || Wire::hello(gateway.smtp()).unwrap().mail("", &postmaster, b"Subject: x\r\n\r\nHello\r\n").unwrap();
    assert_eq!(answer().0, 550, "no mail of the domain comes here");
    gateway.json(&["mailbox", "add", &format!("ann@{written}"), "--tenant", "acme", "--app", "crm"]);
    wait_for("postmaster at the door", || (answer().0 == 250).then_some(()));
    for listing in ["domain", "mailbox"] {
        let shown = gateway.connex(&[listing, "list", "--tenant", "acme"]).text();
        assert!(shown.contains(&domain) && shown.contains(&written), "{shown}");
    }
    let row = gateway.json(&["mailbox", "show", &format!("ann@{written}"), "--tenant", "acme"]);
    assert_eq!(
        (text(&row, "/address"), text(&row, "/unicode")),
        (&*format!("ann@{domain}"), &*format!("ann@{written}"))
    );
}

fn a_domain_is_claimed_proven_and_given_up_by_the_api(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    gateway.json(&["tenant", "add", "other"]);
    let key = |tenant: &str, scopes: &[&str]| {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let add = ["key", "add", "--tenant", tenant, "--name", "domains"];
        text(&gateway.json(&add.into_iter().chain(scopes).collect::<Vec<_>>()), "/key").to_owned()
    };
    let (own, reader) = (key("acme", &["domains:read", "domains:write"]), key("acme", &["domains:read"]));
    let foreign = key("other", &["domains:read", "domains:write"]);
    let call = |key: &str, verb: &str, path: &str, body: &str| -> Answer {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        http(verb, &format!("{}/api/v1/domains{path}", gateway.api()), &headers, body.as_bytes())
    };
    let domain = fresh_domain();
    let (one, body) = (format!("/{domain}"), serde_json::json!({ "domain": domain.to_uppercase() }).to_string());
    assert_eq!(call(&reader, "POST", "", &body).status, 403);
    let claimed = call(&own, "POST", "", &body);
    assert_eq!(claimed.status, 200, "{claimed:?}");
    let claimed = claimed.json();
    assert_eq!((text(&claimed, "/domain"), text(&claimed, "/state")), (domain.as_str(), "pending"));
    assert_eq!(call(&own, "POST", "", &body).json(), claimed, "a second claim changes nothing");
    // The command shows the same.
    let listed = gateway.json(&["domain", "list", "--tenant", "acme"]);
    assert_eq!(call(&reader, "GET", "", "").json()["items"], listed);
    let other = call(&foreign, "POST", "", &body).json();
    assert_ne!(text(&other, "/record/value"), text(&claimed, "/record/value"));

    let check = |key: &str| {
        let looked = call(key, "POST", &format!("{one}/check"), "").json();
        (text(&looked, "/state").to_owned(), text(&looked, "/proof").to_owned())
    };
    let is = |state: &str, proof: &str| (state.to_owned(), proof.to_owned());
    assert_eq!(check(&own), is("pending", "missing"));
    for claim in [&claimed, &other] {
        zone().txt(text(claim, "/record/name").trim_end_matches('.'), text(claim, "/record/value"));
    }
    let records = call(&reader, "GET", &format!("{one}/dns-records"), "").json();
    assert_eq!(
        (text(&records, "/state"), text(&records, "/proof")),
        ("pending", "found"),
        "a look alone proves nothing"
    );
    assert_eq!(check(&own), is("verified", "found"));
    assert_eq!(check(&foreign), is("pending", "taken"));
    zone().trouble_at(text(&claimed, "/record/name").trim_end_matches('.'), Trouble::Fails);
    assert_eq!(check(&own), is("verified", "unknown"));

    gateway.json(&["domain", "suspend", &domain, "--tenant", "acme"]);
    let refused = call(&own, "DELETE", &one, "");
    assert_eq!(refused.status, 422, "a new claim would end what the operator did: {refused:?}");
    assert_eq!(call(&foreign, "DELETE", &one, "").status, 200);
    assert_eq!(text(&call(&own, "GET", &one, "").json(), "/state"), "suspended", "the other's claim was another");
    assert_eq!(call(&foreign, "GET", &one, "").status, 404);

    // A tenant claims no domains without end.
    let tenant = gateway.field("/tenant");
    let row = |number: usize| format!("('{tenant}', 'n{number}.{domain}', 'pending', 1, 'proof', 1)");
    let rows: Vec<String> = (0..999).map(row).collect();
    let columns = "tenant_id, domain, state, created_at, proof, state_since";
    gateway.alter(&format!("INSERT INTO domains ({columns}) VALUES {}", rows.join(", ")));
    let claim = |name: &str| call(&own, "POST", "", &serde_json::json!({ "domain": name }).to_string());
    let refused = claim(&format!("more.{domain}"));
    assert!(refused.status == 422 && refused.json().to_string().contains("1000 domains"), "{refused:?}");
    assert_eq!(claim(&format!("n7.{domain}")).status, 200, "it is claimed already");
}
