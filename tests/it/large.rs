//! A large journal report: read in bounded memory, while small mail keeps flowing.

use std::time::{Duration, Instant};

use crate::harness::{Engine, Gateway, Wire, fresh_id, on_both_engines, proof_of_funds, text, wait_within};

on_both_engines!(a_large_report_is_read_in_bounded_memory_while_small_mail_flows);

/// Octets of the attachment as it travels.
const LARGE: usize = 150 << 20;

/// An Exchange report about a message with a large attachment.
fn report(id: &str) -> Vec<u8> {
    let head = format!(
        "From: Journal <journal@harbor.example>\r\nTo: journal@gateway.example\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\nContent-Type: text/plain\r\n\r\n\
Sender: ann@lakeside.example\r\nSubject: Drawings\r\nMessage-Id: {id}\r\nTo: bob@harbor.example\r\n\r\n\
--outer\r\nContent-Type: message/rfc822\r\n\r\n\
From: ann@lakeside.example\r\nTo: bob@harbor.example\r\nSubject: Drawings\r\nMessage-ID: {id}\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\nContent-Type: text/plain\r\n\r\nThe drawings.\r\n\
--inner\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    let line = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n";
    let mut bytes = head.into_bytes();
    while bytes.len() < LARGE {
        bytes.extend_from_slice(line);
    }
    bytes.extend_from_slice(b"--inner--\r\n\r\n--outer--\r\n");
    bytes
}

/// Octets of the process's resident set at its highest.
fn highest(gateway: &Gateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn a_large_report_is_read_in_bounded_memory_while_small_mail_flows(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let (tenant, app) = (gateway.field("/tenant"), gateway.field("/app"));
    let mut add = vec!["route", "add", "--tenant", tenant, "--app", app, "--kind", "journal", "--format", "exchange"];
    add.extend(["--peer", "127.0.0.1"]);
    let route = gateway.json(&add);
    let id = fresh_id("large");
    let before = highest(&gateway);
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("", text(&route, "/address"), &report(&id)).unwrap();
    assert_eq!(code, 250, "{reply}");
    // Small mail for another recipient does not wait for it with its 250.
    let mailbox = gateway.field("/mailbox").to_owned();
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let begun = Instant::now();
        let mut wire = Wire::hello(gateway.smtp()).unwrap();
        let small = proof_of_funds(&fresh_id(&format!("small{number}")), &mailbox);
        assert_eq!(wire.mail("ann@lakeside.example", &mailbox, &small).unwrap().0, 250);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(20), "small mail waited {slowest:?}");
    let is_read = || {
        let messages = gateway.messages();
        let done = messages.len() == 21 && messages.iter().all(|message| text(message, "/state") != "spooled");
        done.then_some(messages)
    };
    let messages = wait_within(Duration::from_secs(180), "all to be read", is_read);
    let large = messages.iter().find(|message| message["size"].as_u64() > Some(LARGE as u64)).unwrap();
    let event = gateway.explained(text(large, "/id"));
    assert_eq!(text(large, "/state"), "held", "nobody in it is of a domain of the tenant: {event}");
    let grown = highest(&gateway).saturating_sub(before);
    // Twice its size, and what a gateway at work takes besides.
    assert!(grown < 3 * LARGE + (64 << 20), "memory grew by {} MiB", grown >> 20);
}
