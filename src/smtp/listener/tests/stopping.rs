//! Stopping: idle peers are told, messages in flight end, and nobody waits for ever.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_message_in_flight_ends_while_idle_peers_are_sent_away() {
    let mut server = Server::start(Door::Smtp, Limits::default());
    let mut idle = server.greeted().await;
    let mut busy = server.greeted().await;
    let mut chunked = server.greeted().await;
    open_data(&mut busy).await;
    busy.says("first half, ").await;
    chunked.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<known@in.test>\r\nBDAT 3\r\nabc").await;
    for reply in ["250 2.1.0", "250 2.1.5", "250 2.0.0 Chunk"] {
        chunked.hears(reply).await;
    }
    server.stop();
    idle.hears("421 4.3.2").await;
    idle.hears_the_end().await;
    assert!(Client::try_connect(server.address).await.is_err());
    busy.says("second half\r\n.\r\n").await;
    busy.hears("250 2.0.0 Ok: msg_").await;
    busy.hears("421 4.3.2").await;
    chunked.says("BDAT 2 LAST\r\nde").await;
    chunked.hears("250 2.0.0 Ok: msg_").await;
    chunked.hears("421 4.3.2").await;
    drop((idle, busy, chunked));
    server.ended().await;
    let stored = server.stored().await;
    assert_eq!(server.body(&stored[0]).await, b"first half, second half\r\n");
    assert_eq!(server.body(&stored[1]).await, b"abcde");
}

#[tokio::test]
async fn a_message_that_does_not_end_in_the_grace_is_given_up() {
    let grace = Duration::from_millis(60);
    let mut server = Server::start(Door::Smtp, Limits { shutdown_grace: grace, ..Limits::default() });
    let mut busy = server.greeted().await;
    open_data(&mut busy).await;
    server.stop();
    server.ended().await;
    busy.hears_the_end().await;
    assert!(server.stored().await.is_empty());
}
