//! Behind a load balancer.

use super::*;

async fn balancer(server: &Server) -> Client {
    Client::connect_from("127.0.0.9", server.address).await
}

#[tokio::test]
async fn the_client_behind_a_listed_balancer_is_the_peer() {
    let server = Server::start(Door::Smtp, Limits::default());
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x30\x39\0\x19";
    let headers: [(&[u8], &str, bool); 4] = [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 25\r\n", "192.0.2.7", true),
        (v2, "192.0.2.7", true),
        (b"PROXY UNKNOWN\r\n", "127.0.0.9", false),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.9", false),
    ];
    for (header, _, _) in headers {
        let mut client = balancer(&server).await;
        // The first octet alone: how the header is cut changes nothing.
        client.sends(&header[..1]).await.unwrap();
        client.sends(&header[1..]).await.unwrap();
        client.hears("220 mx.test ESMTP").await;
        client.says("HELO client.test\r\n").await;
        client.hears("250 mx.test").await;
        open_data(&mut client).await;
        client.says("x\r\n.\r\n").await;
        client.hears("250 2.0.0 Ok: msg_").await;
    }
    for (stored, (_, address, is_proxied)) in server.stored().await.iter().zip(headers) {
        let origin = &stored.manifest.origin;
        assert_eq!(origin.peer, Some(address.parse().unwrap()));
        assert_eq!(origin.proxy, is_proxied.then(|| "127.0.0.9".parse().unwrap()));
    }
}

#[tokio::test]
async fn octets_behind_the_header_are_of_the_mail_protocol() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = balancer(&server).await;
    client.says("PROXY TCP4 192.0.2.7 198.51.100.1 12345 25\r\nNOOP\r\n").await;
    client.hears("220 mx.test ESMTP").await;
    client.hears("250 2.0.0").await;
}

#[tokio::test]
async fn tls_from_the_first_byte_begins_behind_the_header() {
    let server = Server::start(Door::Smtps, Limits::default());
    let mut client = balancer(&server).await;
    client.says("PROXY TCP4 192.0.2.7 198.51.100.1 12345 465\r\n").await;
    let mut client = client.secures(&server.certificate, &rustls::version::TLS13).await;
    client.hears("220 mx.test ESMTP").await;
}

#[tokio::test]
async fn a_listed_balancer_without_a_header_hears_nothing() {
    let server = Server::start(Door::Smtp, Limits::default());
    for bytes in [&b"EHLO client.test\r\n"[..], b"PROXY TCP4 192.0.2.7\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\0\0\0"] {
        let mut client = balancer(&server).await;
        client.sends(bytes).await.unwrap();
        client.hears_the_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = balancer(&server).await;
    client.says("PROXY TCP4 192.0.2.7 ").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn who_is_not_listed_cannot_speak_for_others() {
    let server = Server::start(Door::Smtp, Limits::default());
    let mut client = server.client().await;
    client.says("PROXY TCP4 192.0.2.7 198.51.100.1 12345 25\r\n").await;
    client.hears("500 5.5.1").await;
}

#[tokio::test]
async fn connections_count_for_the_client_and_not_for_the_balancer() {
    let server = Server::start(Door::Smtp, Limits { connections_per_address: 1, ..Limits::default() });
    let mut open = Vec::new();
    for client in ["192.0.2.7", "192.0.2.8"] {
        let mut connection = balancer(&server).await;
        connection.says(&format!("PROXY TCP4 {client} 198.51.100.1 12345 25\r\n")).await;
        connection.hears("220 mx.test ESMTP").await;
        open.push(connection);
    }
    let mut one_too_many = balancer(&server).await;
    one_too_many.says("PROXY TCP4 192.0.2.7 198.51.100.1 12345 25\r\n").await;
    one_too_many.hears("421 4.7.0").await;
}
