//! Exim relays to us.

use std::path::Path;

use super::{body, difficult_body, expect_same, stored_with};
use crate::harness::{Exim, Gateway, fresh_id, list, message, text};

const FROM: &str = "ann@lakeside.example";

#[test]
fn exim_relays_in_chunks_under_tls() {
    let gateway = Gateway::dev();
    let first = gateway.field("/mailbox").to_owned();
    let second = format!("second@{}", first.split('@').nth(1).unwrap());
    gateway.json(&["mailbox", "add", &second, "--tenant", gateway.field("/tenant"), "--app", gateway.field("/app")]);
    let exim = Exim::relaying_to(gateway.smtp().port(), Path::new(gateway.field("/caFile")));
    let id = fresh_id("exim");
    let bytes = message(&id, &first, "Zw\u{f6}lf", &difficult_body());
    let piped = String::from_utf8(bytes.clone()).unwrap().replace("\r\n", "\n");
    let log = exim.deliver(FROM, &[&first, &second], piped.as_bytes());
    for to in [&first, &second] {
        let line = log.lines().find(|line| line.contains(&format!("> {to} "))).unwrap_or_else(|| panic!("{log}"));
        // X: TLS; CV: the certificate is verified; K: CHUNKING was used.
        let is_so = line.contains(" X=TLS1.3:") && line.contains(" CV=yes ") && line.contains(" K ");
        assert!(is_so && line.contains("250 2.0.0 Ok: msg_"), "{line}");
    }
    expect_same(body(&stored_with(&gateway, &id)), body(&bytes), "what Exim relayed");
    gateway.arrival(&id);
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert_eq!(list(&chain, "/events").len(), 2, "one event for each recipient: {chain}");
}
