//! Real sockets on loopback. Where something must not happen before a time is over, another connection's end tells that it is.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::timeout;

use super::*;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3_600);
/// For what must happen; never waited for to its end.
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: ServeLimits =
    ServeLimits { connections: 100, connections_per_address: 100, header_timeout: LONG, idle_timeout: LONG };

const HALF: &str = "GET /peer HTTP/1.1\r\nHost: x";
const PEER: &str = "GET /peer HTTP/1.1\r\nHost: x\r\n\r\n";

struct Gate {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinSet<()>,
    /// Lets `/wait` answer.
    go: Arc<Notify>,
    /// Told when `/wait` was called.
    called: mpsc::UnboundedReceiver<()>,
    /// What `/stream` says.
    words: mpsc::UnboundedSender<&'static str>,
    /// Closed when the reply of `/endless` is given up.
    endless: Option<mpsc::Receiver<()>>,
}

impl Gate {
    async fn start(limits: ServeLimits) -> Self {
        let go = Arc::new(Notify::new());
        let (call, called) = mpsc::unbounded_channel();
        let (words, said) = mpsc::unbounded_channel::<&'static str>();
        let (alive, endless) = mpsc::channel::<()>(1);
        let said = Arc::new(Mutex::new(said));
        let alive = Arc::new(Mutex::new(Some(alive)));
        let wait = {
            let go = Arc::clone(&go);
            move || async move {
                call.send(()).unwrap();
                go.notified().await;
                "waited"
            }
        };
        let stream = move || async move {
            let words = stream::unfold(said, |said| async move {
                let word = said.lock().await.recv().await?;
                Some((Ok::<_, Infallible>(word), said))
            });
            Body::from_stream(words)
        };
        let endless_reply = move || async move {
            let held = alive.lock().await.take();
            Body::from_stream(stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, Infallible>(vec![b'x'; 1 << 16])
            }))
        };
        let router = Router::new()
            .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
            .route("/wait", get(wait))
            .route("/stream", get(stream))
            .route("/endless", get(endless_reply));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(Server::new("test", router, limits).run(listener, stop.clone()));
        Self { address, stop, running, go, called, words, endless: Some(endless) }
    }

    async fn client(&self) -> TcpStream {
        self.client_from(Ipv4Addr::LOCALHOST).await
    }

    async fn client_from(&self, address: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn says(&self, text: &str) -> TcpStream {
        let mut client = self.client().await;
        client.write_all(text.as_bytes()).await.unwrap();
        client
    }

    async fn ended(&mut self) {
        timeout(PATIENCE, self.running.join_next()).await.expect("the server goes on").unwrap().unwrap();
    }
}

/// Reads until `end` comes; what came.
async fn hears(client: &mut TcpStream, end: &str) -> String {
    let mut heard = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&heard).ends_with(end) {
            let read = client.read_buf(&mut heard).await.unwrap();
            assert!(read > 0, "closed after {:?}, without {end:?}", String::from_utf8_lossy(&heard));
        }
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{end:?} does not come"));
    String::from_utf8(heard).unwrap()
}

/// Waits until the server closes; what came before.
async fn closed(client: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    // A server that closes with bytes unread resets: that is closed as well.
    let _ = timeout(PATIENCE, client.read_to_end(&mut heard)).await.expect("the connection stays open");
    String::from_utf8(heard).unwrap()
}

async fn is_answered(client: &mut TcpStream) {
    client.write_all(PEER.as_bytes()).await.unwrap();
    hears(client, &client.local_addr().unwrap().to_string()).await;
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_one_after_the_other_and_see_their_peer() {
    let gate = Gate::start(LIMITS).await;
    let mut client = gate.client().await;
    is_answered(&mut client).await;
    is_answered(&mut client).await;
    client.write_all(PEER.repeat(3).as_bytes()).await.unwrap();
    let peer = client.local_addr().unwrap().to_string();
    for _ in 0..3 {
        timeout(PATIENCE, async {
            let mut byte = [0];
            let mut heard = Vec::new();
            while !heard.ends_with(peer.as_bytes()) {
                client.read_exact(&mut byte).await.unwrap();
                heard.extend(byte);
            }
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn half_a_header_is_closed_when_its_time_is_over() {
    let gate = Gate::start(ServeLimits { header_timeout: SHORT, ..LIMITS }).await;
    let mut idle = gate.client().await;
    let mut half = gate.says(HALF).await;
    assert_eq!(closed(&mut half).await, "");
    // Also behind a request that was answered.
    is_answered(&mut idle).await;
    idle.write_all(HALF.as_bytes()).await.unwrap();
    assert_eq!(closed(&mut idle).await, "");
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_has_no_more_time_than_another() {
    let gate = Gate::start(ServeLimits { header_timeout: SHORT, ..LIMITS }).await;
    let (mut reader, mut writer) = gate.says(HALF).await.into_split();
    let dripping = async {
        let mut pause = tokio::time::interval(SHORT / 10);
        while writer.write_all(b"x").await.is_ok() {
            pause.tick().await;
        }
    };
    let mut rest = Vec::new();
    let ends = async {
        tokio::select! {
            () = dripping => {}
            _ = reader.read_to_end(&mut rest) => {}
        }
    };
    timeout(PATIENCE, ends).await.expect("the connection stays open");
}

#[tokio::test]
async fn an_idle_connection_is_closed_whether_it_asked_before_or_not() {
    let gate = Gate::start(ServeLimits { idle_timeout: SHORT, ..LIMITS }).await;
    let mut silent = gate.client().await;
    assert_eq!(closed(&mut silent).await, "");
    let mut client = gate.client().await;
    is_answered(&mut client).await;
    assert_eq!(closed(&mut client).await, "");
}

#[tokio::test]
async fn a_reply_that_takes_its_time_and_a_quiet_stream_are_not_idle() {
    let mut gate = Gate::start(ServeLimits { header_timeout: SHORT, idle_timeout: SHORT, ..LIMITS }).await;
    let mut slow = gate.says("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    gate.called.recv().await.unwrap();
    let mut events = gate.says("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
    gate.words.send("first").unwrap();
    hears(&mut events, "first\r\n").await;
    for word in ["second", "third"] {
        // A connection that came later has been idle for too long: so would those two have been.
        closed(&mut gate.client().await).await;
        gate.words.send(word).unwrap();
        hears(&mut events, &format!("{word}\r\n")).await;
    }
    gate.go.notify_one();
    hears(&mut slow, "waited").await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_reply_is_cut_off() {
    let mut gate = Gate::start(ServeLimits { idle_timeout: SHORT, ..LIMITS }).await;
    let client = gate.says("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut endless = gate.endless.take().unwrap();
    assert_eq!(timeout(PATIENCE, endless.recv()).await.expect("the reply goes on"), None);
    drop(client);
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_while_others_are_served() {
    let gate = Gate::start(ServeLimits { connections: 2, ..LIMITS }).await;
    let [mut first, mut second] = [gate.client().await, gate.client().await];
    is_answered(&mut first).await;
    is_answered(&mut second).await;
    assert_eq!(closed(&mut gate.client().await).await, "");
    is_answered(&mut first).await;
    drop(second);
    timeout(PATIENCE, async {
        let mut heard = String::new();
        while !heard.starts_with("HTTP/1.1 200") {
            let mut third = gate.client().await;
            let _ = third.write_all(PEER.replace("Host: x", "Host: x\r\nConnection: close").as_bytes()).await;
            heard = closed(&mut third).await;
        }
    })
    .await
    .expect("a place that is free again is given out");
    is_answered(&mut first).await;
}

#[tokio::test]
async fn one_address_does_not_take_all_the_connections() {
    let gate = Gate::start(ServeLimits { connections_per_address: 1, ..LIMITS }).await;
    let mut first = gate.client().await;
    is_answered(&mut first).await;
    assert_eq!(closed(&mut gate.client().await).await, "");
    is_answered(&mut gate.client_from(Ipv4Addr::new(127, 0, 0, 2)).await).await;
}

#[tokio::test]
async fn at_the_end_what_was_begun_is_answered_and_the_idle_are_closed() {
    let mut gate = Gate::start(LIMITS).await;
    let [mut silent, mut kept, mut half] = [gate.client().await, gate.client().await, gate.says(HALF).await];
    is_answered(&mut kept).await;
    let mut begun = gate.says("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    gate.called.recv().await.unwrap();
    gate.stop.cancel();
    for client in [&mut silent, &mut kept] {
        assert_eq!(closed(client).await, "");
    }
    half.write_all(b"\r\n\r\n").await.unwrap();
    assert!(closed(&mut half).await.starts_with("HTTP/1.1 200"));
    assert!(gate.running.try_join_next().is_none(), "ended with a call unanswered");
    gate.go.notify_one();
    let reply = closed(&mut begun).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("waited"), "{reply}");
    gate.ended().await;
    let refused = TcpSocket::new_v4().unwrap().connect(gate.address).await;
    assert!(refused.is_err(), "it still listens");
}
