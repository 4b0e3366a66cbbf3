use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::net::UdpSocket;

/// What the test server does with a question for a record type.
#[derive(Clone, Copy)]
enum Reply {
    Address(IpAddr),
    Code(u8),
    Silence,
}

/// Answers `questions` questions on loopback, A with `a`, AAAA with `aaaa`, and returns the names it was asked.
async fn serve(socket: UdpSocket, a: Reply, aaaa: Reply, questions: usize) -> Vec<String> {
    let mut asked = Vec::new();
    let mut packet = [0u8; 512];
    while asked.len() < questions {
        let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
        let end = packet[12..length].iter().position(|byte| *byte == 0).unwrap() + 13;
        let question = &packet[12..end + 4];
        asked.push(String::from_utf8_lossy(&question[..question.len() - 5]).to_lowercase());
        let reply = if packet[end + 1] == 28 { aaaa } else { a };
        let (code, count, data) = match reply {
            Reply::Silence => continue,
            Reply::Code(code) => (code, 0, Vec::new()),
            Reply::Address(IpAddr::V4(address)) => (0, 1, address.octets().to_vec()),
            Reply::Address(IpAddr::V6(address)) => (0, 1, address.octets().to_vec()),
        };
        let mut answer = vec![packet[0], packet[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
        answer.extend_from_slice(question);
        if count == 1 {
            answer.extend_from_slice(&[0xc0, 12, 0, packet[end + 1], 0, 1, 0, 0, 0, 60, 0]);
            answer.push(u8::try_from(data.len()).unwrap());
            answer.extend_from_slice(&data);
        }
        socket.send_to(&answer, peer).await.unwrap();
    }
    asked
}

async fn server() -> (UdpSocket, Resolver) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = ResolverSettings {
        servers: vec![socket.local_addr().unwrap()],
        timeout: Duration::from_millis(300),
        attempts: 1,
    };
    (socket, Resolver::new(&settings).unwrap())
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));

#[tokio::test]
async fn the_configured_server_is_asked_for_both_families() {
    let (socket, resolver) = server().await;
    let serving = serve(socket, Reply::Address(V4), Reply::Address(V6), 2);
    let (found, asked) = tokio::join!(resolver.addresses("hooks.example"), serving);
    assert_eq!(found.unwrap(), [V4, V6]);
    // Asked as it stands: no search list was tried.
    assert!(asked.iter().all(|name| name == "\u{5}hooks\u{7}example"), "{asked:?}");
}

#[tokio::test]
async fn a_missing_name_is_final_and_a_failing_server_is_not() {
    let (socket, resolver) = server().await;
    let serving = serve(socket, Reply::Code(3), Reply::Code(3), 2);
    let (found, _) = tokio::join!(resolver.addresses("missing.example"), serving);
    let error = found.unwrap_err();
    assert!(matches!(error, DnsError::NotFound { .. }), "{error:?}");
    assert!(!error.is_temporary());

    let (socket, resolver) = server().await;
    let serving = serve(socket, Reply::Code(2), Reply::Code(2), usize::MAX);
    let error = tokio::select! {
        found = resolver.addresses("broken.example") => found.unwrap_err(),
        _ = serving => unreachable!(),
    };
    assert!(error.is_temporary(), "{error:?}");
}

#[tokio::test]
async fn a_silent_server_ends_the_look_up_in_time() {
    let (socket, resolver) = server().await;
    let begun = tokio::time::Instant::now();
    let serving = serve(socket, Reply::Silence, Reply::Silence, usize::MAX);
    let error = tokio::select! {
        found = resolver.addresses("silent.example") => found.unwrap_err(),
        _ = serving => unreachable!(),
    };
    assert!(matches!(error, DnsError::Timeout { .. }), "{error:?}");
    assert!(error.is_temporary());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn scripted_answers_come_in_order_and_the_last_one_stays() {
    let resolver = Resolver::scripted();
    resolver.script("Rebind.example", Ok(vec![V4]));
    resolver.script("rebind.example.", Ok(vec![V6]));
    assert_eq!(resolver.addresses("rebind.example").await, Ok(vec![V4]));
    assert_eq!(resolver.addresses("REBIND.example.").await, Ok(vec![V6]));
    assert_eq!(resolver.addresses("rebind.example").await, Ok(vec![V6]));
    assert!(matches!(resolver.addresses("other.example").await, Err(DnsError::NotFound { .. })));
}

#[tokio::test]
async fn what_is_no_name_is_refused_without_asking() {
    let resolver = Resolver::scripted();
    for text in ["", &"a".repeat(64), &"a.".repeat(200), "a..b"] {
        let error = resolver.addresses(text).await.unwrap_err();
        assert!(matches!(error, DnsError::InvalidName { .. }), "{text:?}: {error:?}");
    }
}
