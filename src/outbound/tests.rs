//! What the tests of sending share: keys, signed messages, certificates, and a server that says what a script tells it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::keys::{Selector, SigningKey};
use super::route::{RouteSettings, Router};
use super::sign::{SignedMessage, sign};
use crate::clock::Timestamp;
use crate::dns::Resolver;
use crate::governance::fixture::released_by;
use crate::mail::address::Domain;

pub(super) const RSA_PEM: &str = include_str!("tests/rsa2048.pem");
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(super) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub(super) fn ed25519(domain_name: &str) -> SigningKey {
    SigningKey::generate(domain(domain_name), Selector::parse("e1").unwrap()).unwrap().0
}

pub(super) fn rsa(domain_name: &str) -> SigningKey {
    SigningKey::from_pem(domain(domain_name), Selector::parse("r1").unwrap(), RSA_PEM).unwrap()
}

/// A signed message of deals@customer.example.
pub(super) fn signed(recipients: &[&str], fields: &[(&str, &str)], body: &str) -> SignedMessage {
    signed_by(Some("deals@customer.example"), recipients, fields, body)
}

/// The same with a reverse-path of its own.
pub(super) fn signed_by(
    reverse_path: Option<&str>,
    recipients: &[&str],
    fields: &[(&str, &str)],
    body: &str,
) -> SignedMessage {
    let released = released_by(reverse_path, recipients, fields, body);
    sign(released, &[&ed25519("customer.example")], NOW).unwrap()
}

/// Finds the servers of a test on loopback, at `port`.
pub(super) fn router(resolver: &Resolver, port: u16) -> Router {
    Router::new(resolver.clone(), route_settings(port), None)
}

pub(super) fn route_settings(port: u16) -> RouteSettings {
    RouteSettings {
        own_names: vec![domain("mx.gateway.example")],
        own_addresses: vec!["127.0.0.99".parse().unwrap()],
        opened: ["127.0.0.0/8".parse().unwrap()].into_iter().collect(),
        port,
    }
}

pub(super) fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// A server's certificate for these names, and the authority that issued it.
pub(super) fn certificate(names: &[&str]) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], secret)
        .unwrap();
    (Arc::new(config), authority.der().clone())
}

/// A server's part of one connection: what it hears, in order, and what it says to each.
#[derive(Clone)]
pub(super) enum Turn {
    /// Says this without being asked.
    Says(&'static str),
    /// Says this again and again, until the client is gone.
    SaysForEver(&'static str),
    /// Reads a line that must be this, and says that.
    Hears(&'static str, &'static str),
    /// Reads a message up to its final dot; it must end with this. Says that.
    HearsMessage(&'static str, &'static str),
    /// Reads a message that must end with this, while the final dot does not come.
    HearsBody(&'static str),
    /// Reads what comes until the client closes; it must be this.
    HearsRest(&'static str),
    /// Does the server's side of the TLS handshake.
    Encrypts(Arc<ServerConfig>),
    /// Reads, and says nothing more.
    Silent,
    /// Closes the connection.
    Closes,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Plays one script for each connection, one after the other, on 127.0.0.1.
pub(super) struct Server {
    listener: TcpListener,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Gives what `work` gave. Behind the last script nobody is accepted any more.
    pub(super) async fn plays<T>(self, scripts: &[Vec<Turn>], work: impl Future<Output = T>) -> T {
        let listener = self.listener;
        let server = async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                play(stream, script).await;
            }
        };
        let both = async { tokio::join!(server, work).1 };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("the conversation hangs")
    }
}

impl Server {
    /// The same, with each connection served beside those before it.
    pub(super) async fn plays_together<T>(self, scripts: &[Vec<Turn>], work: impl Future<Output = T>) -> T {
        let listener = self.listener;
        let server = async move {
            let (mut playing, mut scripts) = (FuturesUnordered::new(), scripts.iter());
            loop {
                tokio::select! {
                    accepted = listener.accept(), if scripts.len() > 0 => {
                        playing.push(play(accepted.unwrap().0, scripts.next().unwrap()));
                    }
                    Some(()) = playing.next(), if !playing.is_empty() => {}
                    else => return,
                }
            }
        };
        let both = async { tokio::join!(server, work).1 };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("the conversation hangs")
    }
}

async fn play(stream: TcpStream, script: &[Turn]) {
    let mut stream: Box<dyn Stream> = Box::new(stream);
    let mut heard = Vec::new();
    for turn in script {
        match turn {
            Turn::Says(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Turn::SaysForEver(text) => {
                while stream.write_all(text.as_bytes()).await.is_ok() {}
                return;
            }
            Turn::Hears(line, reply) => {
                assert_eq!(next(&mut stream, &mut heard, "\r\n").await, *line);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            Turn::HearsMessage(end, reply) => {
                let message = next(&mut stream, &mut heard, "\r\n.\r\n").await;
                assert!(message.ends_with(end), "{message:?}");
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            Turn::HearsBody(end) => {
                let body = next(&mut stream, &mut heard, &format!("{end}\r\n")).await;
                assert!(body.contains("From: "), "{body:?}");
            }
            Turn::HearsRest(rest) => {
                assert_eq!(next(&mut stream, &mut heard, "\0").await, *rest);
                return;
            }
            Turn::Encrypts(config) => {
                assert!(heard.is_empty(), "said in clear behind STARTTLS");
                let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream);
                match accepting.await {
                    Ok(encrypted) => stream = Box::new(encrypted),
                    // The client does not believe the certificate.
                    Err(_) => return,
                }
            }
            Turn::Silent => {
                let _ = next(&mut stream, &mut heard, "\0").await;
                return;
            }
            Turn::Closes => return,
        }
    }
    // What the script does not know must not come.
    let rest = next(&mut stream, &mut heard, "\r\n").await;
    assert!(rest.is_empty() || rest == "QUIT", "{rest:?}");
}

/// What comes before `end`; what is left at the end of the connection.
async fn next(stream: &mut (impl AsyncRead + Unpin), heard: &mut Vec<u8>, end: &str) -> String {
    loop {
        let found = heard.windows(end.len()).position(|window| window == end.as_bytes());
        if let Some(at) = found {
            let rest = heard.split_off(at + end.len());
            heard.truncate(at);
            return String::from_utf8(std::mem::replace(heard, rest)).unwrap();
        }
        if stream.read_buf(heard).await.unwrap_or(0) == 0 {
            return String::from_utf8(std::mem::take(heard)).unwrap();
        }
    }
}
