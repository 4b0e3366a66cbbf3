use super::*;
use crate::dns::Resolver;
use crate::ids::{DeliveryId, EventId};
use crate::webhook::endpoint::AllowEntry;
use crate::webhook::request::{CustomHeaders, DeliveryAttempt};
use crate::webhook::sign::{SigningSecrets, TOLERANCE, WebhookSecret, verify};
use bytes::Bytes;
use rustls::pki_types::PrivateKeyDer;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A server on loopback that counts connections; it ends with the test.
struct Server {
    port: u16,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream));
            }
        });
        Self { port, accepted, _tasks: tasks }
    }

    /// Answers every request with `answer` and keeps the connection.
    async fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
        .await
    }

    /// Answers the first request with `begin` and then neither goes on nor closes.
    async fn hanging_after(begin: &'static str) -> Self {
        Self::start(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.port)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Head and body of one request; `None` when the connection ended.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut part = [0u8; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&part[..length]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = bytes[end..].to_vec();
    while body.len() < length {
        let mut part = [0u8; 4096];
        let read = stream.read(&mut part).await.unwrap();
        body.extend_from_slice(&part[..read]);
    }
    Some((head, body))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

struct Bench {
    client: WebhookClient,
    allow: AllowList,
    secret: WebhookSecret,
}

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn settings() -> ClientSettings {
    ClientSettings { total_timeout: Duration::from_secs(10), ..ClientSettings::default() }
}

fn bench(allow: &[&str], settings: &ClientSettings, resolver: &Resolver) -> Bench {
    let allow: AllowList = allow.iter().map(|entry| entry.parse::<AllowEntry>().unwrap()).collect();
    let client = WebhookClient::new(settings, resolver, &allow, Clock::fixed(NOW)).unwrap();
    Bench { client, allow, secret: WebhookSecret::generate() }
}

/// May dial 127.0.0.1, and waits as long as usual.
fn loopback() -> Bench {
    bench(&["127.0.0.1"], &settings(), &Resolver::scripted())
}

/// As above, with little patience.
fn impatient() -> Bench {
    let total_timeout = Duration::from_millis(200);
    bench(&["127.0.0.1"], &ClientSettings { total_timeout, ..settings() }, &Resolver::scripted())
}

impl Bench {
    fn request(&self, url: &str) -> SignedRequest {
        let attempt = DeliveryAttempt {
            event: EventId::from_bits(7),
            event_type: "message.classified".to_owned(),
            delivery: DeliveryId::from_bits(8),
            attempt: 3,
        };
        let custom = CustomHeaders::parse([("authorization", "Bearer cxk_live_theirs"), ("x-team", "blue")]).unwrap();
        let url = PublicUrl::parse(url, &self.allow).unwrap();
        let secrets = SigningSecrets::new(self.secret.clone());
        SignedRequest::new(url, &attempt, Bytes::from_static(br#"{"a":1}"#), &secrets, &custom, NOW).unwrap()
    }

    async fn attempt(&self, url: &str) -> AttemptReport {
        self.client.attempt(&self.request(url)).await
    }
}

#[tokio::test]
async fn a_delivery_carries_the_headers_of_the_contract_and_verifies() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send(read_request(&mut stream).await.unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let bench = loopback();
    let report = bench.attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (Some(204), None));
    assert_eq!(report.resolved_ip, Some("127.0.0.1".parse().unwrap()));

    let (head, body) = requests.recv().await.unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, br#"{"a":1}"#);
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("connex-webhooks/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "evt_00000000000000000000000007"),
        ("webhook-timestamp", "1800000000"),
        ("connex-delivery", "dlv_00000000000000000000000008"),
        ("connex-attempt", "3"),
        ("connex-event-type", "message.classified"),
        ("authorization", "Bearer cxk_live_theirs"),
        ("x-team", "blue"),
        ("host", &format!("127.0.0.1:{}", server.port)),
    ] {
        assert_eq!(header(&head, name).as_deref(), Some(value), "{head}");
    }
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, header(&head, name).unwrap().parse().unwrap());
    }
    assert_eq!(verify(&headers, &body, std::slice::from_ref(&bench.secret), NOW, TOLERANCE), Ok(()));
}

#[tokio::test]
async fn a_failure_keeps_status_excerpt_and_retry_after() {
    let echo = "Bearer cxk_live_theirs was refused";
    let server = Server::answering(format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 120\r\ncontent-length: {}\r\n\r\n{echo}",
        echo.len()
    ))
    .await;
    let report = loopback().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (Some(503), Some(FailureReason::HttpStatus)));
    assert_eq!(report.retry_after, Some(Duration::from_secs(120)));
    assert_eq!(report.response_excerpt, "Bearer cxk_[cut out] was refused");
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let read = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers, NOW).map(|wait| wait.as_secs())
    };
    assert_eq!(read("120"), Some(120));
    assert_eq!(read("Fri, 15 Jan 2027 08:02:00 GMT"), Some(120));
    assert_eq!(read("Fri, 15 Jan 2027 07:00:00 GMT"), Some(0));
    assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
    for text in ["", "-5", "soon", "1.5"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let bench = loopback();
    for _ in 0..5 {
        assert_eq!(bench.attempt(&server.url("127.0.0.1")).await.reason, None);
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_slow_endpoint_times_out() {
    let server = Server::hanging_after("").await;
    let report = impatient().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (None, Some(FailureReason::Timeout)));
    assert!(report.duration >= Duration::from_millis(200) && report.duration < Duration::from_secs(5), "{report:?}");
}

#[tokio::test]
async fn a_body_that_never_ends_times_out_although_the_status_was_good() {
    let server = Server::hanging_after("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
    let report = impatient().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (Some(200), Some(FailureReason::Timeout)));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_success() {
    let server = Server::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await.unwrap();
    })
    .await;
    let report = loopback().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (Some(200), Some(FailureReason::BodyRead)));
    assert_eq!(report.response_excerpt, "abc");
}

#[tokio::test]
async fn a_huge_body_is_read_to_the_bound_and_the_connection_dropped() {
    let (sender, mut written) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
            let mut sent = 0usize;
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {
                sent += 8192;
            }
            sender.send(sent).unwrap();
        }
    })
    .await;
    let bench = loopback();
    let report = bench.attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (Some(200), None));
    assert_eq!(report.response_excerpt.len(), 1024);
    // The server could only fill the buffers of the system before its connection was gone.
    let sent = written.recv().await.unwrap();
    assert!(sent < 100_000_000, "{sent}");
    assert_eq!(bench.attempt(&server.url("127.0.0.1")).await.reason, None);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inner = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let server = Server::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        inner.url("127.0.0.1")
    ))
    .await;
    let report = loopback().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (Some(307), Some(FailureReason::HttpStatus)));
    assert_eq!(inner.accepted(), 0);
}

#[tokio::test]
async fn a_connection_that_is_refused_or_reset_is_a_failure_to_connect() {
    let server = Server::start(|stream| async move { drop(stream) }).await;
    let report = loopback().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (None, Some(FailureReason::Connect)), "{report:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let report = loopback().attempt(&format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(report.reason, Some(FailureReason::Connect), "{report:?}");
    assert!(report.detail.contains("refused"), "{report:?}");
}

#[tokio::test]
async fn what_is_no_http_is_a_failure_to_connect() {
    let server = Server::answering("220 mail.example ESMTP\r\n").await;
    let report = loopback().attempt(&server.url("127.0.0.1")).await;
    assert_eq!((report.status, report.reason), (None, Some(FailureReason::Connect)), "{report:?}");
}

/// A URL as for a host of its own, with its name's answers.
fn named(server: &Server, answers: &[&[&str]]) -> (String, Resolver) {
    let resolver = Resolver::scripted();
    for answer in answers {
        resolver.script("hooks.example", Ok(answer.iter().map(|address| address.parse().unwrap()).collect()));
    }
    (format!("https://hooks.example:{}/hook", server.port), resolver)
}

#[tokio::test]
async fn one_private_address_in_the_answer_refuses_the_attempt() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for (answer, blocked) in [
        (&["127.0.0.1"][..], "127.0.0.1"),
        (&["93.184.215.14", "127.0.0.1"], "127.0.0.1"),
        (&["127.0.0.1", "93.184.215.14"], "127.0.0.1"),
        (&["2606:4700::1111", "::ffff:10.0.0.1"], "::ffff:10.0.0.1"),
        (&["64:ff9b::7f00:1"], "64:ff9b::7f00:1"),
        (&["169.254.169.254"], "169.254.169.254"),
    ] {
        let (url, resolver) = named(&server, &[answer]);
        let report = bench(&["10.0.0.0/8"], &settings(), &resolver).attempt(&url).await;
        assert_eq!(report.reason, Some(FailureReason::BlockedAddress), "{answer:?}: {report:?}");
        assert_eq!(report.resolved_ip, Some(blocked.parse().unwrap()), "{answer:?}");
        assert!(report.detail.contains("which is not a public address"), "{report:?}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_when_it_is_dialled() {
    // http and a range: the only way to reach a plain server under a name that is not listed is TLS, so the first
    // connection fails in TLS, which shows that it was dialled.
    let server = Server::start(|stream| async move { drop(stream) }).await;
    let (url, resolver) = named(&server, &[&["127.0.0.1"], &["127.0.0.2"]]);
    let bench = bench(&["127.0.0.1/32"], &settings(), &resolver);
    let first = bench.attempt(&url).await;
    assert_ne!(first.reason, Some(FailureReason::BlockedAddress), "{first:?}");
    assert_eq!(server.accepted(), 1);
    let second = bench.attempt(&url).await;
    assert_eq!(second.reason, Some(FailureReason::BlockedAddress), "{second:?}");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_named_host_may_lead_to_a_private_address_on_its_port_alone() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let other = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (url, resolver) = named(&server, &[&["127.0.0.1"]]);
    let bench = bench(&[&format!("hooks.example:{}", server.port)], &settings(), &resolver);
    assert_eq!(bench.attempt(&url.replace("https", "http")).await.reason, None);
    let (url, _) = named(&other, &[]);
    assert_eq!(bench.attempt(&url).await.reason, Some(FailureReason::BlockedAddress));
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure_of_dns() {
    let bench = bench(&[], &settings(), &Resolver::scripted());
    let report = bench.attempt("https://missing.example/").await;
    assert_eq!((report.reason, report.resolved_ip), (Some(FailureReason::Dns), None));
    assert!(report.detail.contains("`missing.example` has no address"), "{report:?}");
}

/// A TLS server for hooks.example, and its own authority.
async fn tls_server() -> (Server, CertificateDer<'static>) {
    let key = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], secret)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer_all(&mut stream).await;
            }
        }
    })
    .await;
    (server, certificate)
}

async fn answer_all(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    while read_request(stream).await.is_some() {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
    }
}

#[tokio::test]
async fn only_a_certificate_of_a_known_authority_for_this_host_is_believed() {
    let (server, root) = tls_server().await;
    let (url, resolver) = named(&server, &[&["127.0.0.1"]]);
    resolver.script("other.example", Ok(vec!["127.0.0.1".parse().unwrap()]));

    let report = bench(&["127.0.0.0/8"], &settings(), &resolver).attempt(&url).await;
    assert_eq!(report.reason, Some(FailureReason::Tls), "{report:?}");
    assert!(report.detail.contains("UnknownIssuer") || report.detail.contains("CaUsedAsEndEntity"), "{report:?}");

    let trusting = ClientSettings { extra_roots: vec![root], ..settings() };
    let trusting = bench(&["127.0.0.0/8"], &trusting, &resolver);
    let report = trusting.attempt(&url).await;
    assert_eq!((report.status, report.reason), (Some(200), None), "{report:?}");
    let report = trusting.attempt(&url.replace("hooks", "other")).await;
    assert_eq!(report.reason, Some(FailureReason::Tls), "{report:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_with_the_time_to_connect() {
    let server = Server::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let (url, resolver) = named(&server, &[&["127.0.0.1"]]);
    let hasty = ClientSettings { connect_timeout: Duration::from_millis(100), ..settings() };
    let report = bench(&["127.0.0.0/8"], &hasty, &resolver).attempt(&url).await;
    assert_eq!(report.reason, Some(FailureReason::Timeout), "{report:?}");
    assert!(report.duration < Duration::from_secs(5), "{report:?}");
}
