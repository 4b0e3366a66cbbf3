//! What `/readyz` says, by the real causes: each reason comes with its cause and goes with it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Authority, Engine, Gateway, PATIENCE, Wire, fresh_id, http, list, message, run, text, wait_for};
use crate::trouble::Locked;

const FROM: &str = "ann@lakeside.example";

/// Status, and each reason as `component reason state`.
fn readiness(gateway: &Gateway) -> (u16, Vec<String>) {
    let answer = http("GET", &format!("{}/readyz", gateway.admin()), &[], b"");
    (answer.status, words(&answer.json()))
}

fn words(answer: &Value) -> Vec<String> {
    let reasons = list(answer, "/reasons").iter();
    let shown = reasons.map(|reason| {
        for field in ["/detail", "/remedy", "/since"] {
            assert!(!text(reason, field).is_empty(), "no {field}: {answer}");
        }
        [text(reason, "/component"), text(reason, "/reason"), text(reason, "/state")].join(" ")
    });
    shown.collect()
}

/// Waits for this reason; the status and all reasons that came with it.
fn wait_for_reason(gateway: &Gateway, reason: &str) -> (u16, Vec<String>) {
    wait_for(reason, || Some(readiness(gateway)).filter(|(_, reasons)| reasons.iter().any(|found| found == reason)))
}

fn wait_until_ready(gateway: &Gateway) {
    wait_for("nothing to be wrong", || (readiness(gateway) == (200, Vec::new())).then_some(()));
}

fn send(gateway: &Gateway) -> u16 {
    let to = gateway.field("/mailbox");
    let bytes = message(&fresh_id("ready"), to, "Quote", "What is your price?\r\n");
    Wire::hello(gateway.smtp()).unwrap().mail(FROM, to, &bytes).unwrap().0
}

#[test]
fn a_gateway_with_failing_webhooks_is_ready_and_one_with_less_than_the_reserve_is_not() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    let (tenant, app) = (gateway.field("/tenant").to_owned(), gateway.field("/app").to_owned());
    gateway.json(&["webhook", "add", "http://127.0.0.1:1/", "--tenant", &tenant, "--app", &app]);
    assert_eq!(send(&gateway), 250);
    wait_for("a failed attempt", || {
        let metrics = http("GET", &format!("{}/metrics", gateway.admin()), &[], b"");
        let shown = String::from_utf8_lossy(&metrics.body).into_owned();
        let mut attempts = shown.lines().filter(|line| line.starts_with("connex_webhook_attempts_total{"));
        attempts.any(|line| !line.contains("delivered") && !line.contains("\"ok\"")).then_some(())
    });
    assert_eq!(readiness(&gateway), (200, vec![]));
    let gateway = gateway.reconfigured(&[("reserve = \"1MiB\"", "reserve = \"1000000GiB\"")]);
    assert_eq!(readiness(&gateway), (503, vec!["spool disk_reserve not_ready".to_owned()]));
}

#[test]
fn a_database_that_takes_no_writes_is_told_with_the_mail_that_waits_for_it_and_its_lane() {
    let gateway = Gateway::serving(Engine::Sqlite, "[pipeline]\nlag_limit = \"1s\"\n");
    assert_eq!(send(&gateway), 250);
    wait_until_ready(&gateway);
    let lock = Locked::hold(&gateway.dir().join("connex.db"));
    assert_eq!(send(&gateway), 250, "the spool takes it");
    let (status, reasons) = wait_for_reason(&gateway, "ingest lag degraded");
    assert_eq!((status, reasons[0].as_str()), (503, "database no_writes not_ready"));
    wait_for_reason(&gateway, "ingest held degraded");
    assert!(gateway.metric("connex_ingest_lag_seconds").is_some_and(|lag| lag >= 1.0));
    drop(lock);
    wait_until_ready(&gateway);
}

#[test]
fn a_lane_that_cannot_be_recorded_leaves_a_node_ready_and_says_so() {
    let gateway = Gateway::serving(Engine::Postgres, "");
    assert_eq!(send(&gateway), 250);
    wait_until_ready(&gateway);
    // As where the disk of one table space is full: temporary, and for this table alone.
    gateway.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END$$; \
         CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    assert_eq!(send(&gateway), 250);
    let (status, reasons) = wait_for_reason(&gateway, "ingest held degraded");
    assert_eq!((status, reasons.len()), (200, 1), "{reasons:?}");
    gateway.sql("DROP TRIGGER refuse ON messages");
    wait_until_ready(&gateway);
}

#[test]
fn a_certificate_that_ends_or_has_ended_is_told_while_mail_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new("CA").issue_until(folder.path(), "gateway.example", 2021);
    let more = format!("[tls]\ncert_file = {:?}\nkey_file = {:?}\n", pair.cert, pair.key);
    let gateway = Gateway::serving_in(folder.path(), &more);
    assert_eq!(readiness(&gateway), (200, vec!["certificate ended degraded".to_owned()]));
    // Ten days before its end.
    let mut params = rcgen::CertificateParams::new(vec!["gateway.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + Duration::from_secs(10 * 86_400);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&pair.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&pair.key, key.serialize_pem()).unwrap();
    gateway.hang_up();
    wait_for_reason(&gateway, "certificate ending degraded");
    Authority::new("CA").issue(folder.path(), "gateway.example");
    gateway.hang_up();
    wait_until_ready(&gateway);
}

#[test]
fn orders_that_fail_are_told_here_and_by_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let acme = "[acme]\ndirectory = \"https://127.0.0.1:1/dir\"\ncontact = [\"admin@gateway.example\"]\n\
                domains = [\"gateway.example\"]\nterms_agreed = true\nhttp_listen = [\"127.0.0.1:0\"]\n";
    let gateway = Gateway::serving_in(folder.path(), acme);
    let (status, reasons) = wait_for_reason(&gateway, "acme order_failed degraded");
    assert_eq!((status, reasons.len()), (200, 1), "{reasons:?}");
    let done = gateway.connex(&["doctor", "--json"]);
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    let told =
        list(&answer, "/findings").iter().any(|finding| text(finding, "/what").contains("orders at acme.directory"));
    assert!(told, "{answer}");
}

#[test]
fn a_program_that_stops_says_so_until_its_last_session_has_ended() {
    let mut gateway = Gateway::serving(Engine::Sqlite, "");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let to = gateway.field("/mailbox").to_owned();
    for line in [format!("MAIL FROM:<{FROM}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
        assert!(wire.command(&line).unwrap().0 < 400, "{line}");
    }
    assert_eq!(readiness(&gateway), (200, vec![]));
    gateway.terminate();
    let (status, reasons) = wait_for_reason(&gateway, "program draining not_ready");
    assert_eq!((status, reasons.len()), (503, 1), "{reasons:?}");
    let bytes = message(&fresh_id("draining"), &to, "Quote", "What is your price?\r\n");
    wire.send(&[&bytes[..], b".\r\n"].concat()).unwrap();
    assert_eq!(wire.reply().unwrap().0, 250);
    assert_eq!(gateway.stopped().code(), Some(0));
}

/// A connection to the operator's listener that stays: where no file can be opened any more, none can be accepted.
struct Asking(BufReader<TcpStream>);

impl Asking {
    fn of(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.admin().trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn reasons(&mut self) -> (u16, Vec<String>) {
        self.0.get_mut().write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            assert!(self.0.read_line(&mut head).unwrap() > 0, "closed behind {head:?}");
            if let Some(value) = head[begin..].to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head[9..12].parse().unwrap(), words(&serde_json::from_slice(&body).unwrap()))
    }
}

#[test]
fn a_door_that_is_handed_no_connections_for_want_of_files_is_told_until_there_are_some() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    let mut asking = Asking::of(&gateway);
    assert_eq!(asking.reasons(), (200, vec![]));
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.process())).unwrap().count();
    let limit = |soft: String| {
        let done = run(Command::new("prlimit").args(["--pid", &gateway.process().to_string(), &soft]), b"");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let files = std::fs::read_to_string(format!("/proc/{}/limits", gateway.process())).unwrap();
    let before = files.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().nth(3);
    limit(format!("--nofile={}:", open + 1));
    let many: Vec<_> = (0..4).map(|_| TcpStream::connect(gateway.smtp()).unwrap()).collect();
    let told = wait_for("the door to be told", || Some(asking.reasons()).filter(|(status, _)| *status == 503));
    assert!(told.1.contains(&"listener cannot_accept not_ready".to_owned()), "{told:?}");
    limit(format!("--nofile={}:", before.unwrap()));
    wait_for("the door to be open again", || (asking.reasons() == (200, Vec::new())).then_some(()));
    assert!(gateway.metric("connex_accept_errors_total{door=\"smtp\"}").is_some_and(|count| count >= 1.0));
    drop(many);
}

#[test]
fn every_door_shows_its_connections_and_what_it_sent_away_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp.socket");
    let pair = Authority::new("CA").issue(folder.path(), "gateway.example");
    let more = format!(
        "[lmtp]\nlisten = [\"127.0.0.1:0\"]\nsocket = {socket:?}\n[tls]\ncert_file = {:?}\nkey_file = {:?}\n\
         [smtp.limits]\nconnections_per_address = 2\n",
        pair.cert, pair.key
    );
    let gateway = Gateway::serving_with(folder.path(), &more, |text| {
        text.replace("[smtp]\n", "[smtp]\nlisten_tls = [\"127.0.0.1:0\"]\n")
            .replace("[http]\n", "[http]\nlisten_tls = [\"127.0.0.1:0\"]\n")
    });
    let open = |door: &str| gateway.metric(&format!("connex_connections{{door=\"{door}\"}}"));
    for door in ["smtp", "smtps", "lmtp_tcp", "lmtp_unix", "http", "https", "inject", "import"] {
        assert_eq!(open(door), Some(0.0), "{door}");
    }
    let address = |url: String| url.trim_start_matches("http://").to_owned();
    let doors = [
        ("smtp", gateway.smtp().to_string()),
        ("smtps", gateway.smtps().to_string()),
        ("lmtp_tcp", gateway.lmtp().to_string()),
        ("http", address(gateway.api())),
        ("https", gateway.https().to_string()),
    ];
    let mut held: Vec<_> = doors
        .iter()
        .flat_map(|(_, address)| [address; 2])
        .map(|address| TcpStream::connect(address).unwrap())
        .collect();
    let local = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    for (door, _) in &doors {
        wait_for(door, || (open(door) == Some(2.0)).then_some(()));
    }
    wait_for("the file", || (open("lmtp_unix") == Some(1.0)).then_some(()));
    assert!(open("admin").is_some_and(|count| count >= 1.0), "that of this question");
    held.push(TcpStream::connect(gateway.smtp()).unwrap());
    let refused = "connex_connections_refused_total{door=\"smtp\",reason=\"address\"}";
    wait_for("the third to be refused", || (gateway.metric(refused) == Some(1.0)).then_some(()));
    drop((held, local));
    for (door, _) in &doors {
        wait_for(door, || (open(door) == Some(0.0)).then_some(()));
    }
}
