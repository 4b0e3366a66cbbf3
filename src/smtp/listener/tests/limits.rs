//! Bounds: connections, time, and what one broken session may do to others.

use std::time::Duration;

use super::*;
use crate::smtp::session;

const SOON: Duration = Duration::from_millis(60);

#[tokio::test]
async fn a_connection_too_many_is_sent_away_and_the_others_go_on() {
    let server = Server::start(Door::Smtp, Limits { connections_per_address: 2, ..Limits::default() });
    let mut first = server.greeted().await;
    let second = server.greeted().await;
    let mut third = Client::connect(server.address).await;
    third.hears("421 4.7.0 Too many connections").await;
    third.hears_the_end().await;
    first.says("NOOP\r\n").await;
    first.hears("250").await;
    drop(second);
    // The place is free as soon as the server has seen the end of the second.
    while !Client::connect(server.address).await.reply().await.starts_with("220") {}
}

#[tokio::test]
async fn connections_are_bounded_in_all() {
    let server = Server::start(Door::Smtp, Limits { connections: 1, ..Limits::default() });
    let _first = server.greeted().await;
    Client::connect(server.address).await.hears("421 4.7.0 Too many connections").await;
}

#[tokio::test]
async fn a_silent_peer_is_cut_off() {
    let server = Server::start(Door::Smtp, Limits { command_timeout: SOON, ..Limits::default() });
    let mut client = server.client().await;
    client.hears("421 4.4.2").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_command_that_never_ends_is_cut_off_however_fast_it_comes() {
    let server = Server::start(Door::Smtp, Limits { command_timeout: SOON, ..Limits::default() });
    let mut client = server.client().await;
    let reply = client.floods(&[b'x'; 4_096]).await;
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
}

#[tokio::test]
async fn a_peer_that_stops_in_a_message_is_cut_off_and_nothing_is_kept() {
    let server = Server::start(Door::Smtp, Limits { data_timeout: SOON, ..Limits::default() });
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    client.says("half a mess").await;
    client.hears("421 4.4.2").await;
    client.hears_the_end().await;
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_message_that_never_ends_is_cut_off_however_fast_it_comes() {
    let limits = Limits { transaction_timeout: SOON, message: 10_000, ..Limits::default() };
    let server = Server::start(Door::Smtp, limits);
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    let reply = client.floods(&[b'x'; 4_096]).await;
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let server = Server::start(Door::Smtps, Limits { handshake_timeout: SOON, ..Limits::default() });
    Client::connect(server.address).await.hears_the_end().await;
}

#[tokio::test]
async fn a_look_up_that_does_not_end_is_trouble_of_our_own() {
    let server = Server::start(Door::Smtp, Limits { recipient_timeout: SOON, ..Limits::default() });
    let mut client = server.greeted().await;
    client.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<forever@in.test>\r\nRCPT TO:<known@in.test>\r\n").await;
    for reply in ["250 2.1.0", "451 4.3.0", "250 2.1.5"] {
        client.hears(reply).await;
    }
}

#[tokio::test]
async fn a_panic_ends_one_session_only() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut other = server.greeted().await;
    let mut client = server.greeted().await;
    client.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<panic@in.test>\r\n").await;
    client.reply().await;
    client.hears_the_end().await;
    open_data(&mut other).await;
    other.says("x\r\n.\r\n").await;
    other.hears("250 2.0.0 Ok: msg_").await;
}

#[tokio::test]
async fn ten_thousand_pipelined_commands_are_answered_in_order() {
    let server = Server::start(Door::Smtp, Limits { idle_commands: u32::MAX, ..Limits::default() });
    let mut client = server.greeted().await;
    client.says(&format!("{}VRFY x\r\n", "NOOP\r\n".repeat(10_000))).await;
    for _ in 0..10_000 {
        client.hears("250 2.0.0").await;
    }
    client.hears("252").await;
}

#[tokio::test]
async fn an_idle_session_is_small() {
    let server = Server::start(Door::Smtp, Limits::default());
    let socket = tokio::net::TcpSocket::new_v4().unwrap().connect(server.address).await.unwrap();
    let shared = Shared {
        settings: Arc::new(Settings::new(&Domain::parse("mx.test").unwrap(), Limits::default())),
        door: Door::Smtp,
        tls: None,
        intake: Arc::new(TestIntake),
        acceptor: Acceptor::new(Spool::Log(server.log.clone()), Clock::System),
        pool: Pool::new(&Limits::default()),
        shutdown: CancellationToken::new(),
    };
    let session = session::run(Arc::new(shared), Wire::plain(socket), Peer::default());
    assert!(size_of_val(&session) <= 2_048, "{} bytes", size_of_val(&session));
}

#[tokio::test]
async fn who_talks_before_the_greeting_is_refused_and_who_waits_is_not() {
    let limits = Limits { greeting_delay: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start(Door::Smtp, limits);
    let mut hasty = Client::connect(server.address).await;
    hasty.says("EHLO client.test\r\n").await;
    hasty.hears("554 5.5.1").await;
    hasty.hears_the_end().await;
    server.greeted().await;
}

#[tokio::test]
async fn a_refused_authentication_waits_and_other_sessions_do_not() {
    let limits = Limits { auth_failure_delay: Duration::from_secs(3_600), ..Limits::default() };
    let server = Server::start(Door::Smtps, limits);
    let guesser = Client::connect(server.address).await;
    let mut guesser = guesser.secures(&server.certificate, &rustls::version::TLS13).await;
    guesser.hears("220").await;
    guesser.says("HELO client.test\r\nAUTH PLAIN AGtleQB3cm9uZw==\r\n").await;
    guesser.hears("250").await;
    let other = Client::connect(server.address).await;
    let mut other = other.secures(&server.certificate, &rustls::version::TLS13).await;
    other.hears("220").await;
    other.says("HELO client.test\r\nAUTH PLAIN AGtleQByaWdodA==\r\n").await;
    other.hears("250").await;
    other.hears("235 2.7.0").await;
    server.stop();
    guesser.hears("535 5.7.8").await;
}
