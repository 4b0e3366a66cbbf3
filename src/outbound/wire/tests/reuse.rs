//! Several messages over one connection.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn keeping(transactions: u32, roots: &[CertificateDer<'static>]) -> Terms {
    let reuse = Reuse { transactions, age: HOUR, idle: HOUR };
    Terms { pool: Pool::new(reuse), ..terms(roots) }
}

/// So many messages to Ann, one after the other, with the end of each on record; and what waits at the end is closed.
async fn sends_all(count: usize, scripts: &[Vec<Turn>], terms: &Terms) -> Vec<(Outcome, u16)> {
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("buyer.example", Ok(vec![loopback(1)]));
    let router = router(&resolver, server.address().port());
    let work = async {
        let mut outcomes = Vec::new();
        for _ in 0..count {
            let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
            let recorded = AtomicUsize::new(0);
            let record = async |_| {
                recorded.fetch_add(1, Ordering::SeqCst);
                Ok::<(), ()>(())
            };
            let attempts = send(signed(ANN, &[], BODY), &route, terms, record).await;
            assert_eq!(attempts.len(), 1);
            let (outcome, code) = (attempts[0].outcome, attempts[0].report.code.unwrap_or(0));
            assert!(outcome != Outcome::Accepted || recorded.load(Ordering::SeqCst) == 1);
            outcomes.push((outcome, code));
        }
        terms.pool.close_all().await;
        outcomes
    };
    server.plays(scripts, work).await
}

fn taken() -> Vec<Turn> {
    vec![
        Hears(MAIL, "250 Ok\r\n"),
        Hears(RCPT, "250 Ok\r\n"),
        Hears("DATA", "354 go\r\n"),
        HearsMessage(BODY, "250 Ok\r\n"),
    ]
}

fn greeted() -> Vec<Turn> {
    vec![Says("220 mx.buyer.example\r\n"), Hears(HELLO, PLAIN)]
}

const RESET: Turn = Hears("RSET", "250 flushed\r\n");
const QUIT: Turn = Hears("QUIT", "221 bye\r\n");

#[tokio::test]
async fn messages_to_one_server_share_a_connection_up_to_its_bound_and_each_begins_behind_a_reset() {
    let first = [greeted(), taken(), vec![RESET], taken(), vec![QUIT]].concat();
    let second = [greeted(), taken(), vec![QUIT]].concat();
    assert_eq!(sends_all(3, &[first, second], &keeping(2, &[])).await, [(Outcome::Accepted, 250); 3]);
}

#[tokio::test]
async fn a_refused_message_or_recipient_leaves_a_connection_that_is_used_again() {
    let no_recipient = vec![Hears(MAIL, "250 Ok\r\n"), Hears(RCPT, "550 no\r\n")];
    let mut no_message = taken();
    no_message[3] = HearsMessage(BODY, "451 later\r\n");
    let script = [greeted(), no_recipient, vec![RESET], no_message, vec![RESET], taken(), vec![QUIT]].concat();
    let outcomes = sends_all(3, &[script], &keeping(9, &[])).await;
    assert_eq!(outcomes, [(Outcome::Rejected, 550), (Outcome::Deferred, 451), (Outcome::Accepted, 250)]);
}

#[tokio::test]
async fn a_connection_that_is_gone_or_has_had_enough_is_replaced_by_a_new_one() {
    let ends: [&[Turn]; 6] = [
        &[Closes],
        &[Says("421 4.4.2 timeout\r\n"), Closes],
        &[Hears("RSET", "421 enough\r\n"), Closes],
        &[Hears("RSET", "502 what?\r\n"), HearsRest("")],
        &[RESET, Hears(MAIL, "452 4.3.2 too many messages\r\n"), QUIT],
        &[RESET, Hears(MAIL, "250 Ok\r\n"), Hears(RCPT, "421 enough\r\n"), Closes],
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let first = [greeted(), taken(), end.to_vec()].concat();
        let second = [greeted(), taken(), vec![QUIT]].concat();
        let outcomes = sends_all(2, &[first, second], &keeping(9, &[])).await;
        assert_eq!(outcomes, [(Outcome::Accepted, 250); 2], "{number}");
    }
}

#[tokio::test]
async fn behind_the_dot_of_a_connection_that_was_used_before_nothing_is_sent_again() {
    let mut lost = taken();
    lost[3] = HearsMessage(BODY, "");
    let script = [greeted(), taken(), vec![RESET], lost, vec![Closes]].concat();
    let outcomes = sends_all(2, &[script], &keeping(9, &[])).await;
    assert_eq!(outcomes, [(Outcome::Accepted, 250), (Outcome::Unknown, 0)]);
}

#[tokio::test]
async fn connections_that_are_old_or_waited_for_long_are_closed_and_not_used() {
    for reuse in [
        Reuse { transactions: 9, age: Duration::ZERO, idle: HOUR },
        Reuse { transactions: 9, age: HOUR, idle: Duration::ZERO },
    ] {
        let one = [greeted(), taken(), vec![QUIT]].concat();
        let terms = Terms { pool: Pool::new(reuse), ..terms(&[]) };
        assert_eq!(sends_all(2, &[one.clone(), one], &terms).await, [(Outcome::Accepted, 250); 2]);
    }
}

#[tokio::test]
async fn a_connection_is_used_again_only_by_who_asks_the_same_of_it() {
    let (config, authority) = certificate(&["localhost"]);
    let encrypted = |login: &'static str| {
        let mut script = vec![
            Encrypts(Arc::clone(&config)),
            Says("220 relay\r\n"),
            Hears(HELLO, "250-relay\r\n250 AUTH PLAIN\r\n"),
            Hears(login, "235 ok\r\n"),
        ];
        script.extend(taken());
        script
    };
    let terms = keeping(9, &[authority]);
    let server = Server::start().await;
    let resolver = Resolver::scripted();
    resolver.script("localhost", Ok(vec![loopback(1)]));
    let router = router(&resolver, 0);
    let port = server.address().port();
    let relay = |tls, user: Option<&str>| {
        Relay::new("localhost", port, tls, user.and_then(|user| Credentials::new(user, "secret"))).unwrap()
    };
    let relays = [
        relay(RelayTls::Implicit, Some("user")),
        relay(RelayTls::Implicit, Some("other")),
        relay(RelayTls::Never, None),
        relay(RelayTls::Implicit, Some("user")),
        // The same server, user and password, as two customers name them.
        relay(RelayTls::Implicit, Some("user")).of_customer("ten_1 acme.example"),
        relay(RelayTls::Implicit, Some("user")).of_customer("ten_2 acme.example"),
        relay(RelayTls::Implicit, Some("user")).of_customer("ten_1 acme.example"),
    ];
    let work = async {
        let mut outcomes = Vec::new();
        for relay in &relays {
            let route = router.relay(relay).await.unwrap();
            let attempts = send(signed(ANN, &[], BODY), &route, &terms, async |_| Ok::<(), ()>(())).await;
            outcomes.push(attempts[0].outcome);
        }
        terms.pool.close_all().await;
        outcomes
    };
    let scripts = [
        [encrypted("AUTH PLAIN AHVzZXIAc2VjcmV0"), vec![RESET], taken(), vec![QUIT]].concat(),
        [encrypted("AUTH PLAIN AG90aGVyAHNlY3JldA=="), vec![QUIT]].concat(),
        [greeted(), taken(), vec![QUIT]].concat(),
        [encrypted("AUTH PLAIN AHVzZXIAc2VjcmV0"), vec![RESET], taken(), vec![QUIT]].concat(),
        [encrypted("AUTH PLAIN AHVzZXIAc2VjcmV0"), vec![QUIT]].concat(),
    ];
    assert_eq!(server.plays_together(&scripts, work).await, [Outcome::Accepted; 7]);
}
