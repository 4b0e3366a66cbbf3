//! Peers that hold a session and hand nothing over, and what one tenant's flood leaves the others.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;

const SOON: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(20);
/// So long that a test which waits for it fails.
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_message_that_drips_is_cut_off_although_it_is_never_silent() {
    let limits = Limits { data_timeout: SOON, data_rate: 1_000_000, transaction_timeout: LONG, ..Limits::default() };
    let server = Server::start(Door::Smtp, limits);
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    while client.sends(b"x").await.is_ok() {
        sleep(SOON / 20).await;
    }
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_peer_that_only_talks_is_cut_off_however_much_it_says() {
    let server = Server::start(Door::Smtp, Limits { idle_timeout: SOON, idle_commands: u32::MAX, ..Limits::default() });
    let mut client = server.greeted().await;
    loop {
        client.says("NOOP\r\n").await;
        let reply = client.reply().await;
        if reply.starts_with("421 4.4.2") {
            return client.hears_the_end().await;
        }
        assert!(reply.starts_with("250"), "{reply}");
    }
}

#[tokio::test]
async fn one_transaction_after_another_without_a_message_gains_no_time() {
    let limits = Limits { transaction_timeout: SOON, idle_commands: u32::MAX, ..Limits::default() };
    let server = Server::start(Door::Smtp, limits);
    let mut client = server.greeted().await;
    loop {
        client.says("MAIL FROM:<a@b.test>\r\nRSET\r\n").await;
        let reply = client.reply().await;
        if reply.starts_with("421 4.4.2") {
            return client.hears_the_end().await;
        }
        assert!(reply.starts_with("250"), "{reply}");
    }
}

#[tokio::test]
async fn a_flood_of_commands_without_a_message_is_cut_off_and_a_message_earns_new_ones() {
    let server = Server::start(Door::Smtp, Limits { idle_commands: 10, errors: 3, tarpit: SOON, ..Limits::default() });
    let mut client = server.greeted().await;
    for _ in 0..2 {
        client.says(&"RSET\r\n".repeat(9)).await;
        for _ in 0..9 {
            client.hears("250 2.0.0").await;
        }
        open_data(&mut client).await;
        client.says("x\r\n.\r\n").await;
        client.hears("250 2.0.0 Ok: msg_").await;
    }
    client.says(&"NOOP\r\n".repeat(100_000)).await;
    for _ in 0..12 {
        client.hears("250 2.0.0").await;
    }
    client.hears("421").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_peer_that_reads_no_replies_is_cut_off() {
    let limits = Limits {
        reply_timeout: SOON,
        idle_timeout: LONG,
        command_timeout: LONG,
        idle_commands: u32::MAX,
        ..Limits::default()
    };
    let server = Server::start(Door::Smtp, limits);
    let mut client = server.greeted().await;
    // Until both sides' buffers are full, and then until the server closes.
    while client.sends(&b"NOOP\r\n".repeat(1_000)).await.is_ok() {}
}

#[tokio::test]
async fn the_flood_of_one_tenant_leaves_the_others_their_mail() {
    let server = Server::start(Door::Smtp, Limits { transactions_per_tenant: 1, ..Limits::default() });
    let (mut one, mut two) = (server.greeted().await, server.greeted().await);
    open_data(&mut one).await;
    two.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<known@in.test>\r\nRCPT TO:<stranger@in.test>\r\nRSET\r\n").await;
    for reply in ["250 2.1.0", "451 4.7.0", "250 2.1.5", "250"] {
        two.hears(reply).await;
    }
    one.says("x\r\n.\r\n").await;
    one.hears("250 2.0.0 Ok: msg_").await;
    open_data(&mut two).await;
    two.says("y\r\n.\r\n").await;
    two.hears("250 2.0.0 Ok: msg_").await;
}

#[tokio::test]
async fn a_peer_that_goes_away_leaves_its_place_to_the_next() {
    let server = Server::start(Door::Smtp, Limits { transactions_per_tenant: 1, ..Limits::default() });
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    drop(client);
    // The place is free as soon as the server has seen the end.
    let mut next = server.greeted().await;
    let taken = async {
        loop {
            next.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<known@in.test>\r\nRSET\r\n").await;
            next.hears("250 2.1.0").await;
            let reply = next.reply().await;
            next.hears("250").await;
            if reply.starts_with("250 2.1.5") {
                return;
            }
        }
    };
    timeout(PATIENCE, taken).await.expect("the place of a peer that went away is never free");
}

#[tokio::test]
async fn a_peer_that_is_refused_again_and_again_waits_and_nobody_else_does() {
    let limits = Limits { tarpit: SOON, tarpit_after: 2, ..Limits::default() };
    let server = Server::start(Door::Smtp, limits);
    let mut bad = server.greeted().await;
    let begun = Instant::now();
    for _ in 0..2 {
        bad.says("WHAT\r\n").await;
        bad.hears("500").await;
    }
    bad.says("WHAT\r\n").await;
    let mut good = server.greeted().await;
    open_data(&mut good).await;
    good.says("x\r\n.\r\n").await;
    good.hears("250 2.0.0 Ok: msg_").await;
    bad.hears("500").await;
    assert!(begun.elapsed() >= SOON, "held back by {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_thousand_connections_at_once_are_all_greeted() {
    let limits = Limits { connections_per_address: 2_000, connections_per_network: 2_000, ..Limits::default() };
    let server = Server::start(Door::Smtp, limits);
    let mut connecting = JoinSet::new();
    for _ in 0..1_000 {
        let address = server.address;
        connecting.spawn(async move {
            let mut client = Client::connect(address).await;
            client.hears("220 mx.test ESMTP").await;
            client
        });
    }
    assert_eq!(connecting.join_all().await.len(), 1_000);
}

#[tokio::test]
async fn bodies_take_no_more_memory_than_they_may_and_new_mail_is_put_off() {
    let server = Server::start(Door::Smtp, Limits { body_memory: 100_000, ..Limits::default() });
    let (mut one, mut two) = (server.greeted().await, server.greeted().await);
    open_data(&mut one).await;
    one.says(&"a line\r\n".repeat(12_500)).await;
    // The octets are counted as soon as the server has read them.
    let put_off = async {
        loop {
            two.says("MAIL FROM:<a@b.test>\r\nRSET\r\n").await;
            let reply = two.reply().await;
            two.hears("250").await;
            if reply.starts_with("452 4.3.1") {
                return;
            }
        }
    };
    timeout(PATIENCE, put_off).await.expect("mail is taken although the memory is spent");
    one.says(&format!("{}.\r\n", "a line\r\n".repeat(1_000))).await;
    one.hears("451 4.3.0").await;
    open_data(&mut two).await;
    two.says("x\r\n.\r\n").await;
    two.hears("250 2.0.0 Ok: msg_").await;
}
