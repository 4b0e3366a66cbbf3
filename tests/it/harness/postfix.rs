//! A Postfix of a test's own: its configuration, queue and ports are in a folder, and it is stopped by its process id.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{run, wait_for};

/// A running Postfix that relays for loopback; stopped when dropped. Only root can start one.
pub struct Postfix {
    script: Child,
    smtp: SocketAddr,
    folder: tempfile::TempDir,
    /// When everything in its queue was last tried again at once.
    flushed: Mutex<Instant>,
}

impl Postfix {
    /// One that does with mail what `main`, more lines of main.cf, says: `default_transport`, `smtpd_milters` and so on.
    /// It knows no domain of its own, looks nothing up in DNS, and tries deferred mail again after a second.
    pub fn start(main: &str) -> Self {
        // Let go before Postfix takes it: whoever gets it in between makes the start fail, which is seen below.
        let smtp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::start_at(&[(smtp, "")], main)
    }

    /// As [`Postfix::start`], with a server at each of these addresses, and options of `smtpd` for it alone: `-o NAME=VALUE`.
    pub fn start_at(servers: &[(SocketAddr, &str)], main: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "Postfix starts as root only: run the tests as root");
        let folder = tempfile::Builder::new().prefix("connex-postfix-").tempdir().unwrap();
        // Its processes run as `postfix` and have to get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["config", "queue", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        chown(folder.path().join("data"), Some(number_of("passwd", "postfix")), None).unwrap();
        let own = folder.path().display();
        let common = without_those_of(main, &MAIN.replace("OWN", &own.to_string()));
        fs::write(folder.path().join("config/main.cf"), format!("{common}{main}\n")).unwrap();
        let inet = servers.iter().map(|(address, options)| format!("{address} inet n - n - - smtpd {options}\n"));
        let master = inet.collect::<String>() + MASTER;
        fs::write(folder.path().join("config/master.cf"), master).unwrap();
        let output = File::create(folder.path().join("output.txt")).unwrap();
        let mut command = Command::new("postfix");
        command.arg("-c").arg(folder.path().join("config")).arg("start-fg").stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let script = command
            .spawn()
            .unwrap_or_else(|error| panic!("postfix does not start ({error}): ./tests/run installs what is missing"));
        let mut postfix = Self { script, smtp: servers[0].0, folder, flushed: Mutex::new(Instant::now()) };
        wait_for("Postfix to be ready", || {
            let ended = postfix.script.try_wait().unwrap();
            assert!(ended.is_none(), "Postfix ended: {}", postfix.log());
            servers.iter().all(|(address, _)| std::net::TcpStream::connect(address).is_ok()).then_some(())
        });
        postfix
    }

    /// Where it takes mail by SMTP.
    pub const fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Gives it a message, with bare line feeds as a pipe has them, by its `sendmail`.
    pub fn sendmail(&self, from: &str, to: &[&str], message: &[u8]) {
        let mut command = Command::new("/usr/sbin/sendmail");
        command.arg("-C").arg(self.folder.path().join("config")).args(["-i", "-f", from, "--"]).args(to);
        let output = run(&mut command, message);
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), self.log());
    }

    /// The line of its log that says what became of the mail to `to`, once it was delivered or bounced.
    pub fn fate(&self, to: &str) -> String {
        let named = format!("to=<{to}>");
        wait_for(&format!("Postfix to be done with mail to {to}"), || {
            let log = self.log();
            let is_it = |line: &&str| {
                line.contains(&named) && (line.contains("status=sent") || line.contains("status=bounced"))
            };
            log.lines().find(is_it).map(str::to_owned)
        })
    }

    /// How many messages are in its queue.
    ///
    /// They are tried again then, but for what was just tried: a message whose last attempt was not over yet when its queue
    /// manager looked is set aside by that for five minutes.
    pub fn queued(&self) -> usize {
        let output = self.postqueue("-j");
        let count = String::from_utf8_lossy(&output.stdout).lines().count();
        let mut flushed = self.flushed.lock().unwrap();
        if count > 0 && flushed.elapsed() > Duration::from_secs(5) {
            self.postqueue("-f");
            *flushed = Instant::now();
        }
        count
    }

    fn postqueue(&self, what: &str) -> std::process::Output {
        let output = run(Command::new("postqueue").arg("-c").arg(self.folder.path().join("config")).arg(what), b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output.txt") + &read("maillog")
    }

    /// A folder in which programs of the group `postfix` find the sockets that root makes there.
    pub fn socket_folder() -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("connex-sockets-").tempdir().unwrap();
        chown(folder.path(), None, Some(number_of("group", "postfix"))).unwrap();
        // With the set-group-ID bit, what is made inside gets the folder's group.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2750)).unwrap();
        folder
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("last lines of Postfix:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        // Its start script waits for the master, and the master does not wait for the others.
        let ended = || {
            let left = processes_in(&self.folder.path().join("queue"));
            for process in &left {
                let _ = kill_process(*process, Signal::TERM);
            }
            left.is_empty().then_some(())
        };
        let start = Instant::now();
        while ended().is_none() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// The processes that work in a folder.
fn processes_in(folder: &Path) -> Vec<Pid> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_there = |id: &i32| fs::read_link(PathBuf::from(format!("/proc/{id}/cwd"))).is_ok_and(|cwd| cwd == folder);
    ids.filter(is_there).filter_map(Pid::from_raw).collect()
}

/// The lines of `common` whose parameter `main` does not set. One that stands twice is warned of by every process that
/// starts; the one that writes the log then waits for itself once ten such warnings are there for it to take.
fn without_those_of(main: &str, common: &str) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let set: Vec<String> = main.lines().map(name).collect();
    common.lines().filter(|line| !set.contains(&name(line))).map(|line| format!("{line}\n")).collect()
}

/// The number of a user or group of this machine, by the database's name for `getent`.
fn number_of(database: &str, name: &str) -> u32 {
    let output = run(Command::new("getent").args([database, name]), b"");
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = line.split(':').nth(2).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in {database}: ./tests/run installs what is missing"))
}

const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = OWN/queue
data_directory = OWN/data
maillog_file = OWN/maillog
maillog_file_prefixes = OWN
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mta.lakeside.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtp_dns_support_level = disabled
smtp_host_lookup = native
notify_classes =
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
";

const MASTER: &str = "\
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
