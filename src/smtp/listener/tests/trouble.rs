//! A disk that fails or fills up: 4xx, never 250, and mail again by itself when it is well.

use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::spool::log::faults::{Call, SimulatedDisk};

fn server_on(disk: &SimulatedDisk) -> (Server, Clock) {
    let clock = Clock::fixed(Timestamp::from_micros(1_700_000_000_000_000));
    (Server::start_on(disk.files(), clock.clone(), Door::Smtp, Limits::default()), clock)
}

/// Tries MAIL until it is taken, a minute of the clock apart.
async fn mail_is_taken_again(client: &mut Client, clock: &Clock) {
    loop {
        clock.advance(Duration::from_secs(60));
        client.says("MAIL FROM:<>\r\n").await;
        let reply = client.reply().await;
        if reply.starts_with("250") {
            return;
        }
        assert!(reply.starts_with("45"), "{reply}");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_flushed_is_never_answered_250() {
    let disk = SimulatedDisk::new(1);
    let (server, clock) = server_on(&disk);
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    disk.break_calls(Call::Sync);
    client.says("x\r\n.\r\n").await;
    client.hears("451 4.3.0").await;
    client.says("MAIL FROM:<>\r\n").await;
    client.hears("451 4.3.0").await;
    assert!(server.stored().await.is_empty());
    disk.heal();
    mail_is_taken_again(&mut client, &clock).await;
    client.says("RCPT TO:<known@in.test>\r\nDATA\r\n").await;
    client.hears("250 2.1.5").await;
    client.hears("354").await;
    client.says("y\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    assert_eq!(server.body(&server.stored().await[0]).await, b"y\r\n");
}

#[tokio::test]
async fn a_message_whose_first_part_was_lost_is_read_to_its_end_and_refused_for_now() {
    let disk = SimulatedDisk::new(1);
    let (server, _clock) = server_on(&disk);
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    disk.break_calls(Call::Write);
    client.says(&"NOOP in a large message\r\n".repeat(100_000)).await;
    client.says(".\r\nNOOP\r\n").await;
    client.hears("451 4.3.0").await;
    client.hears("250 2.0.0").await;
}
