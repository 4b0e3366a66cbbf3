//! Real sockets on loopback, a real spool in a scratch folder, real TLS.

mod attack;
mod client;
mod limits;
mod messages;
mod proxied;
mod stopping;
mod trouble;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::ids::KeyId;
use crate::intake::{AuthenticationAnswer, Credentials, ForwardName, RecipientAnswer, RecipientQuery};
use crate::mail::envelope::Origin;
use crate::seal::body::BodyKeys;
use crate::smtp::conversations::directory;
use crate::spool::Spool;
use crate::spool::log::{Files, Log, Position, Reserve, SpoolOptions, StoredMessage};
use crate::tls::Certificates;
use client::Client;

/// Knows the recipients of the conversations, one that takes for ever to look up, and one that breaks the look-up.
#[derive(Debug)]
struct TestIntake;

impl Intake for TestIntake {
    async fn recipient(&self, query: &RecipientQuery<'_>) -> RecipientAnswer {
        match query.name {
            ForwardName::Mailbox(mailbox) if mailbox.local() == "forever" => pending().await,
            ForwardName::Mailbox(mailbox) if mailbox.local() == "panic" => panic!("a look-up that panics"),
            name => directory(name),
        }
    }

    async fn wants_client_certificates(&self) -> bool {
        false
    }

    async fn authenticate(&self, credentials: &Credentials, _origin: &Origin) -> AuthenticationAnswer {
        match credentials.password.as_str() {
            "right" => AuthenticationAnswer::Known(KeyId::from_bits(7)),
            _ => AuthenticationAnswer::Refused,
        }
    }
}

/// Where connections begin with a header.
const BALANCER: &str = "127.0.0.9/32";

/// A running listener.
struct Server {
    _dir: TempDir,
    address: SocketAddr,
    log: Log,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    certificate: Vec<u8>,
}

impl Server {
    fn start(door: Door, limits: Limits) -> Self {
        Self::start_on(Files::Real, Clock::System, door, limits)
    }

    fn start_on(files: Files, clock: Clock, door: Door, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SpoolOptions {
            dir: dir.path().join("spool"),
            segment_bytes: 1 << 20,
            reserve: Reserve::OFF,
            ..SpoolOptions::default()
        };
        let (log, _) = Log::open(options, files, Arc::new(BodyKeys::new(&[], &[7; 32])), clock.clone()).unwrap();
        let pair = rcgen::generate_simple_self_signed(vec!["mx.test".to_owned()]).unwrap();
        let (chain, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let certificates = Certificates::single(chain.as_bytes(), key.as_bytes()).unwrap();
        let tls = ServerTls::for_mail(Arc::new(certificates)).unwrap();
        let hostname = Domain::parse("mx.test").unwrap();
        // The test speaks for a balancer where it comes from this address.
        let proxy_from = vec![BALANCER.parse().unwrap()];
        let pool = Pool::new(&limits);
        let options = ListenerOptions { door, hostname, limits, pool, tls: Some(Arc::new(tls)), proxy_from };
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener =
            Listener::bind(anywhere, options, Arc::new(TestIntake), Acceptor::new(Spool::Log(log.clone()), clock))
                .unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.run(shutdown.clone()));
        Self { _dir: dir, address, log, shutdown, tasks, certificate: pair.cert.der().to_vec() }
    }

    /// A client that has read the greeting.
    async fn client(&self) -> Client {
        let mut client = Client::connect(self.address).await;
        client.hears("220 mx.test ESMTP").await;
        client
    }

    /// A client that has said HELO.
    async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.says("HELO client.test\r\n").await;
        client.hears("250 mx.test").await;
        client
    }

    async fn stored(&self) -> Vec<StoredMessage> {
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || log.read_after(Position::START, 100, u64::MAX).unwrap()).await.unwrap()
    }

    async fn body(&self, message: &StoredMessage) -> Vec<u8> {
        let (log, body) = (self.log.clone(), message.body.clone());
        tokio::task::spawn_blocking(move || log.read_body(&body).unwrap()).await.unwrap()
    }

    /// Tells the program to stop, without waiting for it.
    fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the listener has ended.
    async fn ended(&mut self) {
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

/// The commands up to DATA, in one packet, and their replies.
async fn open_data(client: &mut Client) {
    client.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<known@in.test>\r\nDATA\r\n").await;
    for reply in ["250 2.1.0", "250 2.1.5", "354"] {
        client.hears(reply).await;
    }
}
