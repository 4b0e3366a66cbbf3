//! Messages from the socket to the spool, byte for byte, with and without TLS.

use super::*;
use crate::mail::envelope::TransferDefect;

#[tokio::test]
async fn a_message_is_in_the_spool_when_it_is_answered() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    client.says("..Subject: hi\r\n\r\nbody\r\n.\r\n").await;
    let reply = client.hears("250 2.0.0 Ok: msg_").await;
    let stored = server.stored().await;
    let manifest = &stored[0].manifest;
    assert_eq!(reply.trim_end(), format!("250 2.0.0 Ok: {}", manifest.id));
    assert_eq!(server.body(&stored[0]).await, b".Subject: hi\r\n\r\nbody\r\n");
    assert_eq!(manifest.origin.helo, "client.test");
    assert_eq!(manifest.origin.peer, Some("127.0.0.1".parse().unwrap()));
    assert_eq!((manifest.origin.door, &manifest.origin.tls), (Door::Smtp, &None));
    client.says("QUIT\r\n").await;
    client.hears("221 2.0.0").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn an_empty_message_is_kept() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    client.says(".\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    assert_eq!(server.body(&server.stored().await[0]).await, b"");
}

#[tokio::test]
async fn a_large_message_arrives_byte_for_byte_by_data_and_by_bdat() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.greeted().await;
    let plain: String = (0..60_000).map(|number| format!(".line {number} of a long message\r\n")).collect();
    let stuffed = plain.replace("\r\n.", "\r\n..");
    open_data(&mut client).await;
    client.says(&format!(".{stuffed}.\r\n")).await;
    client.hears("250 2.0.0 Ok: msg_").await;
    let binary: Vec<u8> =
        (0..2_500_000u32).map(|number| u8::try_from(number.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    client.says("MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<known@in.test>\r\n").await;
    let (head, tail) = binary.split_at(1_000_003);
    client.says("BDAT 1000003\r\n").await;
    client.sends(head).await.unwrap();
    client.says("BDAT 1499997 LAST\r\n").await;
    client.sends(tail).await.unwrap();
    for reply in ["250 2.1.0", "250 2.1.5", "250 2.0.0 Chunk", "250 2.0.0 Ok: msg_"] {
        client.hears(reply).await;
    }
    let stored = server.stored().await;
    assert_eq!(server.body(&stored[0]).await, plain.into_bytes());
    assert_eq!(server.body(&stored[1]).await, binary);
}

#[tokio::test]
async fn bare_line_breaks_are_kept_on_a_copy_route_with_their_defect() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.greeted().await;
    client.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<copy@in.test>\r\nDATA\r\n").await;
    for reply in ["250", "250", "354"] {
        client.hears(reply).await;
    }
    client.says("a\n.\nb\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    let stored = server.stored().await;
    assert_eq!(server.body(&stored[0]).await, b"a\n.\nb\r\n");
    assert_eq!(stored[0].manifest.defects, [TransferDefect::BareLf]);
}

#[tokio::test]
async fn a_copy_that_grows_over_its_limit_leaves_its_envelope_and_beginning_behind() {
    let server = Server::start(Door::Smtp, Limits { message: 300_000, ..Limits::default() });
    let mut client = server.greeted().await;
    let long = "0123456789abcde\r\n".repeat(30_000);
    for (to, text, kept) in [("narrow", &long[..170], 170), ("copy", long.as_str(), 256 * 1024)] {
        client.says(&format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{to}@in.test>\r\nDATA\r\n")).await;
        for reply in ["250", "250", "354"] {
            client.hears(reply).await;
        }
        client.says(&format!("{text}.\r\n")).await;
        client.hears("552 5.3.4").await;
        let stored = server.stored().await.pop().unwrap();
        assert_eq!(stored.manifest.defects, [TransferDefect::OverSize], "it is there when that is answered");
        assert_eq!(stored.manifest.envelope.forward_paths[0].mailbox.to_string(), format!("{to}@in.test"));
        assert_eq!(server.body(&stored).await, &text.as_bytes()[..kept], "{to}");
    }
    // What was remembered of one message is none of another's.
    client.says("MAIL FROM:<a@b.test>\r\nRCPT TO:<narrow@in.test>\r\nDATA\r\nx\r\n.\r\n").await;
    for reply in ["250", "250", "354", "250 2.0.0 Ok"] {
        client.hears(reply).await;
    }
    let stored = server.stored().await;
    assert_eq!((stored.len(), server.body(&stored[2]).await), (3, b"x\r\n".to_vec()));
}

#[tokio::test]
async fn starttls_secures_a_session_and_nothing_injected_before_it_runs() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = Server::start(Door::Smtp, Limits::default());
        let mut client = server.client().await;
        client.says("EHLO client.test\r\n").await;
        assert!(client.hears("250-mx.test").await.contains("250 STARTTLS"));
        client.says("STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@b.test>\r\n").await;
        client.hears("220 2.0.0").await;
        let mut client = client.secures(&server.certificate, version).await;
        client.says("MAIL FROM:<a@b.test>\r\n").await;
        client.hears("503 5.5.1 Send EHLO first").await;
        client.says("EHLO client.test\r\n").await;
        assert!(!client.hears("250-mx.test").await.contains("STARTTLS"));
        open_data(&mut client).await;
        client.says("x\r\n.\r\n").await;
        client.hears("250 2.0.0 Ok: msg_").await;
        let stored = server.stored().await;
        assert_eq!(stored[0].manifest.envelope.reverse_path.to_string(), "a@b.test");
        assert!(stored[0].manifest.origin.tls.as_deref().unwrap().starts_with(version.version.as_str().unwrap()));
    }
}

#[tokio::test]
async fn octets_of_a_chunk_in_the_clear_are_in_no_message_under_tls() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.greeted().await;
    client.says("MAIL FROM:<evil@b.test>\r\nRCPT TO:<known@in.test>\r\nBDAT 17\r\nSubject: evil\r\n\r\n").await;
    for reply in ["250 2.1.0", "250 2.1.5", "250 2.0.0 Chunk"] {
        client.hears(reply).await;
    }
    client.says("BDAT 0\r\nSTARTTLS\r\n").await;
    client.hears("250 2.0.0 Chunk").await;
    // Were the handshake allowed here, the message below must be clean all the same.
    let answer = client.reply().await;
    if !answer.starts_with("220") {
        client.says("RSET\r\nSTARTTLS\r\n").await;
        client.hears("250 2.0.0").await;
        client.hears("220 2.0.0").await;
    }
    let mut client = client.secures(&server.certificate, &rustls::version::TLS13).await;
    client.says("EHLO client.test\r\n").await;
    client.hears("250-mx.test").await;
    open_data(&mut client).await;
    client.says("Subject: hi\r\n\r\nbody\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    let stored = server.stored().await;
    assert_eq!(server.body(&stored[0]).await, b"Subject: hi\r\n\r\nbody\r\n");
    assert!(answer.starts_with("503 5.5.1"), "{answer}");
}

#[tokio::test]
async fn implicit_tls_speaks_nothing_in_the_clear() {
    let server = Server::start(Door::Smtps, Limits::default());
    let client = Client::connect(server.address).await;
    let mut client = client.secures(&server.certificate, &rustls::version::TLS13).await;
    client.hears("220 mx.test ESMTP").await;
    client.says("EHLO client.test\r\n").await;
    client.hears("250-mx.test").await;
    open_data(&mut client).await;
    client.says("x\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    assert_eq!(server.stored().await[0].manifest.origin.door, Door::Smtps);
    let mut plain = Client::connect(server.address).await;
    plain.says("EHLO client.test\r\n").await;
    assert!(!plain.reply().await.starts_with('2'));
}

#[tokio::test]
async fn a_message_that_is_broken_off_is_not_kept() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    client.says("half a mess").await;
    drop(client);
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    client.says("whole\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    let stored = server.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(server.body(&stored[0]).await, b"whole\r\n");
}

#[tokio::test]
async fn nothing_of_a_refused_message_is_in_the_next() {
    let server = Server::start(Door::Smtp, Limits { message: 100, ..Limits::default() });
    let mut client = server.greeted().await;
    open_data(&mut client).await;
    client.says("refused for its\nbare line feed\r\n.\r\n").await;
    client.hears("554 5.6.11").await;
    open_data(&mut client).await;
    client.says(&format!("refused for its size\r\n{}\r\n.\r\n", "x".repeat(100))).await;
    client.hears("552 5.3.4").await;
    for end in ["RSET\r\n", "EHLO client.test\r\n"] {
        client.says("MAIL FROM:<>\r\nRCPT TO:<known@in.test>\r\nBDAT 9\r\nforgotten").await;
        for reply in ["250 2.1.0", "250 2.1.5", "250 2.0.0 Chunk"] {
            client.hears(reply).await;
        }
        client.says(end).await;
        client.hears("250").await;
    }
    open_data(&mut client).await;
    client.says("kept\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: msg_").await;
    let stored = server.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(server.body(&stored[0]).await, b"kept\r\n");
}
