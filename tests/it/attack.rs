//! Peers that hold connections beside a client that sends mail: each is cut off, and no message of the client is lost.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{
    Engine, Gateway, READING, Wire, fresh_id, on_both_engines, proof_of_funds, sha256, text, wait_within,
};

on_both_engines!(attackers_are_cut_off_and_a_client_beside_them_loses_nothing);

const FROM: &str = "ann@lakeside.example";
/// Short, so that the test ends; long enough for a client on a busy machine.
const LIMITS: &str = "[smtp.limits]\ncommand_timeout = \"4s\"\nreply_timeout = \"2s\"\ndata_timeout = \"2s\"\n\
                      idle_timeout = \"6s\"\ntransaction_timeout = \"6s\"\ntarpit = \"10ms\"\n\
                      connects_per_minute = 0\nconnections_per_address = 1000\nconnections_per_network = 1000\n";
/// Both times of a session without a message, and what a busy machine adds.
const DEADLINE: Duration = Duration::from_secs(60);
/// Attackers of each kind.
const EACH: usize = 8;

/// What an attacker sends first, what it sends on and on, and whether it reads.
struct Kind {
    name: &'static str,
    first: String,
    on_and_on: &'static str,
    reads: bool,
}

fn kinds(to: &str) -> [Kind; 7] {
    let kind = |name, first: &str, on_and_on, reads| Kind { name, first: first.to_owned(), on_and_on, reads };
    let message = format!("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<{to}>\r\n");
    [
        kind("silent", "", "", true),
        kind("EHLO by letters", "EHLO ", "a", true),
        kind("DATA by letters", &format!("{message}DATA\r\n"), "a", true),
        kind("BDAT by letters", &format!("{message}BDAT 1000000\r\n"), "a", true),
        kind("never reads", "", "NOOP\r\n", false),
        kind("talks", "", "NOOP\r\nRSET\r\nMAIL FROM:<a@b.example>\r\nRSET\r\n", true),
        kind("guesses", "", "AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=\r\n", true),
    ]
}

/// Attacks until the gateway ends the connection, which it must do before the test gives up.
fn attack(server: SocketAddr, kind: &Kind) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server).unwrap();
    // Who talks first is sent away at once; these know better.
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(stream.read(&mut [0; 128]).unwrap() > 0, "{} is not greeted", kind.name);
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let piece = if kind.reads { kind.on_and_on.to_owned() } else { kind.on_and_on.repeat(5_000) };
    let mut result = stream.write_all(kind.first.as_bytes());
    let mut scrap = [0; 4_096];
    while result.is_ok() {
        assert!(begun.elapsed() < DEADLINE, "{} is never cut off", kind.name);
        result = stream.write_all(piece.as_bytes());
        if kind.reads {
            match stream.read(&mut scrap) {
                Ok(0) => return,
                Err(error)
                    if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    return;
                }
                _ => {}
            }
        }
    }
    assert!(begun.elapsed() < DEADLINE, "{} is never cut off", kind.name);
}

fn attackers_are_cut_off_and_a_client_beside_them_loses_nothing(engine: Engine) {
    let gateway = Gateway::serving(engine, LIMITS);
    let (server, to) = (gateway.smtp(), gateway.field("/mailbox"));
    let mut is_over = false;
    let attackers: Vec<JoinHandle<()>> = kinds(to)
        .into_iter()
        .map(Arc::new)
        .flat_map(|kind| std::iter::repeat_n(kind, EACH))
        .map(|kind| std::thread::spawn(move || attack(server, &kind)))
        .collect();
    // As long as one of them is there, and at least so often.
    let mut sent = BTreeSet::new();
    while !is_over || sent.len() < 20 {
        let mail = proof_of_funds(&fresh_id("beside"), to);
        let (code, reply) = Wire::hello(server).unwrap().mail(FROM, to, &mail).unwrap();
        assert_eq!(code, 250, "{reply}");
        sent.insert(sha256(&mail));
        // Steadily, and not as much as goes: what is taken is read again below.
        std::thread::sleep(Duration::from_millis(20));
        is_over = attackers.iter().all(JoinHandle::is_finished);
    }
    attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
    let kept = wait_within(READING, "all that was taken", || {
        let messages = gateway.messages();
        (messages.len() >= sent.len()).then_some(messages)
    });
    let kept: BTreeSet<String> = kept.iter().map(|message| text(message, "/sha256").to_owned()).collect();
    assert_eq!(kept, sent, "what was taken is kept, and nothing of the attackers");
}

#[test]
fn a_thousand_connections_at_once_are_all_greeted() {
    let gateway = Gateway::serving(
        Engine::Sqlite,
        "[smtp.limits]\nconnects_per_minute = 0\nconnections_per_address = 2000\nconnections_per_network = 2000\n",
    );
    let server = gateway.smtp();
    let begin = Arc::new(std::sync::Barrier::new(1_000));
    let connect = |_| {
        let begin = Arc::clone(&begin);
        let client = move || {
            begin.wait();
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).unwrap();
            assert_eq!(&greeting, b"220 ");
            stream
        };
        std::thread::Builder::new().stack_size(256 << 10).spawn(client).unwrap()
    };
    let clients: Vec<JoinHandle<TcpStream>> = (0..1_000).map(connect).collect();
    let _open: Vec<TcpStream> = clients.into_iter().map(|client| client.join().unwrap()).collect();
}
