//! Domains that say which servers are theirs, and which certificates: by a policy (MTA-STS) or in signed DNS (DANE). Where that
//! does not hold nothing is sent.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use connex::dns::zone::Zone;
use rustls::server::{ResolvesServerCertUsingSni, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::encryption::{hands_on_to, received_line, with_tls};
use super::{Addresses, Listening, SelfSigned, directly, domain_at, of_platform, sent_to, told};
use crate::harness::{Authority, Do, Engine, Pair, Postfix, Receiver, zone};
use crate::sending::Sender;

/// How a domain's server is, what is said of it, and what becomes of mail to it: nothing where it is taken, else a part of
/// why it was put off.
struct Case {
    what: &'static str,
    domain: String,
    /// Options of its server.
    options: String,
    /// What is said of it.
    claim: String,
    put_off: Option<&'static str>,
}

/// Sends to each, and looks what came of it at the server and here.
fn expect(sender: &Sender, cases: &[Case], postfix: &Postfix, receiver: &Receiver) {
    let domains: Vec<(&str, String)> = cases.iter().map(|case| (case.what, case.domain.clone())).collect();
    for (case, (what, shown)) in cases.iter().zip(sent_to(sender, &domains)) {
        let [state, of_draft, reply] = told(&shown);
        match case.put_off {
            None => {
                assert_eq!((state, of_draft), ("accepted", "sent"), "{what}: {shown}\n{}", postfix.log());
                let line = received_line(receiver, &case.domain);
                assert!(line.contains("(using TLSv1.3 with cipher"), "{what}: {line}");
            }
            Some(why) => {
                assert_eq!((state, of_draft), ("deferred", "sending"), "{what}: {shown}");
                assert!(reply.contains(why), "{what}: {reply}");
            }
        }
    }
    // Neither at the receiver nor on the way to it.
    let log = postfix.log();
    for case in cases.iter().filter(|case| case.put_off.is_some()) {
        assert!(!log.contains(&case.domain), "{}: {log}", case.what);
    }
    let taken = cases.iter().filter(|case| case.put_off.is_none()).count();
    assert_eq!(receiver.taken().len(), taken, "each once, and nothing else");
}

fn start(at: &[SocketAddr], cases: &[Case], receiver: &Receiver) -> Postfix {
    let servers: Vec<(SocketAddr, &str)> =
        at.iter().zip(cases).map(|(address, case)| (*address, case.options.as_str())).collect();
    Postfix::start_at(&servers, &hands_on_to(receiver))
}

/// HTTPS at port 443 of an address: the policy of each domain, under the certificate for its name.
fn policies(address: SocketAddr, of: Vec<(String, Pair, String)>) -> Listening {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut certificates = ResolvesServerCertUsingSni::new();
    let mut texts = HashMap::new();
    for (host, pair, policy) in of {
        let chain = vec![CertificateDer::from_pem_file(&pair.cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let certified = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
        certificates.add(&host, certified).unwrap();
        texts.insert(host, policy);
    }
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(certificates)));
    Listening::start(address, move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let host = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
        let policy = host.and_then(|host| texts.get(host.trim_end_matches(":443")));
        let is_asked = head.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n");
        let answer = match policy.filter(|_| is_asked) {
            Some(policy) => {
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{policy}",
                    policy.len()
                )
            }
            None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let stream = stream.get_mut();
        stream.write_all(answer.as_bytes())?;
        stream.conn.send_close_notify();
        stream.flush()
    })
}

/// Servers of domains with a policy, in the order of their addresses.
fn cases_of_policies(folder: &Path, at: &[SocketAddr], trusted: &Authority, strange: &Authority) -> Vec<Case> {
    let domains: Vec<String> = at.iter().map(|address| domain_at(zone(), address.ip())).collect();
    let mx = |number: usize| format!("mx.{}", domains[number]);
    let issued = |authority: &Authority, name: &str| {
        let pair = authority.issue(folder, name);
        with_tls(&pair.cert, &pair.key)
    };
    let itself = SelfSigned::new(folder, "itself.example");
    let itself = with_tls(&itself.cert, &itself.key);
    let policy = |mode: &str, host: &str| format!("version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 86400\r\n");
    let case = |number: usize, what, options, claim, put_off| Case {
        what,
        domain: domains[number].clone(),
        options,
        claim,
        put_off,
    };
    let enforced = |number: usize| policy("enforce", &mx(number));
    vec![
        case(0, "believed", issued(trusted, &mx(0)), enforced(0), None),
        case(
            1,
            "believed under a wildcard",
            issued(trusted, &mx(1)),
            policy("enforce", &format!("*.{}", domains[1])),
            None,
        ),
        case(2, "self-signed", itself.clone(), enforced(2), Some("invalid peer certificate")),
        case(3, "of a strange authority", issued(strange, &mx(3)), enforced(3), Some("invalid peer certificate")),
        case(4, "for another name", issued(trusted, "mx.other.example"), enforced(4), Some("invalid peer certificate")),
        case(5, "no TLS", "-o smtpd_tls_security_level=none".to_owned(), enforced(5), Some("does not offer STARTTLS")),
        case(
            6,
            "not named",
            issued(trusted, &mx(6)),
            policy("enforce", "mx.other.example"),
            Some("is named by its MTA-STS policy"),
        ),
        case(7, "tried out", itself, policy("testing", &mx(7)), None),
    ]
}

#[test]
fn an_enforced_policy_lets_mail_go_to_servers_that_it_names_and_certificates_that_are_believed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (trusted, strange) = (Authority::new("Trusted"), Authority::new("Strange"));
    let ca_file = trusted.write(&folder.path().join("ca.pem"));
    let receiver = Receiver::start(|_| Do::Take);
    let at = Addresses::of(8);
    let cases = cases_of_policies(folder.path(), &at, &trusted, &strange);
    let mut secure = (100..=250).map(|last| SocketAddr::from(([127, 0, 0, last], 443)));
    let secure = secure.find(|address| TcpListener::bind(address).is_ok()).unwrap();
    let of = cases.iter().map(|case| {
        let host = format!("mta-sts.{}", case.domain);
        zone().txt(&format!("_mta-sts.{}", case.domain), "v=STSv1; id=1;").address_of(&host, secure.ip());
        let pair = trusted.issue(folder.path(), &host);
        (host, pair, case.claim.clone())
    });
    let _policies = policies(secure, of.collect());
    let postfix = start(&at, &cases, &receiver);
    let more = format!("{}mta_sts = true\nca_file = {ca_file:?}\n", directly(at.port()));
    let sender = Sender::new(Engine::Sqlite, &more);
    expect(&sender, &cases, &postfix, &receiver);
}

#[test]
fn signed_dns_says_which_certificate_a_server_has_and_mail_goes_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let world = Zone::start().unwrap();
    world.sign();
    let anchors = folder.path().join("root.keys");
    std::fs::write(&anchors, world.anchor_text().unwrap()).unwrap();
    let (own, other) = (SelfSigned::new(folder.path(), "own.example"), SelfSigned::new(folder.path(), "other.example"));
    let tls = with_tls(&own.cert, &own.key);
    let receiver = Receiver::start(|_| Do::Take);
    let at = Addresses::of(6);
    let record = |domain: &str, digest: &[u8]| {
        world.tlsa(&format!("_{}._tcp.mx.{domain}", at.port()), 3, 1, 1, digest);
    };
    let case = |number: usize, what, options: &str, put_off| {
        let domain = domain_at(&world, at[number].ip());
        Case { what, domain, options: options.to_owned(), claim: String::new(), put_off }
    };
    let cases = [
        case(0, "its key", &tls, None),
        case(1, "another key", &tls, Some("invalid peer certificate")),
        case(2, "no TLS", "-o smtpd_tls_security_level=none", Some("does not offer STARTTLS")),
        case(3, "forged", &tls, Some("DNSSEC does not prove")),
        case(4, "nothing", &tls, None),
        case(5, "another key, in DNS that is not signed", &tls, None),
    ];
    for (case, digest) in cases.iter().zip([&own, &other, &own, &own]) {
        record(&case.domain, &digest.digest);
    }
    world.forge(&format!("_{}._tcp.mx.{}", at.port(), cases[3].domain));
    record(&cases[5].domain, &other.digest);
    world.unsigned(&cases[5].domain);
    let postfix = start(&at, &cases, &receiver);
    let more = format!(
        "{}dane = true\nmta_sts = false\n[dns]\nservers = [\"{}\"]\ntrust_anchors = {anchors:?}\n",
        directly(at.port()),
        world.address()
    );
    let sender = of_platform(folder.path(), &world, &more);
    expect(&sender, &cases, &postfix, &receiver);
}
