//! Certificates from Pebble, an ACME authority: obtained, shown, renewed, and what is shown while there is none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Gateway, Pebble, TlsSession, Way, free_port, handshake, http, wait_for, wait_within};

/// Of a certificate that is renewed while a test looks on: after two thirds of it.
const SHORT: u64 = 30;
const LONG: u64 = 90 * 86_400;
/// An order takes a second or two; a busy machine may take more.
const ORDERING: Duration = Duration::from_secs(90);

/// A gateway with this `[acme]` and every door that speaks TLS.
fn gateway(folder: &Path, acme: &str) -> Gateway {
    Gateway::serving_with(folder, acme, |text| {
        text.replace("[smtp]\n", "[smtp]\nlisten_tls = [\"127.0.0.1:0\"]\n")
            .replace("[http]\n", "[http]\nlisten_tls = [\"127.0.0.1:0\"]\n")
    })
}

fn orders(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!("connex_acme_orders_total{{outcome=\"{outcome}\"}}")).unwrap_or(0.0)
}

fn wait_for_orders(gateway: &Gateway, outcome: &str, count: f64) {
    wait_within(ORDERING, &format!("order {count} to be {outcome}"), || {
        (orders(gateway, outcome) >= count).then_some(())
    });
}

/// The certificate that is shown by STARTTLS, as PEM.
fn shown(gateway: &Gateway) -> String {
    let done = handshake(gateway.smtp(), Way::StartTls, &["-servername", "gateway.example"]);
    assert!(done.is_done, "{}", done.said);
    let begin = done.said.find("-----BEGIN CERTIFICATE").unwrap();
    let end = done.said.find("-----END CERTIFICATE").unwrap();
    done.said[begin..end].to_owned()
}

#[test]
fn a_certificate_is_obtained_shown_at_every_door_and_renewed_without_a_restart() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let pebble = Pebble::start(SHORT, port);
    let gateway = gateway(folder.path(), &pebble.configuration(port));
    wait_for_orders(&gateway, "ok", 1.0);
    let root = pebble.root();
    for (address, way) in
        [(gateway.smtp(), Way::StartTls), (gateway.smtps(), Way::Implicit), (gateway.https(), Way::Implicit)]
    {
        for host in ["gateway.example", "mx.gateway.example"] {
            let trusting = ["-CAfile", root.to_str().unwrap(), "-verify_return_error", "-verify_hostname", host];
            let done = handshake(address, way, &[&trusting[..], &["-servername", host]].concat());
            assert!(done.is_done, "{address} {way:?} {host}: {}", done.said);
        }
    }
    for file in ["account.json", "certificate.pem"] {
        let mode = std::fs::metadata(gateway.dir().join("acme").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let asked = |path: &str| http("GET", &format!("http://127.0.0.1:{port}{path}"), &[], b"").status;
    for path in ["/.well-known/acme-challenge/unknown", "/", "/api/v1/events", "/metrics"] {
        assert_eq!(asked(path), 404, "{path}");
    }
    let (first, renewed) = (shown(&gateway), orders(&gateway, "ok") + 1.0);
    let mut session = TlsSession::open(gateway.smtp(), Way::StartTls, &[]);
    wait_for_orders(&gateway, "ok", renewed);
    assert_ne!(shown(&gateway), first);
    assert_eq!(session.command("NOOP").0, 250, "what was begun goes on");
    let log = gateway.log();
    assert!(!log.contains("PRIVATE KEY") && orders(&gateway, "failed") == 0.0, "{log}");
}

#[test]
fn a_directory_that_fails_leaves_the_certificate_in_use_and_is_asked_again() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut pebble = Pebble::start(SHORT, port);
    let gateway = gateway(folder.path(), &pebble.configuration(port));
    wait_for_orders(&gateway, "ok", 1.0);
    pebble.pause();
    let first = shown(&gateway);
    wait_for_orders(&gateway, "failed", 1.0);
    assert_eq!(shown(&gateway), first);
    // It comes back and knows nothing of the account.
    pebble.resume();
    let done = orders(&gateway, "ok");
    gateway.hang_up();
    wait_for_orders(&gateway, "ok", done + 1.0);
    assert_ne!(shown(&gateway), first);
}

#[test]
fn until_the_authority_believes_us_mail_is_encrypted_with_a_placeholder_and_the_reason_is_said() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    // It asks where nobody answers.
    let pebble = Pebble::start(LONG, free_port());
    let gateway = gateway(folder.path(), &pebble.configuration(port));
    assert!(shown(&gateway).contains("BEGIN"));
    wait_for_orders(&gateway, "failed", 1.0);
    let log = gateway.log();
    assert!(log.contains("port 80") && log.contains("gateway.example"), "{log}");
    assert!(log.contains("trying again in 2 minutes"), "{log}");
    let label = "connex_tls_certificate_expires_seconds{source=\"acme\"}";
    let left = wait_for("the figure", || gateway.metric(label));
    assert!(left < 86_400.0, "{left}: a placeholder is alarming");
}

#[test]
fn a_certificate_that_has_time_left_is_used_again_after_a_restart() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let pebble = Pebble::start(LONG, port);
    let gateway = gateway(folder.path(), &pebble.configuration(port));
    wait_for_orders(&gateway, "ok", 1.0);
    let first = shown(&gateway);
    let gateway = gateway.restarted();
    assert_eq!(shown(&gateway), first);
    // The figure comes with the first look at the certificates, when an order would have been begun.
    let label = "connex_tls_certificate_expires_seconds{source=\"acme\"}";
    wait_for("the figure", || gateway.metric(label).filter(|left| *left > 86_400.0));
    // Another host is ordered for at once.
    let gateway = gateway.reconfigured(&[("\"mx.gateway.example\"", "\"mail.gateway.example\"")]);
    wait_for_orders(&gateway, "ok", 1.0);
    assert_ne!(shown(&gateway), first);
    assert!(orders(&gateway, "failed") == 0.0);
}
