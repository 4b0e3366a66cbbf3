//! Who really sent it: by the real program, with a name server on loopback.

use connex::dns::zone::Trouble;

use crate::harness::{Engine, Gateway, Wire, fresh_id, http, list, on_both_engines, text, wait_for, zone};

on_both_engines!(
    a_mailbox_that_refuses_is_asked_before_the_250_and_no_event_follows,
    what_fails_is_marked_by_default_and_the_trace_says_why,
    mail_by_the_api_is_judged_by_the_client_that_its_caller_tells_of,
);

/// The peer is on loopback, which counts as a relay unless it is said otherwise.
const DIRECT: &str = "[authentication]\nrelays = []\ntimeout = \"2s\"\n";

fn mail(from: &str, id: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: deals@gateway.example\r\nSubject: Offer\r\nMessage-ID: <{id}>\r\n\r\nHello.\r\n")
        .into_bytes()
}

/// An author's domain of its own for each test: the name server is shared.
fn domain(name: &str) -> (String, String) {
    let domain =
        format!("{name}-{}.example", fresh_id("d").split('@').next().unwrap_or("x").replace(['<', '>', '.'], "-"));
    zone().txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject");
    (format!("ann@{domain}"), domain)
}

fn deliver(gateway: &Gateway, from: &str) -> (u16, String) {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    wire.mail(from, gateway.field("/mailbox"), &mail(from, &fresh_id("auth"))).unwrap()
}

fn a_mailbox_that_refuses_is_asked_before_the_250_and_no_event_follows(engine: Engine) {
    let (disowned, disowned_domain) = domain("disowned");
    let (owned, owned_domain) = domain("owned");
    zone().txt(&disowned_domain, "v=spf1 -all").txt(&owned_domain, "v=spf1 ip4:127.0.0.1 -all");
    let gateway = Gateway::serving(engine, DIRECT);
    let mailbox = gateway.field("/mailbox").to_owned();
    gateway.json(&["mailbox", "update", &mailbox, "--tenant", "acme", "--authentication-policy", "reject"]);
    let (code, reply) = deliver(&gateway, &disowned);
    assert!(code == 550 && reply.contains("5.7.26"), "{reply}");
    assert_eq!(deliver(&gateway, &owned).0, 250);
    // DNS that does not answer refuses nothing.
    zone().trouble_at(&format!("_dmarc.{disowned_domain}"), Trouble::Fails);
    assert_eq!(deliver(&gateway, &disowned).0, 250);
    wait_for("both to be read", || {
        (gateway.messages().iter().filter(|message| text(message, "/state") == "emitted").count() == 2).then_some(())
    });
    assert_eq!(gateway.messages().len(), 2, "what was refused is no message");
    let gateway = gateway.restarted();
    assert_eq!(gateway.messages().len(), 2, "nor after a restart");
}

fn what_fails_is_marked_by_default_and_the_trace_says_why(engine: Engine) {
    let (author, domain) = domain("marked");
    zone().txt(&domain, "v=spf1 -all");
    let gateway = Gateway::serving(engine, DIRECT);
    assert_eq!(deliver(&gateway, &author).0, 250);
    let message = wait_for("the message to be read", || {
        gateway.messages().into_iter().find(|message| text(message, "/state") == "emitted")
    });
    let explained = gateway.explained(text(&message, "/id"));
    let results = text(&explained, "/message/trace/authenticationResults");
    assert!(results.starts_with("gateway.example;") && results.contains("spf=fail"), "{results}");
    assert!(results.contains(&format!("header.from={domain} policy.dmarc=reject")), "{results}");
    let event = &list(&explained, "/events")[0];
    assert!(event.to_string().contains("author_domain_not_authenticated"), "{event}");
}

fn mail_by_the_api_is_judged_by_the_client_that_its_caller_tells_of(engine: Engine) {
    let (author, domain) = domain("worker");
    zone().txt(&domain, "v=spf1 ip4:192.0.2.7 -all");
    let gateway = Gateway::serving(engine, DIRECT);
    let mailbox = gateway.field("/mailbox").to_owned();
    gateway.json(&["mailbox", "update", &mailbox, "--tenant", "acme", "--authentication-policy", "reject"]);
    let tenant = gateway.field("/tenant");
    let key = gateway.json(&["key", "add", "--tenant", tenant, "--name", "mail", "--scope", "mail:ingest"]);
    let authorization = format!("Bearer {}", text(&key, "/key"));
    let hand_in = |client: &[(&str, &str)]| {
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "message/rfc822"),
            ("x-connex-mail-from", &author),
            ("x-connex-rcpt-to", &mailbox),
        ];
        let url = format!("{}/api/v1/intake/raw", gateway.api());
        let answer = http("POST", &url, &[&headers, client].concat(), &mail(&author, &fresh_id("worker")));
        (answer.status, answer.json())
    };
    let address = "x-connex-client-address";
    let (status, problem) = hand_in(&[(address, "198.51.100.9"), ("x-connex-client-helo", "mail.elsewhere.example")]);
    assert!(status == 422 && text(&problem, "/detail").contains("DMARC"), "{problem}");
    assert_eq!(gateway.messages().len(), 0, "what was refused is no message");
    for faulty in [(address, "mail.elsewhere.example"), ("x-connex-client-helo", "mail.elsewhere.example")] {
        let (status, problem) = hand_in(&[faulty]);
        assert!(status == 400 && problem.to_string().contains("X-Connex-Client-Address"), "{problem}");
    }
    let (status, told) = hand_in(&[(address, "192.0.2.7"), ("x-connex-client-helo", "mail.elsewhere.example")]);
    assert_eq!(status, 200, "{told}");
    let (status, untold) = hand_in(&[]);
    assert_eq!(status, 200, "nothing is known of the sender, and nothing refused: {untold}");
    let results = |answer: &serde_json::Value| {
        let explained = wait_for("the message to be read", || {
            let explained = gateway.explained(text(answer, "/messageId"));
            (!list(&explained, "/events").is_empty()).then_some(explained)
        });
        text(&explained, "/message/trace/authenticationResults").to_owned()
    };
    let (told, untold) = (results(&told), results(&untold));
    assert!(told.contains("spf=pass") && told.contains("dmarc=pass"), "{told}");
    assert!(!untold.contains("spf=pass") && !untold.contains("dmarc=pass"), "{untold}");
}
