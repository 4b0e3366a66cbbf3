//! A customer's own relay, which asks for STARTTLS and a password: what is sent for its domain goes there, and nothing else does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use connex::service::receipts::SignedReceipt;
use rustls::server::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::Listening;
use crate::domains::{fresh_domain, prove};
use crate::harness::{Authority, Do, Engine, Gateway, Pair, Receiver, list, on_both_engines, text, wait_for, zone};
use crate::sending::{Sender, TEXT, UNLIMITED, direct, domain_of};

on_both_engines!(
    mail_of_a_domain_goes_by_its_relay_which_lets_it_in_and_other_mail_goes_to_the_recipients_servers,
    what_was_released_for_a_relay_that_is_gone_goes_on_under_a_release_for_the_other_route,
);

/// `gateway` and `tidewater`, as AUTH PLAIN says them (RFC 4616).
const GOOD: &str = "AGdhdGV3YXkAdGlkZXdhdGVy";

/// A relay that lets one user in, over TLS alone.
struct Submission {
    host: String,
    /// What was taken: the reverse-path and each recipient, by transaction.
    taken: Arc<Mutex<Vec<Vec<String>>>>,
    /// Each password that was tried, as it was said.
    tried: Arc<Mutex<Vec<String>>>,
    listening: Listening,
}

impl Submission {
    fn start(authority: &Authority, folder: &std::path::Path) -> Self {
        let host = format!("smtp.{}", fresh_domain());
        let config = config(&authority.issue(folder, &host));
        let (taken, tried) = (Arc::<Mutex<Vec<Vec<String>>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (taking, hearing) = (Arc::clone(&taken), Arc::clone(&tried));
        let listening =
            Listening::start("127.0.0.3:0".parse().unwrap(), move |stream| serve(stream, &config, &taking, &hearing));
        zone().address_of(&host, listening.address.ip());
        Self { host, taken, tried, listening }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.listening.address.port())
    }

    fn taken(&self) -> Vec<Vec<String>> {
        self.taken.lock().unwrap().clone()
    }
}

fn config(pair: &Pair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(&pair.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn serve(
    mut stream: TcpStream,
    config: &Arc<ServerConfig>,
    taken: &Mutex<Vec<Vec<String>>>,
    tried: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.write_all(b"220 relay.example\r\n")?;
    loop {
        let line = line_in_clear(&mut stream)?;
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => stream.write_all(b"250-relay.example\r\n250 STARTTLS\r\n")?,
            "STARTTLS" => break stream.write_all(b"220 go ahead\r\n")?,
            // RFC 3207 §4.
            _ => stream.write_all(b"530 5.7.0 first STARTTLS\r\n")?,
        }
    }
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
    let (mut is_in, mut envelope, mut is_message) = (false, Vec::new(), false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let reply = match line.split([' ', ':']).next().unwrap_or_default() {
            _ if is_message => {
                is_message = line != ".";
                if is_message {
                    continue;
                }
                taken.lock().unwrap().push(std::mem::take(&mut envelope));
                "250 2.0.0 taken"
            }
            "EHLO" => "250-relay.example\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                let said = line.rsplit(' ').next().unwrap_or_default();
                tried.lock().unwrap().push(said.to_owned());
                is_in = said == GOOD;
                if is_in { "235 2.7.0 welcome" } else { "535 5.7.8 nobody of that name" }
            }
            "MAIL" | "RCPT" if !is_in => "530 5.7.0 who are you",
            "MAIL" => {
                envelope = vec![path()];
                "250 ok"
            }
            "RCPT" => {
                envelope.push(path());
                "250 ok"
            }
            "DATA" => {
                is_message = true;
                "354 go on"
            }
            _ => "250 ok",
        };
        let stream = stream.get_mut();
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
        stream.flush()?;
    }
}

/// No octet behind the line is read: what follows STARTTLS is the handshake.
fn line_in_clear(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut line, mut octet) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut octet)?;
        line.push(octet[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// A gateway that sends to a receiver, and knows the authority of a relay.
struct Scene {
    sender: Sender,
    domain: String,
    receiver: Receiver,
    relay: Submission,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(engine: Engine) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("an authority of a test"));
        let ca = authority.write(&folder.path().join("ca.pem"));
        let (receiver, relay) = (Receiver::start(|_| Do::Take), Submission::start(&authority, folder.path()));
        let sender = Sender::new(engine, &format!("{}ca_file = \"{}\"\n{UNLIMITED}", direct(&receiver), ca.display()));
        let domain = sender.mailbox.split('@').nth(1).unwrap().to_owned();
        Self { sender, domain, receiver, relay, folder }
    }

    /// The relay becomes that of the domain, with this password.
    fn set(&self, password: &str) -> Value {
        let file = self.folder.path().join("password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let (place, file) = (self.relay.place(), file.to_str().unwrap());
        let whose = ["domain", "relay", "set", &self.domain, "--tenant", "acme"];
        let how = ["--relay", &place, "--user", "gateway", "--password-file", file];
        self.sender.gateway.json(&[&whose[..], &how].concat())
    }

    fn to(&self, local: &str) -> String {
        format!("{local}@{}", domain_of(&self.receiver))
    }

    fn retry(&self) {
        self.sender.gateway.alter("UPDATE transmissions SET next_attempt_at = 1 WHERE state = 'deferred'");
    }

    /// The draft once all its recipients were put off, with what was said of the first.
    fn put_off(&self, draft: &str) -> (Value, String) {
        let shown = wait_for("the relay to put it off", || {
            let shown = self.sender.draft(draft);
            let all = list(&shown, "/transmissions");
            all.iter().all(|one| text(one, "/state") == "deferred").then(|| shown.clone())
        });
        let reply = text(&list(&shown, "/transmissions")[0], "/reply").to_owned();
        (shown, reply)
    }

    /// The route in the receipt of this release, which is whole.
    fn route_of(&self, release: &str) -> String {
        let shown = self.sender.gateway.connex(&["audit", "receipt", "show", release, "--tenant", "acme"]);
        let receipt = SignedReceipt::read(&shown.text()).unwrap_or_else(|error| panic!("{release}: {error}"));
        receipt.check(None).unwrap();
        receipt.receipt.route
    }
}

/// The release under which a draft was sent last.
fn release_of(shown: &Value) -> &str {
    text(&list(shown, "/transmissions")[0], "/releaseId")
}

/// A mailbox of another domain of the same tenant, as the sender's.
fn another_mailbox(gateway: &Gateway) -> String {
    let domain = prove(gateway);
    let made = gateway.json(&["signing", "add", &domain, "--tenant", "acme", "--selector", "s1"]);
    zone().txt(&format!("s1._domainkey.{domain}"), text(&made, "/record"));
    gateway.json(&["signing", "check", &domain]);
    let mailbox = format!("sales@{domain}");
    gateway.json(&["mailbox", "add", &mailbox, "--tenant", "acme", "--reply-policy", "policy_auto"]);
    mailbox
}

fn mail_of_a_domain_goes_by_its_relay_which_lets_it_in_and_other_mail_goes_to_the_recipients_servers(engine: Engine) {
    let scene = Scene::new(engine);
    let Scene { sender, domain, receiver, relay, .. } = &scene;
    let route = format!("relay:{}", relay.place());
    let set = scene.set("wrong");
    assert_eq!((text(&set, "/route"), text(&set, "/relay/user")), (route.as_str(), "gateway"), "{set}");
    let shown = sender.gateway.connex(&["domain", "relay", "show", domain, "--tenant", "acme"]).text();
    assert!(shown.contains(&relay.place()) && !shown.contains("wrong"), "{shown}");
    let (ann, bob) = (scene.to("ann"), scene.to("bob"));
    let draft = sender.release(&[&ann, &bob]);
    let (shown, reply) = scene.put_off(&draft);
    assert!(text(&shown, "/state") == "sending" && reply.contains("535 5.7.8"), "{shown}");
    assert_eq!((relay.tried.lock().unwrap().len(), relay.taken().len(), receiver.taken().len()), (1, 0, 0));

    scene.set("tidewater");
    scene.retry();
    let sent = sender.until(&draft, "sent");
    assert_eq!(relay.taken(), [vec![sender.mailbox.clone(), ann.clone(), bob]], "once, to all");
    assert_eq!(receiver.taken().len(), 0);
    assert_eq!(release_of(&sent), release_of(&shown), "the route is the same");
    assert_eq!(scene.route_of(release_of(&sent)), route);
    let checked = sender.gateway.json(&["domain", "check", domain, "--tenant", "acme"]);
    assert_eq!(text(&checked, "/route"), route, "{checked}");

    let other = another_mailbox(&sender.gateway);
    let body = json!({ "mailbox": other, "to": [ann], "subject": "Tuesday", "text": TEXT });
    let made = sender.call("POST", "/api/v1/drafts", &body).json();
    let id = text(&made, "/id").to_owned();
    sender.call("POST", &format!("/api/v1/drafts/{id}/release-request"), &Value::Null);
    let sent = sender.until(&id, "sent");
    assert_eq!((relay.taken().len(), receiver.taken().len()), (1, 1), "{sent}");
    assert_eq!(
        (receiver.taken()[0].reverse_path.as_str(), receiver.taken()[0].recipients.as_slice()),
        (&*other, &[ann][..])
    );
    assert_eq!(scene.route_of(release_of(&sent)), "direct");
    let audit = sender.gateway.connex(&["audit", "list", "--tenant", "acme", "--json"]).text();
    assert!(audit.contains("domain_relay.set") && !audit.contains("tidewater") && !audit.contains(GOOD), "{audit}");
}

fn what_was_released_for_a_relay_that_is_gone_goes_on_under_a_release_for_the_other_route(engine: Engine) {
    let scene = Scene::new(engine);
    let Scene { sender, domain, receiver, relay, .. } = &scene;
    let route = format!("relay:{}", relay.place());
    scene.set("wrong");
    let ann = scene.to("ann");
    let draft = sender.release(&[&ann]);
    let (shown, _) = scene.put_off(&draft);
    let former = release_of(&shown).to_owned();
    let removed = sender.gateway.json(&["domain", "relay", "remove", domain, "--tenant", "acme"]);
    assert_eq!((text(&removed, "/route"), removed["relay"].is_null()), ("direct", true), "{removed}");
    scene.retry();
    let sent = sender.until(&draft, "sent");
    assert_eq!((relay.taken().len(), receiver.taken().len()), (0, 1));
    let release = release_of(&sent);
    assert_ne!(release, former);
    assert_eq!((scene.route_of(&former), scene.route_of(release)), (route.clone(), "direct".to_owned()));
    let rows = sender.gateway.json(&["audit", "list", "--tenant", "acme", "--subject", &draft]);
    let step =
        list(&rows, "").iter().find(|row| text(row, "/action") == "release.rerouted").expect("a step of its own");
    assert_eq!((text(step, "/detail/former"), text(step, "/detail/release")), (former.as_str(), release));
    assert_eq!(sender.gateway.connex(&["audit", "verify", "--tenant", "acme"]).code, 0);

    // The other way round, before anything was tried: what waits for its time goes by what is in force then.
    let at = connex::clock::Clock::System.now().plus(std::time::Duration::from_secs(2)).to_string();
    let body = json!({ "mailbox": sender.mailbox, "to": [ann], "subject": "Tuesday", "text": TEXT });
    let made = sender.call("POST", "/api/v1/drafts", &body).json();
    let id = text(&made, "/id").to_owned();
    let released = sender.call("POST", &format!("/api/v1/drafts/{id}/release-request"), &json!({ "sendAt": at }));
    assert_eq!(text(&released.json(), "/state"), "released", "{released:?}");
    scene.set("tidewater");
    let sent = sender.until(&id, "sent");
    assert_eq!((relay.taken().len(), receiver.taken().len()), (1, 1));
    assert_eq!(scene.route_of(release_of(&sent)), route);
    // A domain that is given up has no relay when it is claimed again.
    sender.gateway.json(&["domain", "remove", domain, "--tenant", "acme"]);
    sender.gateway.json(&["domain", "add", domain, "--tenant", "acme"]);
    let shown = sender.gateway.json(&["domain", "relay", "show", domain, "--tenant", "acme"]);
    assert_eq!((text(&shown, "/route"), shown["relay"].is_null()), ("direct", true), "{shown}");
}
