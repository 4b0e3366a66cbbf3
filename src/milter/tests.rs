//! What a mail server cannot bring about by what it says: mail that is kept too late, and a fault of our own.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::intake::{
    Acceptor, AuthenticationAnswer, Credentials, ForwardName, Intake, RecipientAnswer, RecipientQuery,
};
use crate::mail::address::Mailbox;
use crate::mail::envelope::Origin;
use crate::seal::body::BodyKeys;
use crate::spool::Spool;
use crate::spool::log::{Files, Log, Reserve, SpoolOptions};

/// Looks one route up for ever, and panics at the other.
struct Faulty;

impl Intake for Faulty {
    async fn recipient(&self, query: &RecipientQuery<'_>) -> RecipientAnswer {
        match query.name {
            ForwardName::Mailbox(mailbox) if mailbox.local() == "forever" => pending().await,
            _ => panic!("a look-up that panics"),
        }
    }

    async fn wants_client_certificates(&self) -> bool {
        false
    }

    async fn authenticate(&self, _credentials: &Credentials, _origin: &Origin) -> AuthenticationAnswer {
        AuthenticationAnswer::Refused
    }
}

/// Shows one message for `route`; the answer at its end, none where the connection was closed, and the metrics.
fn shown_for(route: &str) -> (Option<u8>, String) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Of this thread alone, on which every task of the runtime runs.
    let answer = metrics::with_local_recorder(&recorder, || runtime.block_on(show(route)));
    (answer, handle.render())
}

async fn show(route: &str) -> Option<u8> {
    let dir = tempfile::tempdir().unwrap();
    let spool = SpoolOptions {
        dir: dir.path().join("spool"),
        segment_bytes: 1 << 20,
        reserve: Reserve::OFF,
        ..SpoolOptions::default()
    };
    let (log, _) = Log::open(spool, Files::Real, Arc::new(BodyKeys::new(&[], &[7; 32])), Clock::System).unwrap();
    let limits = Limits {
        message: 1_000,
        patience: Duration::from_millis(50),
        connections: 10,
        silence: Duration::from_secs(30),
        shutdown_grace: Duration::from_secs(30),
    };
    let peers = vec!["127.0.0.0/8".parse().unwrap()];
    let options = ListenerOptions { limits, peers, route: Mailbox::parse(route).unwrap() };
    let acceptor = Acceptor::new(Spool::Log(log), Clock::System);
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(anywhere, options, Arc::new(Faulty), acceptor).unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let session = async {
        let mut stream = TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
        // Version 6, and no answer wanted before the end of a message.
        for packet in [
            b"O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff".as_slice(),
            b"M<ann@lakeside.example>\0",
            b"R<bob@lakeside.example>\0",
            b"N",
            b"EHello\r\n",
        ] {
            stream.write_u32(u32::try_from(packet.len()).unwrap()).await.unwrap();
            stream.write_all(packet).await.unwrap();
        }
        let mut read = Vec::new();
        stream.read_exact(&mut [0; 17]).await.unwrap();
        let _ = (&mut stream).take(5).read_to_end(&mut read).await; // Reset, where it panicked.
        drop(stream);
        shutdown.cancel();
        read.last().copied()
    };
    let (answer, ()) = tokio::join!(session, listener.run(shutdown.clone()));
    answer
}

fn missed(metrics: &str) -> Vec<&str> {
    metrics.lines().filter(|line| line.starts_with("connex_milter_missed_total{")).collect()
}

#[test]
fn mail_that_is_not_kept_in_time_goes_on_and_is_counted_as_late() {
    let (answer, metrics) = shown_for("forever@in.test");
    assert_eq!(answer, Some(b'c'), "it goes on");
    assert_eq!(missed(&metrics), ["connex_milter_missed_total{reason=\"late\"} 1"]);
}

#[test]
fn a_session_that_panics_is_cut_off_and_counted() {
    let (answer, metrics) = shown_for("panic@in.test");
    assert_eq!(answer, None);
    assert_eq!(missed(&metrics), ["connex_milter_missed_total{reason=\"panic\"} 1"]);
}
