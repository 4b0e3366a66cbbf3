//! The milter door by hand: old versions, oversized packets, and what is not of the protocol.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{missed, watching};
use crate::harness::{Gateway, Postfix, fresh_id, text, wait_for};
use crate::peers::stored_with;

/// A mail server's side of a connection.
struct Server(TcpStream);

impl Server {
    fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.milter()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    fn say(&mut self, letter: u8, rest: &[u8]) {
        let length = u32::try_from(rest.len() + 1).unwrap().to_be_bytes();
        self.0.write_all(&[&length[..], &[letter], rest].concat()).unwrap();
    }

    /// The next answer; `None` when the connection was closed.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.0.read_exact(&mut answer).ok()?;
        Some(answer)
    }

    /// Says it, and is told to go on.
    fn goes_on(&mut self, letter: u8, rest: &[u8]) {
        self.say(letter, rest);
        assert_eq!(self.answer().as_deref(), Some(b"c".as_slice()), "{}", char::from(letter));
    }
}

#[test]
fn a_mail_server_of_version_2_is_answered_at_each_step() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let ours = watching(folder.path(), sockets.path(), "");
    let mut server = Server::connect(&ours);
    server.say(b'O', b"\0\0\0\x02\0\0\0\x3f\0\0\0\x7f");
    assert_eq!(server.answer().unwrap(), b"O\0\0\0\x02\0\0\0\0\0\0\0\0");
    server.goes_on(b'C', b"client.example\x004\0\x19192.0.2.7\0");
    server.goes_on(b'H', b"client.example\0");
    let id = fresh_id("two");
    for given_up in [true, false] {
        server.say(b'D', b"Mi\x004ABC\0");
        server.goes_on(b'M', b"<ann@lakeside.example>\0");
        server.goes_on(b'R', b"<bob@lakeside.example>\0");
        server.goes_on(b'L', format!("Message-ID\0<{id}>\0").as_bytes());
        server.goes_on(b'N', b"");
        server.goes_on(b'B', if given_up { b"given up\r\n" } else { b"kept\r\n" });
        if given_up {
            server.say(b'A', b"");
        } else {
            server.goes_on(b'E', b"");
        }
    }
    assert_eq!(stored_with(&ours, &id), format!("Message-ID: <{id}>\r\n\r\nkept\r\n").as_bytes());
    assert_eq!(ours.messages().len(), 1, "what is given up is not stored");
}

#[test]
fn an_oversized_packet_is_skipped_and_the_session_goes_on() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let ours = watching(folder.path(), sockets.path(), "");
    let mut server = Server::connect(&ours);
    server.say(b'O', b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff");
    assert_eq!(server.answer().unwrap()[..9], *b"O\0\0\0\x06\0\0\0\0");
    server.say(b'M', b"<ann@lakeside.example>\0");
    server.say(b'R', b"<bob@lakeside.example>\0");
    server.say(b'L', &[b"X\0".as_slice(), &vec![b'x'; 3 << 20], b"\0"].concat());
    server.say(b'N', b"");
    server.goes_on(b'E', b"");
    assert!(missed(&ours, "too_large"), "{}", ours.log());
    let id = fresh_id("after");
    server.say(b'M', b"<ann@lakeside.example>\0");
    server.say(b'R', b"<bob@lakeside.example>\0");
    server.say(b'L', format!("Message-ID\0 <{id}>\0").as_bytes());
    server.say(b'N', b"");
    server.goes_on(b'E', b"");
    stored_with(&ours, &id);
    // Whoever speaks another protocol is cut off, and what is in flight counts as missed.
    server.say(b'M', b"<ann@lakeside.example>\0");
    server.say(b'G', b"ET / HTTP/1.1");
    assert_eq!(server.answer(), None);
    wait_for("the count", || missed(&ours, "malformed").then_some(()));
}

#[test]
fn a_stranger_is_cut_off_and_a_route_that_does_not_name_the_door_gets_nothing() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let ours = watching(folder.path(), sockets.path(), "peers = [\"192.0.2.0/24\"]\n");
    assert_eq!(Server::connect(&ours).answer(), None);
    let (tenant, app) = (ours.field("/tenant"), ours.field("/app"));
    let route =
        ours.json(&["route", "add", "--tenant", tenant, "--app", app, "--kind", "bcc", "--peer", "192.0.2.0/24"]);
    std::fs::write(folder.path().join("route"), text(&route, "/address")).unwrap();
    let ours = ours.reconfigured(&[("peers = [\"192.0.2.0/24\"]", "peers = [\"127.0.0.0/8\"]")]);
    let mut server = Server::connect(&ours);
    server.say(b'O', b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff");
    server.answer().unwrap();
    server.say(b'M', b"<ann@lakeside.example>\0");
    server.say(b'R', b"<bob@lakeside.example>\0");
    server.goes_on(b'E', b"body\r\n");
    assert!(missed(&ours, "route"), "{}", ours.log());
    assert_eq!(ours.messages().len(), 0);
}
