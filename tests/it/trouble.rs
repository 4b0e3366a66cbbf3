//! A disk that is full and a database that is lost: mail is put off or kept, never refused for good, and all goes on
//! by itself afterwards.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Engine, Gateway, Wire, fresh_id, http, message, proof_of_funds, run, sha256, text, wait_for};

const FROM: &str = "ann@lakeside.example";

/// One message on a connection of its own: the reply, and the bytes.
fn send(gateway: &Gateway) -> (u16, String, Vec<u8>) {
    let to = gateway.field("/mailbox");
    let bytes = proof_of_funds(&fresh_id("trouble"), to);
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail(FROM, to, &bytes).unwrap();
    (code, reply, bytes)
}

/// Everything that was answered 250 is there, and is an event.
fn expect_kept(gateway: &Gateway, taken: &[Vec<u8>]) {
    wait_for("all mail in the index", || {
        let messages = gateway.messages();
        for bytes in taken {
            let digest = sha256(bytes);
            let found = messages.iter().find(|message| text(message, "/sha256") == digest);
            let found = found.unwrap_or_else(|| panic!("answered 250 and gone: {digest}"));
            if text(found, "/state") == "spooled" {
                return None;
            }
        }
        Some(())
    });
}

/// A small file system in memory; needs the privilege to mount.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        run(&mut command, b"").status.success().then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(self.0.path()), b"");
    }
}

/// Sends until mail is put off; checks that this is said at once, and by a temporary code.
fn put_off(gateway: &Gateway, taken: &mut Vec<Vec<u8>>) {
    wait_for("mail to be put off", || {
        let start = Instant::now();
        let (code, reply, bytes) = send(gateway);
        assert!(start.elapsed() < Duration::from_secs(2), "{reply} took {:?}", start.elapsed());
        match code {
            250 => taken.push(bytes),
            451 | 452 => return Some(()),
            _ => panic!("for trouble of our own: {reply}"),
        }
        None
    });
}

fn flows_again(gateway: &Gateway, taken: &mut Vec<Vec<u8>>) {
    wait_for("mail to flow again", || {
        let (code, reply, bytes) = send(gateway);
        assert!(code == 250 || (400..500).contains(&code), "{reply}");
        (code == 250).then(|| taken.push(bytes))
    });
}

#[test]
fn a_full_disk_puts_mail_off_and_frees_it_by_itself() {
    let Some(disk) = Tmpfs::mount("24m") else {
        // Never left out unnoticed: who cannot mount says so.
        assert!(
            std::env::var_os("CONNEX_TEST_NO_MOUNT").is_some(),
            "needs the privilege to mount a small disk; CONNEX_TEST_NO_MOUNT=1 leaves this test out"
        );
        return;
    };
    // Spool and database are both on the small disk.
    let gateway = Small { gateway: Some(Gateway::serving_in(disk.0.path(), "")), disk: Some(disk) };
    let (disk, gateway) = (gateway.disk.as_ref().unwrap().0.path(), gateway.gateway.as_ref().unwrap());
    let mut taken = Vec::new();
    let (code, reply, bytes) = send(gateway);
    assert_eq!(code, 250, "{reply}");
    taken.push(bytes);
    let ballast = disk.join("ballast");
    fill(&ballast);
    put_off(gateway, &mut taken);
    wait_for("health to turn red", || {
        (http("GET", &format!("{}/readyz", gateway.admin()), &[], b"").status == 503).then_some(())
    });
    std::fs::remove_file(&ballast).unwrap();
    flows_again(gateway, &mut taken);
    expect_kept(gateway, &taken);
    wait_for("health to turn green", || {
        (http("GET", &format!("{}/readyz", gateway.admin()), &[], b"").status == 200).then_some(())
    });
}

/// The gateway stops before its disk goes.
struct Small {
    gateway: Option<Gateway>,
    disk: Option<Tmpfs>,
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(self.gateway.take());
        drop(self.disk.take());
    }
}

/// Writes until nothing fits any more.
fn fill(path: &Path) {
    let mut zeros = std::io::repeat(0).take(64 * 1024 * 1024);
    let full = std::io::copy(&mut zeros, &mut std::fs::File::create(path).unwrap());
    assert!(full.is_err(), "the disk has more room than the test thought");
}

#[test]
fn mail_is_put_off_while_less_than_the_reserve_is_free() {
    // More than any disk has: the reserve is never there.
    let gateway =
        Gateway::serving(Engine::Sqlite, "").reconfigured(&[("reserve = \"1MiB\"", "reserve = \"1000000GiB\"")]);
    let (code, reply, _) = send(&gateway);
    assert!(code == 452 && reply.starts_with("452 4.3.1 "), "{reply}");
    let answer = http("GET", &format!("{}/readyz", gateway.admin()), &[], b"");
    assert_eq!(answer.status, 503, "{answer:?}");
    let gateway = gateway.reconfigured(&[("reserve = \"1000000GiB\"", "reserve = \"1MiB\"")]);
    let (code, reply, bytes) = send(&gateway);
    assert_eq!(code, 250, "{reply}");
    expect_kept(&gateway, &[bytes]);
}

/// Another process that holds the database.
pub struct Locked(Child);

impl Locked {
    pub fn hold(file: &Path) -> Self {
        let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=20,isolation_level=None)\n\
                      c.execute('BEGIN EXCLUSIVE')\nprint('held',flush=True)\nsys.stdin.read()\n";
        let mut command = Command::new("python3");
        let mut child =
            command.args(["-c", script]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Its standard input ends, so it lets go; should it not, it is ended.
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_held_by_another_process_costs_no_mail_and_all_goes_on_afterwards() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    let mut taken = Vec::new();
    let (code, reply, bytes) = send(&gateway);
    assert_eq!(code, 250, "{reply}");
    taken.push(bytes);
    expect_kept(&gateway, &taken);

    let lock = Locked::hold(&gateway.dir().join("connex.db"));
    let (code, reply, bytes) = send(&gateway);
    assert!(code == 250 || (400..500).contains(&code), "for trouble of our own: {reply}");
    if code == 250 {
        taken.push(bytes);
    }
    let to = gateway.field("/mailbox").replace("deals", "nobody");
    let bytes = message(&fresh_id("unknown"), &to, "x", "x\r\n");
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail(FROM, &to, &bytes).unwrap();
    assert!(code == 550 || (400..500).contains(&code), "{reply}");
    let authorization = format!("Bearer {}", gateway.field("/apiKey"));
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let event = serde_json::json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": "evt_1",
        "eventType": "inbound_reply", "message": { "subject": "Hi", "body": "What is your price?" } });
    let url = format!("{}/api/connex/integration-event", gateway.api());
    let answer = http("POST", &url, &headers, event.to_string().as_bytes());
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(text(&answer.json(), "/code"), "temporarily_unavailable");
    drop(lock);

    wait_for("the API to answer again", || {
        (http("POST", &url, &headers, event.to_string().as_bytes()).status == 200).then_some(())
    });
    flows_again(&gateway, &mut taken);
    expect_kept(&gateway, &taken);
}
