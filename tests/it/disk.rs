//! The first promise on a real disk that is full, broken, stuck, read-only, or loses its power: nothing is answered 250
//! that is not there afterwards, nobody is kept waiting, and mail flows again by itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::crash::figures;
use crate::harness::{
    Disk, Gateway, Load, READING, Sink, Taken, Wire, configuration, connex, each_is_one_event, expect_stored, fresh_id,
    http, message, random, seed, set_up, sha256, stuffed, text, wait_for, wait_within,
};

const FROM: &str = "ann@lakeside.example";
const MAILBOX: &str = "deals@gateway.example";
/// How long a peer is kept waiting at most while the disk refuses or does not answer.
const BOUND: Duration = Duration::from_secs(2);

/// A gateway whose data folder is on a disk of its own, with an endpoint.
struct Site {
    disk: Disk,
    config: PathBuf,
    sink: Sink,
    secret: String,
    key: String,
    /// What was answered 250.
    taken: Taken,
    _folder: tempfile::TempDir,
}

impl Site {
    fn on(disk: Disk) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("connex.toml");
        // The other tests are patient, because machines can be busy; here it is the default that counts.
        let text = configuration(&disk.path().join("data"), None, "[http.rate_limits]\ndefault_per_minute = 0\n");
        std::fs::write(&config, text.replace("patience = \"20s\"\n", "")).unwrap();
        let key = text_of(&set_up(&config), "/apiKey");
        let sink = Sink::start();
        let endpoint = ["webhook", "add", &sink.url(), "--tenant", "acme", "--app", "crm"];
        let place = ["--json", "--config", config.to_str().unwrap()];
        let endpoint = connex(&[&endpoint[..], &place].concat()).json();
        let secret = text_of(&endpoint, "/secret");
        Self { disk, config, sink, secret, key, taken: Taken::new(), _folder: folder }
    }

    fn start(&self) -> Gateway {
        Gateway::serve(&self.config, &self.disk.path().join("data"))
    }

    /// Sends a message, and keeps what was answered; the reply came in time.
    fn send(&mut self, gateway: &Gateway, id: &str, size: usize) -> u16 {
        let bytes = sized(id, size);
        let mut wire = Wire::hello(gateway.smtp()).unwrap();
        let began = Instant::now();
        let reply = wire.mail(FROM, MAILBOX, &bytes).unwrap();
        self.note(id, &bytes, began, &reply)
    }

    fn note(&mut self, id: &str, bytes: &[u8], began: Instant, (code, reply): &(u16, String)) -> u16 {
        let took = began.elapsed();
        eprintln!("{id}: {} after {took:?}", reply.trim_end());
        assert!(took < BOUND, "{id}: {reply} after {took:?}");
        assert!(matches!(code, 250 | 451 | 452), "{id}: {reply}");
        if *code == 250 {
            self.taken.insert(id.to_owned(), sha256(bytes));
        }
        *code
    }

    /// Ends the data of a transaction that was begun before.
    fn end(&mut self, (mut wire, rest, id, bytes): Begun) -> u16 {
        let began = Instant::now();
        // A gateway that has answered already may have closed the door on the rest.
        let _ = wire.send(&rest);
        let reply = wire.reply().unwrap();
        self.note(&id, &bytes, began, &reply)
    }

    /// Sends it until it is taken: by itself, mail flows again.
    fn send_until_taken(&mut self, gateway: &Gateway, id: &str) {
        wait_for(&format!("{id} to be taken"), || (self.send(gateway, id, 500) == 250).then_some(()));
    }

    /// All that was answered 250 is there and is one event.
    fn expect_all(&self, gateway: &Gateway) {
        // The cheap question first: listing all messages again and again would take the time that reading them needs.
        // Without a figure, the gateway was too busy to count.
        let events = || figures(gateway, &self.key)["volumes"]["events"].as_u64().unwrap_or(0);
        let patience = READING + Duration::from_millis(200) * u32::try_from(self.taken.len()).unwrap();
        wait_within(patience, "an event for each message", || (events() >= self.taken.len() as u64).then_some(()));
        expect_stored(gateway, &self.taken);
        each_is_one_event(&self.sink, &self.secret, &self.taken);
    }
}

fn text_of(value: &serde_json::Value, pointer: &str) -> String {
    text(value, pointer).to_owned()
}

fn sized(id: &str, size: usize) -> Vec<u8> {
    message(id, MAILBOX, "Quote", &"What is your price for 40 seats, please?\r\n".repeat(size / 42 + 1))
}

/// A connection with a part of the data sent, the rest of it, and what it is all about.
type Begun = (Wire, Vec<u8>, String, Vec<u8>);

/// A transaction of which half of the data is sent.
fn begun(gateway: &Gateway, id: &str, size: usize) -> Begun {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    for line in [format!("MAIL FROM:<{FROM}>"), format!("RCPT TO:<{MAILBOX}>"), "DATA".to_owned()] {
        assert!(wire.command(&line).unwrap().0 < 400, "{line}");
    }
    let bytes = sized(id, size);
    let mut sent = stuffed(&bytes);
    let rest = sent.split_off(sent.len() / 2);
    wire.send(&sent).unwrap();
    (wire, rest, id.to_owned(), bytes)
}

fn readiness(gateway: &Gateway) -> (u16, String) {
    let answer = http("GET", &format!("{}/readyz", gateway.admin()), &[], b"");
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

#[test]
fn on_a_full_disk_mail_is_put_off_and_flows_again_when_there_is_room() {
    let mut site = Site::on(Disk::new(48, &[]));
    let gateway = site.start();
    let ids: Vec<String> = ["first", "small", "large", "full"].iter().map(|name| fresh_id(name)).collect();
    assert_eq!(site.send(&gateway, &ids[0], 500), 250);
    let small = begun(&gateway, &ids[1], 500);
    let large = begun(&gateway, &ids[2], 6 << 20);
    site.disk.fill();
    // There may be room for it in the segment that was allocated before; then it is kept there.
    site.end(small);
    assert_ne!(site.end(large), 250, "6 MiB on a full disk");
    wait_for("the reserve to be noticed", || (site.send(&gateway, &ids[3], 500) != 250).then_some(()));
    let (_, why) = wait_for("the gateway to be not ready", || Some(readiness(&gateway)).filter(|it| it.0 == 503));
    assert!(why.contains("disk_reserve") || why.contains("\"failing\""), "{why}");
    site.disk.drain();
    for id in &ids {
        site.send_until_taken(&gateway, id);
    }
    wait_for("the gateway to be ready", || (readiness(&gateway).0 == 200).then_some(()));
    site.expect_all(&gateway);
}

#[test]
fn without_inodes_mail_is_put_off_and_flows_again_when_there_are_some() {
    let mut site = Site::on(Disk::new(48, &["-N", "64"]));
    let gateway = site.start();
    site.disk.use_up_inodes();
    // What was allocated before is used up first.
    let refused = (0..40).map(|_| fresh_id("inode")).find(|id| site.send(&gateway, id, 300 << 10) != 250);
    let refused = refused.expect("a segment that cannot be made");
    let (status, why) = readiness(&gateway);
    assert!(status == 503 && why.contains("No space left"), "{why}");
    site.disk.drain();
    site.send_until_taken(&gateway, &refused);
    site.expect_all(&gateway);
}

#[test]
fn when_the_disk_fails_to_write_no_250_is_given_and_mail_flows_again_when_it_is_mended() {
    // Without a journal, whose failure would make the file system read-only for good.
    let mut site = Site::on(Disk::new(48, &["-O", "^has_journal"]));
    let gateway = site.start();
    assert_eq!(site.send(&gateway, &fresh_id("before"), 500), 250);
    let under_way = begun(&gateway, &fresh_id("broken"), 3 << 20);
    let again = under_way.2.clone();
    site.disk.break_writes();
    assert_ne!(site.end(under_way), 250, "nothing of it can have been written");
    site.disk.mend();
    site.send_until_taken(&gateway, &again);
    site.expect_all(&gateway);
    assert!(gateway.log().contains("closed for good"), "the disk never failed: {}", gateway.log());
}

#[test]
fn a_disk_that_does_not_answer_keeps_nobody_waiting_and_makes_no_event_twice() {
    let mut site = Site::on(Disk::new(48, &[]));
    let gateway = site.start();
    let ids: Vec<String> = ["before", "small", "large", "stuck"].iter().map(|name| fresh_id(name)).collect();
    assert_eq!(site.send(&gateway, &ids[0], 500), 250);
    let small = begun(&gateway, &ids[1], 500);
    let large = begun(&gateway, &ids[2], 3 << 20);
    site.disk.freeze();
    assert_eq!(site.end(small), 451);
    assert_ne!(site.end(large), 250);
    assert_ne!(site.send(&gateway, &ids[3], 500), 250);
    let (status, why) = readiness(&gateway);
    assert!(status == 503 && why.contains("the disk does not answer"), "{why}");
    site.disk.thaw();
    // The small one was on its way to the disk when its client was put off: both copies are there now, as one event.
    for id in &ids {
        site.send_until_taken(&gateway, id);
    }
    wait_for("the gateway to be ready", || (readiness(&gateway).0 == 200).then_some(()));
    site.expect_all(&gateway);
}

#[test]
fn on_a_file_system_that_became_read_only_mail_is_put_off_and_all_is_there_when_it_is_repaired() {
    let mut site = Site::on(Disk::new(48, &[]));
    let mut gateway = site.start();
    assert_eq!(site.send(&gateway, &fresh_id("before"), 500), 250);
    let under_way = begun(&gateway, &fresh_id("read-only"), 500);
    let again = under_way.2.clone();
    site.disk.make_read_only();
    assert_ne!(site.end(under_way), 250);
    assert_ne!(site.send(&gateway, &again, 500), 250);
    assert_eq!(readiness(&gateway).0, 503);
    // Linux refuses to make such a file system writable (`remount`), and gives it out again as it is (`umount --lazy`, `mount`),
    // as long as any of its files is open: only the end of the gateway lets it be repaired.
    gateway.kill();
    site.disk.unmount();
    site.disk.mount();
    let gateway = site.start();
    site.send_until_taken(&gateway, &again);
    site.expect_all(&gateway);
}

#[test]
fn power_cuts_lose_nothing_that_was_answered_250_tear_nothing_and_make_no_event_twice() {
    let rounds = std::env::var("CONNEX_POWER_CUTS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let seed = seed();
    let mut random = random(seed);
    let mut site = Site::on(Disk::new(256, &[]));
    let load = Load::start(8, MAILBOX, seed);
    for round in 0..rounds {
        let mut gateway = site.start();
        load.go_to(&[gateway.smtp()]);
        load.more(1 + random.below(24), READING, &format!("mail in round {round}"));
        // Not always just after a reply: the moment itself is what is tried out.
        std::thread::sleep(Duration::from_micros(random.below(15_000) as u64));
        // Everything ends at once; or only the file system, and what the gateway still answers must be true.
        if round % 2 == 0 {
            gateway.halt();
        }
        site.disk.cut_power();
        gateway.kill();
        site.disk.unmount();
        site.disk.mount();
    }
    let gateway = site.start();
    load.go_to(&[gateway.smtp()]);
    load.more(1, READING, "mail after the last cut");
    let (taken, refusals) = load.finish();
    assert!(refusals.iter().all(|reply| reply.starts_with('4')), "{refusals:?}");
    site.taken = taken;
    eprintln!("{rounds} power cuts, {} messages answered 250, {} put off", site.taken.len(), refusals.len());
    site.expect_all(&gateway);
}
