//! Mail that leaves for servers of others, as they are run: what becomes of it where they refuse, put off or hang up, how it
//! is encrypted on the way, and which certificates are believed.

mod encryption;
mod proofs;
mod relays;
mod steps;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use connex::dns::zone::Zone;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::domains::fresh_domain;
use crate::harness::{Engine, Gateway, list, text, wait_for, zone};
use crate::sending::{Sender, TEXT, UNLIMITED};

/// Addresses with one port, for servers of this test alone: a gateway sends to the same port everywhere.
struct Addresses {
    at: Vec<SocketAddr>,
    /// Bound and not listening: servers can listen there, and nobody is given the port for another purpose meanwhile.
    _held: Vec<TcpSocket>,
}

impl Addresses {
    /// So many. All of 127/8 is this machine; the first ones are those of gateways and of other receivers.
    fn of(count: usize) -> Self {
        // At another of them somebody may have the port that was free at the first.
        let held = wait_for("a port that is free at all addresses", || {
            let mut port = 0;
            let held: std::io::Result<Vec<TcpSocket>> = (20..).take(count).map(|last| hold(last, &mut port)).collect();
            held.ok()
        });
        Self { at: held.iter().map(|socket| socket.local_addr().unwrap()).collect(), _held: held }
    }

    fn port(&self) -> u16 {
        self.at[0].port()
    }
}

impl std::ops::Deref for Addresses {
    type Target = [SocketAddr];

    fn deref(&self) -> &[SocketAddr] {
        &self.at
    }
}

/// Holds a port of one address: the first that is free, told to the next.
fn hold(last: u8, port: &mut u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, last], *port)))?;
    *port = socket.local_addr()?.port();
    Ok(socket)
}

/// Sends to recipients' servers at this port of loopback; more settings of `[sending]`, and sections, may follow.
fn directly(port: u16) -> String {
    format!("{UNLIMITED}[sending]\nport = {port}\nallow = [\"127.0.0.0/8\"]\n")
}

/// A domain whose mail goes to `mx.` and its name, at this address.
fn domain_at(zone: &Zone, address: IpAddr) -> String {
    let domain = fresh_domain();
    let host = format!("mx.{domain}");
    zone.mx(&domain, &host).address_of(&host, address);
    domain
}

/// The draft once its one recipient was tried so many times.
fn tried(sender: &Sender, draft: &str, attempts: u64) -> Value {
    wait_for(&format!("attempt {attempts} to end"), || {
        let shown = sender.draft(draft);
        let one = &list(&shown, "/transmissions")[0];
        let is_over = one["attempts"] == attempts && !["pending", "in_flight"].contains(&text(one, "/state"));
        is_over.then_some(shown)
    })
}

/// State of its one transmission, that of the draft, and what was said.
fn told(draft: &Value) -> [&str; 3] {
    ["/transmissions/0/state", "/state", "/transmissions/0/reply"].map(|place| text(draft, place))
}

/// Mail to each of these domains, tried once: the drafts, by domain.
fn sent_to<'d>(sender: &Sender, domains: &'d [(&str, String)]) -> Vec<(&'d str, Value)> {
    let released = domains.iter().map(|(_, domain)| sender.release(&[&format!("ann@{domain}")]));
    let drafts: Vec<String> = released.collect();
    domains.iter().zip(drafts).map(|((what, _), draft)| (*what, tried(sender, &draft, 1))).collect()
}

/// State of its draft where the one transmission is in this one.
fn draft_state(transmission: &str) -> &'static str {
    match transmission {
        "accepted" => "sent",
        "rejected" => "failed",
        "unknown" => "unknown",
        _ => "sending",
    }
}

/// Does `serve` with each connection to an address, until it is dropped.
struct Listening {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Listening {
    fn start(address: SocketAddr, serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().unwrap();
        let (is_over, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let ending = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
                stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
                // A peer that goes away in the middle is what some tests are about.
                std::thread::spawn(move || drop(serve(stream)));
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A gateway in `folder`, and a mailbox of its own on a platform domain that signs and says so in `zone`.
fn of_platform(folder: &Path, zone: &Zone, more: &str) -> Sender {
    let domain = fresh_domain();
    let gateway = Gateway::serving_with(folder, more, |text| {
        text.replace("platform_domains = [", &format!("platform_domains = [\"{domain}\", "))
    });
    let made = gateway.json(&["signing", "add", &domain, "--selector", "s1"]);
    zone.txt(&format!("s1._domainkey.{domain}"), text(&made, "/record"))
        .txt(&domain, "v=spf1 ip4:127.0.0.1 -all")
        .txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject");
    let checked = gateway.json(&["signing", "check", &domain]);
    assert!(checked[0]["seenAt"].is_string(), "{checked}");
    let mailbox = format!("sales@{domain}");
    gateway.json(&["mailbox", "add", &mailbox, "--tenant", "acme", "--reply-policy", "policy_auto"]);
    let file = gateway.dir().join("policy.json");
    let policy =
        json!({ "participantsOnly": false, "automaticPerCorrespondent": 1000, "similarToNewRecipients": 1000 });
    std::fs::write(&file, policy.to_string()).unwrap();
    gateway.json(&["policy", "set", file.to_str().unwrap(), "--tenant", "acme"]);
    let scopes = ["--scope", "drafts:write", "--scope", "drafts:read"];
    let key = gateway.json(&[&["key", "add", "--tenant", "acme", "--name", "drafts"], &scopes[..]].concat());
    Sender { key: text(&key, "/key").to_owned(), mailbox, gateway }
}

/// A certificate that nobody signed but itself.
struct SelfSigned {
    cert: PathBuf,
    key: PathBuf,
    /// SHA-256 of its public key, as a TLSA record with selector 1 has it.
    digest: Vec<u8>,
}

impl SelfSigned {
    fn new(folder: &Path, name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let own = Self {
            cert: folder.join(format!("{name}.self.pem")),
            key: folder.join(format!("{name}.self.key")),
            digest: ring::digest::digest(&ring::digest::SHA256, &rcgen::PublicKeyData::subject_public_key_info(&key))
                .as_ref()
                .to_vec(),
        };
        std::fs::write(&own.cert, certificate.pem()).unwrap();
        std::fs::write(&own.key, key.serialize_pem()).unwrap();
        own
    }
}

#[test]
fn mail_of_a_platform_mailbox_is_believed_by_the_next_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let next = Gateway::serving(Engine::Sqlite, "[authentication]\nrelays = []\ntimeout = \"5s\"\n");
    let relay = format!("[sending]\nrelay = \"{}\"\nrelay_tls = \"never\"\n", next.smtp());
    let sender = of_platform(folder.path(), zone(), &relay);
    let draft = sender.release(&[next.field("/mailbox")]);
    let sent = sender.until(&draft, "sent");
    assert_eq!(text(&sent, "/identityOwner"), "connex");
    assert!(told(&sent)[2].starts_with("250 2.0.0"), "{sent}");
    let message = wait_for("the message to be read", || {
        next.messages().into_iter().find(|message| text(message, "/state") == "emitted")
    });
    let explained = next.explained(text(&message, "/id"));
    let results = text(&explained, "/message/trace/authenticationResults");
    for passed in ["dkim=pass", "spf=pass", "dmarc=pass"] {
        assert!(results.contains(passed), "{passed}: {results}");
    }
    let event = &list(&explained, "/events")[0];
    assert_eq!(text(event, "/event/author/address"), sender.mailbox);
    assert_eq!(text(event, "/event/text").trim_end(), TEXT);
    assert_eq!(next.messages().len(), 1, "once");
}
