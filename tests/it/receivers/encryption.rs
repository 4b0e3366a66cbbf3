//! Encryption between mail servers is opportunistic: with any certificate where it works, and in clear where it does not.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{Addresses, Listening, SelfSigned, directly, domain_at, sent_to, told, tried};
use crate::harness::{Do, Engine, Postfix, Receiver, wait_for, zone};
use crate::sending::Sender;

/// What Postfix does with all mail: it hands it on to this receiver, which keeps it, and says how it got it.
pub(super) fn hands_on_to(receiver: &Receiver) -> String {
    let address = receiver.address();
    format!("default_transport = smtp:[{}]:{}\nsmtpd_tls_received_header = yes\n", address.ip(), address.port())
}

/// Options of one server of Postfix.
pub(super) fn with_tls(cert: &std::path::Path, key: &std::path::Path) -> String {
    format!(
        "-o smtpd_tls_security_level=may -o smtpd_tls_cert_file={} -o smtpd_tls_key_file={}",
        cert.display(),
        key.display()
    )
}

/// The message of this draft's domain as it is at the receiver behind Postfix: the line of Postfix that says how it came.
pub(super) fn received_line(receiver: &Receiver, domain: &str) -> String {
    let to = format!("ann@{domain}");
    let taken = wait_for(&format!("mail to {to} behind Postfix"), || {
        receiver.taken().into_iter().find(|taken| taken.recipients.contains(&to))
    });
    let text = String::from_utf8_lossy(&taken.bytes).into_owned();
    let line = text.split("\r\n").skip_while(|line| !line.starts_with("Received: from gateway.example")).take(4);
    line.collect::<Vec<_>>().join(" ")
}

#[test]
fn postfix_gets_mail_encrypted_under_any_certificate_and_in_clear_where_its_tls_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| Do::Take);
    let [own, other] = ["one.example", "other.example"].map(|name| SelfSigned::new(folder.path(), name));
    let good = with_tls(&own.cert, &own.key);
    let servers = [
        ("self-signed", good.clone()),
        // RFC 3207 §4.1: it offers TLS, and answers 454.
        ("key of another certificate", with_tls(&own.cert, &other.key)),
        // A handshake that comes to nothing.
        ("no version in common", format!("{good} -o smtpd_tls_protocols=TLSv1.1")),
        ("none offered", "-o smtpd_tls_security_level=none".to_owned()),
    ];
    let at = Addresses::of(servers.len());
    let started: Vec<(SocketAddr, &str)> =
        at.iter().zip(&servers).map(|(address, (_, options))| (*address, options.as_str())).collect();
    let postfix = Postfix::start_at(&started, &hands_on_to(&receiver));
    let sender = Sender::new(Engine::Sqlite, &format!("{}mta_sts = false\n", directly(at.port())));
    let domains: Vec<(&str, String)> =
        servers.iter().zip(at.iter()).map(|((what, _), address)| (*what, domain_at(zone(), address.ip()))).collect();
    for (what, shown) in sent_to(&sender, &domains) {
        assert_eq!(told(&shown)[..2], ["accepted", "sent"], "{what}: {shown}\n{}", postfix.log());
    }
    for (what, domain) in &domains {
        let line = received_line(&receiver, domain);
        assert_eq!(line.contains("(using TLSv1.3 with cipher"), *what == "self-signed", "{what}: {line}");
    }
    assert_eq!(receiver.taken().len(), servers.len(), "each once");
    assert!(postfix.log().contains("TLS library problem"), "{}", postfix.log());
}

/// A server that offers STARTTLS, answers it with these octets and hangs up; without it, it takes mail.
struct Breaking {
    taken: Arc<Mutex<Vec<String>>>,
    /// What was said on each connection.
    sessions: Arc<Mutex<Vec<Vec<String>>>>,
    _listening: Listening,
}

impl Breaking {
    fn start(address: SocketAddr, answer: &'static [u8]) -> Self {
        let (taken, sessions) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<Vec<String>>>>::default());
        let (taking, heard) = (Arc::clone(&taken), Arc::clone(&sessions));
        let listening = Listening::start(address, move |mut stream| {
            let number = {
                let mut all = heard.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            let mut lines = BufReader::new(stream.try_clone()?).lines();
            stream.write_all(b"220 breaking.example\r\n")?;
            let mut is_message = false;
            while let Some(Ok(line)) = lines.next() {
                if is_message {
                    is_message = line != ".";
                    if !is_message {
                        stream.write_all(b"250 2.0.0 taken\r\n")?;
                    }
                    continue;
                }
                let word = line.split([' ', ':']).next().unwrap_or_default().to_owned();
                heard.lock().unwrap()[number].push(word.clone());
                match word.as_str() {
                    "EHLO" => stream.write_all(b"250-breaking.example\r\n250-8BITMIME\r\n250 STARTTLS\r\n")?,
                    "STARTTLS" => return stream.write_all(answer),
                    "RCPT" => {
                        taking.lock().unwrap().extend(line.split(['<', '>']).nth(1).map(str::to_owned));
                        stream.write_all(b"250 ok\r\n")?;
                    }
                    "DATA" => {
                        is_message = true;
                        stream.write_all(b"354 go on\r\n")?;
                    }
                    "QUIT" => return stream.write_all(b"221 bye\r\n"),
                    _ => stream.write_all(b"250 ok\r\n")?,
                }
            }
            Ok(())
        });
        Self { taken, sessions, _listening: listening }
    }
}

#[test]
fn a_server_that_breaks_tls_in_the_middle_gets_mail_in_clear_on_another_connection() {
    let ways: [(&str, &[u8]); 5] = [
        ("closes without a word", b""),
        ("closes in place of the handshake", b"220 go ahead\r\n"),
        ("speaks no TLS", b"220 go ahead\r\nwhat was that?\r\n"),
        // RFC 3207 §5: what somebody put behind the answer in clear.
        ("goes on in clear", b"220 go ahead\r\n250-breaking.example\r\n250 8BITMIME\r\n"),
        ("has no time", b"421 4.3.2 busy\r\n"),
    ];
    let at = Addresses::of(ways.len());
    let servers: Vec<Breaking> =
        ways.iter().zip(at.iter()).map(|((_, answer), address)| Breaking::start(*address, answer)).collect();
    let sender = Sender::new(Engine::Sqlite, &format!("{}mta_sts = false\n", directly(at.port())));
    let domains: Vec<(&str, String)> =
        ways.iter().zip(at.iter()).map(|((what, _), address)| (*what, domain_at(zone(), address.ip()))).collect();
    for (((what, shown), (_, domain)), server) in sent_to(&sender, &domains).into_iter().zip(&domains).zip(&servers) {
        assert_eq!(told(&shown)[..2], ["accepted", "sent"], "{what}: {shown}");
        assert_eq!(*server.taken.lock().unwrap(), [format!("ann@{domain}")], "{what}: once");
        let sessions = server.sessions.lock().unwrap().clone();
        assert_eq!(sessions.len(), 2, "{what}: {sessions:?}");
        assert_eq!(sessions[0], ["EHLO", "STARTTLS"], "{what}");
        assert_eq!(sessions[1][..4], ["EHLO", "MAIL", "RCPT", "DATA"], "{what}");
    }
}

/// As a server of policies for Postfix greylists (RFC 6647): whom it does not know is to come again.
fn greylisting(address: SocketAddr) -> Listening {
    let known = Mutex::<HashSet<String>>::default();
    Listening::start(address, move |mut stream: TcpStream| {
        let mut triplet = Vec::new();
        for line in BufReader::new(stream.try_clone()?).lines() {
            let line = line?;
            let is_of_it = ["client_address=", "sender=", "recipient="].iter().any(|name| line.starts_with(name));
            if is_of_it {
                triplet.push(line);
            } else if line.is_empty() {
                let is_new = known.lock().unwrap().insert(std::mem::take(&mut triplet).join(" "));
                let action = if is_new { "450 4.7.1 Greylisted, come again" } else { "DUNNO" };
                stream.write_all(format!("action={action}\n\n").as_bytes())?;
            }
        }
        Ok(())
    })
}

#[test]
fn what_postfix_greylists_is_taken_the_second_time() {
    let receiver = Receiver::start(|_| Do::Take);
    let policies = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _greylist = greylisting(policies);
    let at = Addresses::of(1);
    let checks = format!("smtpd_recipient_restrictions = check_policy_service inet:{policies}\n");
    let postfix = Postfix::start_at(&[(at[0], "")], &(hands_on_to(&receiver) + &checks));
    let sender = Sender::new(Engine::Sqlite, &format!("{}mta_sts = false\n", directly(at.port())));
    let to = format!("ann@{}", domain_at(zone(), at[0].ip()));
    let draft = sender.release(&[&to]);
    let shown = tried(&sender, &draft, 1);
    assert_eq!(told(&shown)[..2], ["deferred", "sending"], "{shown}\n{}", postfix.log());
    assert!(told(&shown)[2].contains("450 4.7.1") && told(&shown)[2].contains("Greylisted"), "{shown}");
    assert_eq!(receiver.taken().len(), 0);
    sender.gateway.alter("UPDATE transmissions SET next_attempt_at = 1 WHERE state = 'deferred'");
    assert_eq!(told(&tried(&sender, &draft, 2))[..2], ["accepted", "sent"]);
    wait_for("the message behind Postfix", || (receiver.taken().len() == 1).then_some(()));
    assert_eq!(receiver.taken()[0].recipients, [to]);
}
