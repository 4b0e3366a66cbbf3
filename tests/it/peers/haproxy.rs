//! haproxy stands between a client and us.

use crate::harness::{Gateway, Haproxy, Wire, fresh_id, http, proof_of_funds, text, wait_for};

const FROM: &str = "ann@lakeside.example";

/// A gateway that believes haproxy, and nobody else.
fn gateway(folder: &std::path::Path) -> Gateway {
    Gateway::serving_in(folder, "[smtp.limits]\nconnections_per_address = 2\n")
        .reconfigured(&[("[smtp]\n", &format!("[smtp]\nproxy_from = [\"{}\"]\n", Haproxy::OWN))])
}

#[test]
fn the_client_behind_haproxy_is_the_peer_by_either_version() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path());
    let to = gateway.field("/mailbox").to_owned();
    for options in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let haproxy = Haproxy::start(gateway.smtp(), options);
        let id = fresh_id("haproxy");
        let mut wire = Wire::hello(haproxy.address()).unwrap();
        let (code, reply) = wire.mail(FROM, &to, &proof_of_funds(&id, &to)).unwrap();
        assert_eq!(code, 250, "{options}: {reply}");
        let stored = reply.split_whitespace().last().unwrap().to_owned();
        let chain = gateway.explained(&stored);
        assert_eq!(text(&chain, "/message/origin/peer"), "127.0.0.1", "{options}: {chain}");
        assert_eq!(text(&chain, "/message/origin/proxy"), Haproxy::OWN, "{options}: {chain}");
    }
}

#[test]
fn the_limit_of_connections_is_the_clients_and_not_haproxys() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path());
    let haproxy = Haproxy::start(gateway.smtp(), "send-proxy-v2");
    let greeting = || {
        let mut wire = Wire::connect(haproxy.address()).unwrap();
        let (code, reply) = wire.reply().unwrap();
        (code, reply, wire)
    };
    // The connection with which the test looked whether haproxy is there may not have ended yet.
    let open = wait_for("two connections of one client", || {
        let open = [greeting(), greeting()];
        open.iter().all(|(code, ..)| *code == 220).then_some(open)
    });
    let (code, reply, _) = greeting();
    assert_eq!(code, 421, "{reply}");
    drop(open);
}

#[test]
fn without_its_header_haproxy_is_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path());
    let haproxy = Haproxy::start(gateway.smtp(), "");
    let mut wire = Wire::connect(haproxy.address()).unwrap();
    wire.send(b"EHLO client.example\r\n").unwrap();
    assert!(wire.reply().is_err(), "it hears nothing");
    wait_for("the refusal in the metrics", || {
        let metrics = http("GET", &format!("{}/metrics", gateway.admin()), &[], b"");
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        metrics.contains("connex_smtp_proxy_headers_total{outcome=\"missing\"} 1").then_some(())
    });
    // Who is not listed needs no header, and is not believed.
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.command("PROXY TCP4 192.0.2.7 198.51.100.1 12345 25").unwrap();
    assert_eq!(code, 500, "{reply}");
}
