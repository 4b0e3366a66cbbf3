//! The client against a server that says what a script tells it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::tls::{Certificates, ClientCertificates, ServerTls};

/// A server's part of one connection: what it hears, in order, and what it says to each.
enum Turn {
    /// Says this without being asked.
    Says(&'static str),
    /// Reads a line that must be this, and says that.
    Hears(&'static str, &'static str),
    /// As `Hears`, and nothing more came with it.
    HearsAlone(&'static str, &'static str),
    /// Reads until the end of a message, which must be this, and says that.
    HearsMessage(&'static str, &'static str),
    /// Closes the connection.
    Closes,
}

use Turn::{Closes, Hears, HearsAlone, HearsMessage, Says};

const HELLO: &str = "EHLO [127.0.0.1]";
const OFFER: &str = "250-mx.example\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n";
const PIPELINING: &str = "250-mx.example\r\n250 PIPELINING\r\n";

async fn play(stream: &mut TcpStream, script: &[Turn]) {
    let mut heard = Vec::new();
    for turn in script {
        match turn {
            Says(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Hears(line, reply) => {
                assert_eq!(next(stream, &mut heard, "\r\n").await, *line);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            HearsAlone(line, reply) => {
                assert_eq!(next(stream, &mut heard, "\r\n").await, *line);
                assert_eq!(heard, b"");
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            HearsMessage(message, reply) => {
                assert_eq!(next(stream, &mut heard, "\r\n.\r\n").await, *message);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            Closes => return,
        }
    }
    // What the script does not know must not come.
    let rest = next(stream, &mut heard, "\r\n").await;
    assert!(rest.is_empty() || rest == "QUIT", "{rest:?}");
}

/// What comes before `end`; what is left at the end of the connection.
async fn next(stream: &mut TcpStream, heard: &mut Vec<u8>, end: &str) -> String {
    loop {
        let found = heard.windows(end.len()).position(|window| window == end.as_bytes());
        if let Some(at) = found {
            let rest = heard.split_off(at + end.len());
            heard.truncate(at);
            return String::from_utf8(std::mem::replace(heard, rest)).unwrap();
        }
        if stream.read_buf(heard).await.unwrap_or(0) == 0 {
            return String::from_utf8(std::mem::take(heard)).unwrap();
        }
    }
}

fn settings() -> Settings {
    let timeouts =
        Timeouts { connect: Duration::from_secs(20), reply: Duration::from_secs(20), message: Duration::from_secs(20) };
    Settings { timeouts, ..Settings::new(Security::Plain) }
}

/// Runs `work` against a server that plays `script`, and gives what `work` gave.
async fn against<T>(script: &[Turn], work: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        play(&mut stream, script).await;
    };
    let both = async { tokio::join!(server, work(address)).1 };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("the conversation hangs")
}

async fn deliver(address: SocketAddr, settings: &Settings, to: &[&str], message: &str) -> Result<Accepted, SmtpError> {
    let mut client = SmtpClient::connect(&address.into(), settings).await?;
    let to: Vec<_> = to.iter().map(|to| Mailbox::parse(to).unwrap()).collect();
    let from = ReversePath::Mailbox(Mailbox::parse("ann@a.example").unwrap());
    let data = MessageData::new(message.as_bytes());
    client.send(Transaction { reverse_path: &from, forward_paths: &to, data: &data }).await
}

async fn sends(script: &[Turn], to: &[&str], message: &str) -> Result<Accepted, SmtpError> {
    against(script, async |address| deliver(address, &settings(), to, message).await).await
}

#[tokio::test]
async fn a_message_is_handed_over_and_its_id_is_read() {
    let id: MessageId = Clock::fixed(Timestamp::from_micros(0)).mint();
    let script = [
        Says("220-mx.example\r\n220 ready\r\n"),
        Hears(HELLO, OFFER),
        Hears("MAIL FROM:<ann@a.example> SIZE=21", "250 Ok\r\n"),
        Hears("RCPT TO:<\"b o b\"@b.example>", "250-2.1.5 Ok\r\n250 2.1.5 really\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("Subject: x\r\n\r\n..dots", Box::leak(format!("250 2.0.0 Ok: {id}\r\n").into_boxed_str())),
    ];
    let accepted = sends(&script, &["\"b o b\"@b.example"], "Subject: x\n\n.dots").await.unwrap();
    assert_eq!((accepted.message_id(), accepted.refused), (Some(id), vec![]));
}

#[tokio::test]
async fn other_servers_give_no_id_of_ours() {
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, "500 what?\r\n"),
        Hears("HELO [127.0.0.1]", "250 hi\r\n"),
        Hears("MAIL FROM:<ann@a.example>", "250 Ok\r\n"),
        Hears("RCPT TO:<b@b.example>", "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("a", "250 Ok: queued as 4XyZ\r\n"),
    ];
    assert_eq!(sends(&script, &["b@b.example"], "a").await.unwrap().message_id(), None);
}

#[tokio::test]
async fn a_refused_recipient_does_not_keep_the_message_from_the_others() {
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, PIPELINING),
        Hears("MAIL FROM:<ann@a.example>", ""),
        Hears("RCPT TO:<b@b.example>", ""),
        Hears("RCPT TO:<c@b.example>", ""),
        // All answers at once: the commands must have come together.
        Hears("RCPT TO:<d@b.example>", "250 Ok\r\n250 Ok\r\n550-5.1.1 No\r\n550 5.1.1 such user\r\n250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("a", "250 Ok\r\n"),
    ];
    let accepted = sends(&script, &["b@b.example", "c@b.example", "d@b.example"], "a").await.unwrap();
    let refused: Vec<_> = accepted.refused.iter().map(|(mailbox, reply)| format!("{mailbox} {reply}")).collect();
    assert_eq!(refused, ["c@b.example 550 5.1.1 No / 5.1.1 such user"]);
}

#[tokio::test]
async fn after_a_refusal_the_session_takes_the_next_message() {
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, PIPELINING),
        // The sender is refused; its recipients were on their way already.
        Hears("MAIL FROM:<ann@a.example>", ""),
        Hears("RCPT TO:<b@b.example>", "550 5.7.1 not you\r\n503 5.5.1 MAIL first\r\n"),
        Hears("RSET", "250 Ok\r\n"),
        // Every recipient is refused.
        Hears("MAIL FROM:<ann@a.example>", ""),
        Hears("RCPT TO:<b@b.example>", "250 Ok\r\n450 4.2.1 later\r\n"),
        Hears("RSET", "250 Ok\r\n"),
        Hears("MAIL FROM:<ann@a.example>", ""),
        Hears("RCPT TO:<b@b.example>", "250 Ok\r\n250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("a", "250 Ok\r\n"),
        Hears("QUIT", "221 bye\r\n"),
    ];
    against(&script, async |address| {
        let mut client = SmtpClient::connect(&address.into(), &settings()).await.unwrap();
        let (from, to) =
            (ReversePath::Mailbox(Mailbox::parse("ann@a.example").unwrap()), [Mailbox::parse("b@b.example").unwrap()]);
        let data = MessageData::new(b"a");
        let transaction = Transaction { reverse_path: &from, forward_paths: &to, data: &data };
        let refused = client.send(transaction).await.unwrap_err();
        assert!(matches!(&refused, SmtpError::Refused { step: Step::Mail, reply } if reply.code() == 550), "{refused}");
        let refused = client.send(transaction).await.unwrap_err();
        assert!(matches!(&refused, SmtpError::NoRecipient { refused } if refused[0].1.code() == 450), "{refused}");
        assert!(refused.leaves_session() && !refused.is_unreachable());
        client.send(transaction).await.unwrap();
        client.quit().await;
    })
    .await;
}

#[tokio::test]
async fn one_by_one_each_command_waits_for_its_reply() {
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, PIPELINING),
        HearsAlone("MAIL FROM:<ann@a.example>", "250 Ok\r\n"),
        HearsAlone("RCPT TO:<b@b.example>", "250 Ok\r\n"),
        HearsAlone("RCPT TO:<c@b.example>", "250 Ok\r\n"),
        HearsAlone("DATA", "354 go\r\n"),
        HearsMessage("a", "250 Ok\r\n"),
    ];
    let settings = Settings { commands: Commands::OneByOne, ..settings() };
    let to = ["b@b.example", "c@b.example"];
    against(&script, async |address| deliver(address, &settings, &to, "a").await).await.unwrap();
}

#[tokio::test]
async fn a_cut_connection_is_unclear_only_behind_the_end_of_the_message() {
    let early: [&[Turn]; 3] = [
        &[Closes],
        &[Says("220 ready\r\n"), Hears(HELLO, PIPELINING), Hears("MAIL FROM:<ann@a.example>", "250 O"), Closes],
        &[
            Says("220 ready\r\n"),
            Hears(HELLO, OFFER),
            Hears("MAIL FROM:<ann@a.example> SIZE=3", "250 Ok\r\n"),
            Hears("RCPT TO:<b@b.example>", "250 Ok\r\n"),
            Hears("DATA", ""),
            Closes,
        ],
    ];
    for script in early {
        let error = sends(script, &["b@b.example"], "a").await.unwrap_err();
        assert!(error.is_unreachable() && !error.is_unclear(), "{error}");
    }
    let late = [
        Says("220 ready\r\n"),
        Hears(HELLO, OFFER),
        Hears("MAIL FROM:<ann@a.example> SIZE=3", "250 Ok\r\n"),
        Hears("RCPT TO:<b@b.example>", "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("a", ""),
        Closes,
    ];
    let error = sends(&late, &["b@b.example"], "a").await.unwrap_err();
    assert!(error.is_unreachable() && error.is_unclear(), "{error}");
    assert!(error.to_string().ends_with("the message may have been taken"), "{error}");
}

#[tokio::test]
async fn a_server_that_has_had_enough_is_heard_while_the_message_is_still_written() {
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, "250 hi\r\n"),
        Hears("MAIL FROM:<ann@a.example>", "250 Ok\r\n"),
        Hears("RCPT TO:<b@b.example>", "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n552 5.3.4 Too large\r\n"),
        Closes,
    ];
    let error = sends(&script, &["b@b.example"], &"a line\r\n".repeat(1_000_000)).await.unwrap_err();
    // A reset may throw the reply away before it is read; then the break is told.
    let is_heard = matches!(&error, SmtpError::Refused { step: Step::EndOfData, reply } if reply.code() == 552);
    assert!(is_heard || matches!(error, SmtpError::Broken { step: Step::Message, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_smtp_is_told_and_ends_it() {
    let long: &'static str = Box::leak("220-x\r\n".repeat(10_000).into_boxed_str());
    for script in [[Says("HTTP/1.1 400 Bad Request\r\n")], [Says(long)]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let [Says(text)] = &script else { panic!() };
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.read_u8().await;
        };
        let address = listener.local_addr().unwrap().into();
        let client = async { SmtpClient::connect(&address, &settings()).await.map(drop) };
        let (_, refused) = tokio::join!(server, client);
        assert!(matches!(refused, Err(SmtpError::Malformed { step: Step::Greeting, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn what_the_server_cannot_take_is_not_sent() {
    let script = || [Says("220 ready\r\n"), Hears(HELLO, OFFER)];
    let error = sends(&script(), &["b@b.example"], &"x".repeat(999)).await.unwrap_err();
    assert!(matches!(error, SmtpError::TooLarge { size: 1_001, limit: 1_000 }), "{error}");
    let plain = || [Says("220 ready\r\n"), Hears(HELLO, "250 hi\r\n")];
    for (to, message, wanted) in [("b@b.example", "Grüße", "8BITMIME"), ("jürgen@b.example", "x", "SMTPUTF8")] {
        let error = sends(&plain(), &[to], message).await.unwrap_err();
        assert!(matches!(error, SmtpError::NotOffered { extension, .. } if extension == wanted), "{error}");
        assert!(!error.is_unreachable());
    }
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, OFFER),
        Hears("MAIL FROM:<ann@a.example> SIZE=22 BODY=8BITMIME SMTPUTF8", "250 Ok\r\n"),
        Hears("RCPT TO:<jürgen@b.example>", "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage("Subject: Grüße\r\n\r\n", "250 Ok\r\n"),
    ];
    sends(&script, &["jürgen@b.example"], "Subject: Grüße\r\n\r\n\r\n").await.unwrap();
}

#[tokio::test]
async fn a_421_ends_the_session() {
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, PIPELINING),
        Hears("MAIL FROM:<ann@a.example>", "421 4.7.0 enough\r\n"),
        Hears("RCPT TO:<b@b.example>", ""),
        Closes,
    ];
    let error = sends(&script, &["b@b.example"], "a").await.unwrap_err();
    assert!(matches!(&error, SmtpError::Refused { step: Step::Mail, reply } if reply.is_closing()), "{error}");
    assert!(!error.leaves_session());
}

#[tokio::test]
async fn required_tls_is_never_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let files = crate::devcert::ensure(folder.path(), "localhost", Clock::System.now()).unwrap();
    let roots = TrustedRoots::only(&files.ca_file).unwrap();
    let required = Settings { security: Security::Required(roots), ..settings() };
    let none = [Says("220 ready\r\n"), Hears(HELLO, OFFER)];
    let error = against(&none, async |address| deliver(address, &required, &["b@b.example"], "a").await).await;
    assert!(matches!(error, Err(SmtpError::NoTls { .. })), "{error:?}");
    let refused =
        [Says("220 ready\r\n"), Hears(HELLO, "250-hi\r\n250 STARTTLS\r\n"), Hears("STARTTLS", "454 not now\r\n")];
    let error = against(&refused, async |address| deliver(address, &required, &["b@b.example"], "a").await).await;
    assert!(matches!(error, Err(SmtpError::Refused { step: Step::StartTls, .. })), "{error:?}");
}

#[tokio::test]
async fn words_behind_the_answer_to_starttls_end_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let files = crate::devcert::ensure(folder.path(), "localhost", Clock::System.now()).unwrap();
    let offered = Settings { security: Security::IfOffered(TrustedRoots::only(&files.ca_file).unwrap()), ..settings() };
    let script = [
        Says("220 ready\r\n"),
        Hears(HELLO, "250-hi\r\n250 STARTTLS\r\n"),
        Hears("STARTTLS", "220 go\r\n250 injected\r\n"),
    ];
    let error = against(&script, async |address| deliver(address, &offered, &["b@b.example"], "a").await).await;
    assert!(matches!(error, Err(SmtpError::Malformed { step: Step::StartTls, .. })), "{error:?}");
}

/// A server with the certificate in `files`, which then plays `secured`.
async fn secured(
    files: &crate::devcert::DevCertificate,
    roots: TrustedRoots,
    secured: &[u8],
) -> Result<bool, SmtpError> {
    let read = |path: &std::path::Path| std::fs::read(path).unwrap();
    let certificates = Certificates::single(&read(&files.cert_file), &read(&files.key_file)).unwrap();
    let tls = ServerTls::for_mail(std::sync::Arc::new(certificates)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = [
            Says("220 ready\r\n"),
            Hears(HELLO, "250-hi\r\n250 STARTTLS\r\n"),
            Hears("STARTTLS", "220 go\r\n"),
            Closes,
        ];
        play(&mut stream, &hello).await;
        let Ok(mut stream) = tls.accept(stream, ClientCertificates::Off).await else { return };
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n") {
            if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                return;
            }
        }
        assert_eq!(heard, format!("{HELLO}\r\n").into_bytes());
        stream.write_all(secured).await.unwrap();
        let _ = stream.read_u8().await;
    };
    let settings = Settings { security: Security::Required(roots), ..settings() };
    let server_name = address.into();
    let client = async { SmtpClient::connect(&server_name, &settings).await.map(|client| client.is_encrypted()) };
    let both = async { tokio::join!(server, client).1 };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("the handshake hangs")
}

#[tokio::test]
async fn only_a_trusted_certificate_is_spoken_to() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = Clock::System.now();
    let files = crate::devcert::ensure(one.path(), "localhost", now).unwrap();
    let stranger = crate::devcert::ensure(other.path(), "localhost", now).unwrap();
    let trusted = TrustedRoots::only(&files.ca_file).unwrap();
    assert!(secured(&files, trusted, b"250 hi\r\n").await.unwrap());
    for roots in [TrustedRoots::only(&stranger.ca_file).unwrap(), TrustedRoots::public().unwrap()] {
        let refused = secured(&files, roots, b"").await;
        assert!(matches!(refused, Err(SmtpError::Tls { .. })), "{refused:?}");
    }
    assert!(secured(&files, TrustedRoots::public_and(&files.ca_file).unwrap(), b"250 hi\r\n").await.unwrap());
    assert!(matches!(TrustedRoots::only(&files.key_file), Err(InvalidAuthority::Pem(_))));
}

#[tokio::test]
async fn a_server_that_is_not_there_cannot_be_reached() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = SmtpClient::connect(&address.into(), &settings()).await.unwrap_err();
    assert!(matches!(error, SmtpError::Unreachable { .. }) && error.is_unreachable(), "{error}");
}

#[test]
fn a_server_is_host_and_port() {
    for text in ["mx.example:25", "127.0.0.1:2525", "[::1]:2525"] {
        assert_eq!(text.parse::<ServerName>().unwrap().to_string(), text);
    }
    for text in ["", "mx.example", ":25", "mx.example:0", "mx.example:65536", "::1:25", "[mx]:25", "a b:25", "a\r\n:25"]
    {
        assert_eq!(text.parse::<ServerName>(), Err(InvalidServerName), "{text:?}");
    }
}
