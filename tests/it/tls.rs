//! TLS at the doors, seen from `openssl` and `curl`: versions, names, certificates that change, and those of clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{
    Authority, Gateway, Pair, TlsSession, Way, fresh_id, handshake, message, run, stuffed, text, wait_for,
};

/// A gateway with a certificate for `gateway.example`, one for `other.example`, and all doors that speak TLS.
struct Secured {
    gateway: Gateway,
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Secured {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Test CA");
        authority.write(&folder.path().join("ca.pem"));
        let [own, other] = ["gateway.example", "other.example"].map(|name| authority.issue(folder.path(), name));
        let tls = format!(
            "[tls]\ncert_file = {:?}\nkey_file = {:?}\nmore_cert_files = [{:?}]\nmore_key_files = [{:?}]\n{more}",
            own.cert, own.key, other.cert, other.key
        );
        let config = folder.path().join("connex.toml");
        let gateway = Gateway::serving_with(folder.path(), &tls, |text| {
            text.replace("[smtp]\n", "[smtp]\nlisten_tls = [\"127.0.0.1:0\"]\n")
                .replace("[http]\n", "[http]\nlisten_tls = [\"127.0.0.1:0\"]\n")
        });
        assert!(config.is_file());
        Self { gateway, folder, authority }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Name in the certificate that is shown to whoever asks for `name`.
    fn shown(&self, name: &str) -> Option<String> {
        let done = handshake(self.gateway.smtp(), Way::StartTls, &["-servername", name]);
        done.shown().map(str::to_owned)
    }
}

/// Every door with TLS from the first byte or by STARTTLS, and how to secure it.
fn mail_doors(gateway: &Gateway) -> [(SocketAddr, Way); 2] {
    [(gateway.smtp(), Way::StartTls), (gateway.smtps(), Way::Implicit)]
}

#[test]
fn the_name_that_is_asked_for_decides_which_certificate_is_shown() {
    let own = Secured::start("");
    for (address, way) in mail_doors(&own.gateway).into_iter().chain([(own.gateway.https(), Way::Implicit)]) {
        let ca = own.path().join("ca.pem");
        for (asked, expected) in [
            (["-servername", "other.example"].as_slice(), "other.example"),
            (&["-servername", "gateway.example"], "gateway.example"),
            (&["-servername", "unknown.example"], "gateway.example"),
            (&["-noservername"], "gateway.example"),
        ] {
            let options = [asked, &["-CAfile", ca.to_str().unwrap(), "-verify_return_error"]].concat();
            let done = handshake(address, way, &options);
            assert!(done.is_done && done.shown() == Some(expected), "{address} {way:?} {asked:?}: {}", done.said);
        }
    }
}

#[test]
fn a_certificate_that_changes_is_shown_without_a_restart_and_sessions_go_on() {
    let own = Secured::start("");
    let mut session = TlsSession::open(own.gateway.smtp(), Way::StartTls, &[]);
    assert_eq!(session.command("EHLO client.example").0, 250);
    // Replaced as certbot does: another file under the same name, here with another name in it.
    let fresh = own.authority.issue(own.path(), "fresh.example");
    let in_use = |name: &str| own.path().join(name);
    std::fs::rename(&fresh.cert, in_use("gateway.example.pem")).unwrap();
    std::fs::rename(&fresh.key, in_use("gateway.example.key")).unwrap();
    wait_for("the new certificate", || {
        (own.shown("unknown.example").as_deref() == Some("fresh.example")).then_some(())
    });
    assert_eq!(own.shown("other.example").as_deref(), Some("other.example"), "the others stay");
    let to = own.gateway.field("/mailbox");
    for line in ["MAIL FROM:<ann@lakeside.example>", &format!("RCPT TO:<{to}>")] {
        assert_eq!(session.command(line).0, 250);
    }
    assert_eq!(session.command("DATA").0, 354);
    let body = String::from_utf8(stuffed(&message(&fresh_id("reload"), to, "Hi", "Hi\r\n"))).unwrap();
    let (code, reply) = session.command(body.replace("\r\n", "\n").trim_end());
    assert_eq!(code, 250, "{reply}");
    assert_eq!(own.gateway.metric("connex_tls_reloads_total{outcome=\"ok\"}"), Some(1.0));
}

#[test]
fn a_certificate_that_cannot_be_used_is_reported_and_the_one_before_stays() {
    let own = Secured::start("");
    std::fs::write(own.path().join("gateway.example.key"), "no key").unwrap();
    let failed = || own.gateway.metric("connex_tls_reloads_total{outcome=\"failed\"}");
    wait_for("the report", || failed().filter(|count| *count >= 1.0));
    assert_eq!(own.shown("gateway.example").as_deref(), Some("gateway.example"));
    let log = own.gateway.log();
    assert!(log.contains("gateway.example.pem") && log.contains("private key"), "{log}");
    assert_eq!(log.matches("stays in use").count(), 1, "said once: {log}");
}

#[test]
fn a_hangup_reads_all_certificates_at_once() {
    let own = Secured::start("");
    let left = |source: &str| {
        let label = own.path().join(source).display().to_string();
        own.gateway.metric(&format!("connex_tls_certificate_expires_seconds{{source=\"{label}\"}}"))
    };
    let before = wait_for("the figure", || left("gateway.example.pem"));
    assert!(before > 0.0, "{before}");
    own.authority.issue_until(own.path(), "gateway.example", 2021);
    own.gateway.hang_up();
    wait_for("both certificates to be read", || {
        own.gateway.metric("connex_tls_reloads_total{outcome=\"ok\"}").filter(|count| *count >= 2.0)
    });
    wait_for("an end that is over", || left("gateway.example.pem").filter(|left| *left < 0.0));
    assert!(left("other.example.pem").is_some_and(|left| left > 0.0));
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older_or_weaker_at_any_door() {
    let own = Secured::start("");
    let ca = own.path().join("ca.pem");
    let trusting = ["-CAfile", ca.to_str().unwrap(), "-verify_return_error", "-servername", "gateway.example"];
    // Level 0 lets the client offer what is outdated: the refusal is then the server's.
    let weak = |list: &'static str| ["-tls1_2", "-cipher", list];
    for (address, way) in mail_doors(&own.gateway).into_iter().chain([(own.gateway.https(), Way::Implicit)]) {
        let tried = |options: &[&str]| handshake(address, way, &[&trusting, options].concat());
        for (version, shown) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
            let done = tried(&[version]);
            assert!(done.is_done && done.said.contains(&format!("{shown}, Cipher is")), "{address}: {}", done.said);
        }
        for options in [
            ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
            weak("AES128-SHA:AES256-SHA:@SECLEVEL=0"),
            weak("AES128-GCM-SHA256:AES256-GCM-SHA384:@SECLEVEL=0"),
            weak("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"),
            weak("aNULL:eNULL:@SECLEVEL=0"),
        ] {
            let done = tried(&options);
            assert!(!done.is_done && done.said.contains("SSL alert number"), "{address} {options:?}: {}", done.said);
        }
    }
}

#[test]
fn a_session_is_resumed_with_both_versions_and_across_a_change_of_certificate() {
    let own = Secured::start("");
    let ticket = own.path().join("session.pem");
    let ticket = ticket.to_str().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        // Under TLS 1.3 the ticket comes behind the handshake: with the reply to a command.
        let mut session = TlsSession::open(own.gateway.smtps(), Way::Implicit, &[version, "-sess_out", ticket]);
        assert_eq!(session.reply().0, 220);
        assert_eq!(session.command("QUIT").0, 221);
        drop(session);
        own.authority.issue(own.path(), "gateway.example");
        let count = own.gateway.metric("connex_tls_reloads_total{outcome=\"ok\"}").unwrap_or(0.0);
        own.gateway.hang_up();
        wait_for("the certificates to be read", || {
            own.gateway.metric("connex_tls_reloads_total{outcome=\"ok\"}").filter(|now| *now >= count + 2.0)
        });
        let done = handshake(own.gateway.smtps(), Way::Implicit, &[version, "-sess_in", ticket]);
        assert!(done.is_done && done.said.contains("\nReused, TLSv1"), "{version}: {}", done.said);
        assert!(!done.said.contains("Max Early Data: 1"), "{}", done.said);
    }
}

#[test]
fn the_api_is_served_with_tls_under_the_same_bounds() {
    let own = Secured::start("");
    let https = own.gateway.https();
    let ca = own.path().join("ca.pem");
    let resolve = format!("gateway.example:{}:127.0.0.1", https.port());
    let url = format!("https://gateway.example:{}/api/v1/events", https.port());
    let authorization = format!("authorization: Bearer {}", own.gateway.field("/apiKey"));
    let mut command = Command::new("curl");
    command.args(["-sS", "-v", "--max-time", "30", "--cacert", ca.to_str().unwrap(), "--resolve", &resolve]);
    let output = run(command.args(["-H", &authorization, "-w", "%{http_code}", &url]), b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("200"), "{output:?}");
    assert!(said.contains("ALPN: server accepted http/1.1"), "{said}");
    // Bytes that are no TLS are no request.
    let plain = run(Command::new("curl").args(["-sS", "--max-time", "30", &format!("http://{https}/healthz")]), b"");
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");
}

#[test]
fn connections_in_the_clear_and_with_tls_count_together() {
    let own = Secured::start("[http.rate_limits]\ndaily = 0\n");
    let gateway = own.gateway.reconfigured(&[("[http]\n", "[http]\nconnections_per_address = 2\n")]);
    let plain: Vec<_> =
        (0..2).map(|_| std::net::TcpStream::connect(gateway.api().trim_start_matches("http://")).unwrap()).collect();
    wait_for("both to count", || gateway.metric("connex_connections{door=\"http\"}").filter(|count| *count >= 2.0));
    let refused = handshake(gateway.https(), Way::Implicit, &[]);
    assert!(!refused.is_done, "{}", refused.said);
    drop(plain);
    wait_for("room", || handshake(gateway.https(), Way::Implicit, &[]).is_done.then_some(()));
}

/// Adds a bcc route that believes `peer`; its address.
fn route(gateway: &Gateway, peer: &str) -> String {
    let of_app = ["--tenant", gateway.field("/tenant"), "--app", gateway.field("/app"), "--kind", "bcc"];
    let added = gateway.json(&[&["route", "add", "--peer", peer], &of_app[..]].concat());
    text(&added, "/address").to_owned()
}

/// What has a client show this certificate.
fn showing(certificate: Option<&Pair>) -> Vec<&str> {
    certificate
        .map_or_else(Vec::new, |pair| vec!["-cert", pair.cert.to_str().unwrap(), "-key", pair.key.to_str().unwrap()])
}

/// What becomes of a copy that a client with these options hands over: its state, or `put off` for a stranger.
fn state_of_copy(gateway: &Gateway, options: &[&str], to: &str) -> String {
    let before = gateway.messages().len();
    let mut session = TlsSession::open(gateway.smtp(), Way::StartTls, options);
    assert_eq!(session.command("EHLO client.example").0, 250);
    assert_eq!(session.command("MAIL FROM:<ann@lakeside.example>").0, 250);
    let (code, reply) = session.command(&format!("RCPT TO:<{to}>"));
    if code == 450 {
        return "put off".to_owned();
    }
    assert_eq!(code, 250, "{reply}");
    assert_eq!(session.command("DATA").0, 354);
    let copy = message(&fresh_id("copy"), "buyer@elsewhere.example", "Our offer", "Please find it.\r\n");
    let copy = String::from_utf8(stuffed(&copy)).unwrap();
    assert_eq!(session.command(copy.replace("\r\n", "\n").trim_end()).0, 250);
    wait_for("the copy in the index", || {
        let messages = gateway.messages();
        let last = messages.iter().find(|message| text(message, "/state") == "spooled");
        if messages.len() <= before || last.is_some() {
            return None;
        }
        let newest = messages.iter().max_by_key(|message| text(message, "/id").to_owned())?;
        Some(text(newest, "/state").to_owned())
    })
}

#[test]
fn a_route_believes_the_certificate_that_it_names_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (clients, strangers) = (Authority::new("Lake CA"), Authority::new("Lake CA"));
    let ca = clients.write(&folder.path().join("clients.pem"));
    let own = Secured::start(&format!("client_certificates = \"ask\"\nclient_ca_file = {ca:?}\n"));
    let good = clients.issue(folder.path(), "out.lake.example");
    let second = clients.issue(folder.path(), "second.lake.example");
    let expired = clients.issue_until(folder.path(), "expired.lake.example", 2021);
    let other = tempfile::tempdir().unwrap();
    let forged = strangers.issue(other.path(), "out.lake.example");
    let pinned = route(&own.gateway, &format!("cert:sha256:{}", good.sha256));
    let pinned_expired = route(&own.gateway, &format!("cert:sha256:{}", expired.sha256));
    let named = route(&own.gateway, "cert:name:Lake CA:out.lake.example");
    let named_expired = route(&own.gateway, "cert:name:Lake CA:expired.lake.example");
    for version in ["-tls1_2", "-tls1_3"] {
        for (certificate, to, expected) in [
            (Some(&good), &pinned, "emitted"),
            (Some(&second), &pinned, "put off"),
            (Some(&forged), &pinned, "put off"),
            (None, &pinned, "put off"),
            // A pin names one key, for as long as the operator lets it stand.
            (Some(&expired), &pinned_expired, "emitted"),
            (Some(&good), &named, "emitted"),
            (Some(&second), &named, "put off"),
            (Some(&forged), &named, "put off"),
            (Some(&expired), &named_expired, "put off"),
            (None, &named, "put off"),
        ] {
            let state = state_of_copy(&own.gateway, &[&[version], &showing(certificate)[..]].concat(), to);
            let who = certificate.map(|pair| pair.cert.display().to_string());
            assert_eq!(state, expected, "{version} {who:?} to {to}");
        }
    }
    // Who resumes a session is who began it, and shows nothing again.
    let ticket = folder.path().join("session.pem");
    let (keep, resume) = (["-sess_out", ticket.to_str().unwrap()], ["-sess_in", ticket.to_str().unwrap()]);
    for (certificate, expected) in [(Some(&good), "emitted"), (Some(&second), "put off"), (None, "put off")] {
        let first = [&keep[..], &showing(certificate)].concat();
        assert_eq!(state_of_copy(&own.gateway, &first, &named), expected);
        assert_eq!(state_of_copy(&own.gateway, &resume, &named), expected);
    }
}

#[test]
fn a_certificate_whose_key_the_client_does_not_hold_ends_the_handshake() {
    // `openssl` refuses to show a certificate with another's key; a client of our own does.
    let folder = tempfile::tempdir().unwrap();
    let clients = Authority::new("Lake CA");
    let own = Secured::start("client_certificates = \"ask\"\n");
    let [good, other] = ["out.lake.example", "other.lake.example"].map(|name| clients.issue(folder.path(), name));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let with = |certificate: &Pair, key: &Pair| stolen::handshake(own.gateway.smtps(), version, certificate, key);
        assert!(with(&good, &good), "{version:?}: the holder comes in");
        assert!(!with(&good, &other), "{version:?}: who does not hold the key is cut off");
    }
}

/// A client that shows a certificate and signs with a key of its choice.
mod stolen {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;

    use rustls::client::ResolvesClientCert;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::sign::CertifiedKey;
    use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};

    use crate::harness::{PATIENCE, Pair};

    /// Whether the server goes on behind the handshake.
    pub fn handshake(
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
        certificate: &Pair,
        key: &Pair,
    ) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_file(&certificate.cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&key.key).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let shown = Arc::new(CertifiedKey::new(chain, key));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_client_cert_resolver(Arc::new(Shows(shown)));
        let name = ServerName::try_from("gateway.example").unwrap();
        let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let mut greeting = [0; 3];
        stream.write_all(b"NOOP\r\n").is_ok() && stream.read_exact(&mut greeting).is_ok() && &greeting == b"220"
    }

    #[derive(Debug)]
    struct Shows(Arc<CertifiedKey>);

    impl ResolvesClientCert for Shows {
        fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    #[derive(Debug)]
    struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
