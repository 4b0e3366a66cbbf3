//! The unit for systemd under systemd itself: in a container with this machine's `/usr`, a loopback of its own, and nothing
//! else of it. What the unit takes from the program, it really does not have here.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{run, wait_for};

/// A booted container; gone when dropped.
struct Machine {
    nspawn: Child,
    /// Its systemd.
    init: Option<u32>,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// Boots one with the unit of the repository and the program under test.
    fn boot() -> Self {
        assert!(rustix::process::geteuid().is_root(), "containers are started here: run the tests as root");
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        lay_out(&root);
        let program = format!("--bind-ro={}:/opt/connex", env!("CARGO_BIN_EXE_connex"));
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]);
        command.args(["--kill-signal=SIGRTMIN+3", "--bind-ro=/usr", "--bind-ro=/etc/ssl", &program, "--directory"]);
        command.arg(&root).args(["/usr/lib/systemd/systemd", "--unit=basic.target", "--show-status=no"]);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let nspawn = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} does not start ({error}): ./tests/run installs what is missing")
        });
        let mut machine = Self { nspawn, init: None, _folder: folder };
        machine.init = Some(wait_for("systemd in its container", || {
            let said = std::fs::read_to_string(machine._folder.path().join("log")).unwrap_or_default();
            assert!(machine.nspawn.try_wait().unwrap().is_none(), "it has ended: {said}");
            child_of(machine.nspawn.id())
        }));
        wait_for("basic.target", || {
            machine.run(&["systemctl", "is-active", "basic.target"]).status.success().then_some(())
        });
        machine
    }

    /// Runs a command inside, as root.
    fn run(&self, command: &[&str]) -> Output {
        let init = self.init.unwrap().to_string();
        run(Command::new("nsenter").args(["--target", &init, "--all"]).args(command), b"")
    }

    /// As [`Machine::run`], for a command that must work; what it wrote.
    fn told(&self, command: &[&str]) -> String {
        let output = self.run(command);
        if !output.status.success() {
            let log = self.run(&["journalctl", "--no-pager", "--output=cat", "--unit=connex", "--lines=30"]);
            panic!(
                "{command:?}: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&log.stdout)
            );
        }
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A property of the service.
    fn property(&self, name: &str) -> String {
        self.told(&["systemctl", "show", "connex", "--value", "--property", name])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.nspawn), Signal::TERM);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the end of the container", || self.nspawn.try_wait().unwrap())
        }));
        if ended.is_err() {
            let _ = self.nspawn.kill();
            let _ = self.nspawn.wait();
        }
    }
}

/// A root with what systemd needs, the unit as it is, and where it differs from an installation: the place of the program,
/// and less patience.
fn lay_out(root: &Path) {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for folder in ["usr", "var", "run", "tmp", "proc", "sys", "dev", "root", "etc/ssl"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    write("opt/connex", "");
    write("etc/os-release", "NAME=test\n");
    write("etc/machine-id", "");
    write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
    write("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    write("etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\nhosts: files\n");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd/connex.service");
    write("etc/systemd/system/connex.service", &std::fs::read_to_string(unit).unwrap());
    write(
        "etc/systemd/system/connex.service.d/test.conf",
        "[Service]\nExecStart=\nExecStart=/opt/connex serve --config /etc/connex/connex.toml\nWatchdogSec=6s\n\
         TimeoutAbortSec=2s\nRestartSec=100ms\n",
    );
    write(
        "etc/connex/connex.toml",
        "[server]\nhostname = \"gateway.example\"\ndata_dir = \"/var/lib/connex\"\nshutdown_grace = \"5s\"\n\
         [smtp]\nlisten = [\"127.0.0.1:25\"]\nplatform_domains = [\"gateway.example\"]\n\
         [http]\nlisten = [\"127.0.0.1:8080\"]\nadmin_listen = [\"127.0.0.1:8081\"]\n\
         [spool]\nreserve = \"1MiB\"\nreserve_percent = 0\n[dns]\nservers = [\"127.0.0.1:1\"]\n",
    );
}

/// The one process that `parent` started.
fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.find(|process| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let above = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        above == Some(parent) && name.trim() == "systemd"
    })
}

#[test]
fn the_unit_starts_takes_mail_reloads_is_watched_and_stops_under_systemd() {
    let machine = Machine::boot();
    machine.told(&["systemctl", "start", "connex"]);
    assert_eq!(machine.property("ActiveState"), "active");
    wait_for("its line", || (machine.property("StatusText") == "Taking mail").then_some(()));
    let greeting = machine.told(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/25; read -r line <&3; echo \"$line\""]);
    assert!(greeting.starts_with("220 gateway.example"), "port 25 without the rights of root: {greeting}");
    let ready = machine.told(&["curl", "--silent", "--max-time", "20", "http://127.0.0.1:8081/readyz"]);
    assert_eq!(ready, r#"{"reasons":[],"status":"ready"}"#);
    let process = machine.property("MainPID");
    assert_ne!(machine.told(&["stat", "--format=%u", &format!("/proc/{process}")]), "0", "it runs as root");
    let folder = machine.told(&["stat", "--dereference", "--format=%a", "/var/lib/connex"]);
    assert_eq!(folder, "700");

    machine.told(&["systemctl", "reload", "connex"]);
    wait_for("the end of the reload", || (machine.property("ActiveState") == "active").then_some(()));
    assert_eq!(machine.property("MainPID"), process);

    // It is told that the program is alive again and again, and starts it afresh once it is not.
    for _ in 0..2 {
        let last = machine.property("WatchdogTimestampMonotonic");
        wait_for("a sign of life", || (machine.property("WatchdogTimestampMonotonic") != last).then_some(()));
    }
    assert_eq!(machine.property("NRestarts"), "0");
    machine.told(&["kill", "-STOP", &process]);
    wait_for("a fresh start", || {
        (machine.property("NRestarts") == "1" && machine.property("ActiveState") == "active").then_some(())
    });
    let journal = machine.told(&["journalctl", "--no-pager", "--output=cat", "--unit=connex"]);
    assert!(journal.contains("Watchdog timeout"), "{journal}");

    machine.told(&["systemctl", "stop", "connex"]);
    assert_eq!((machine.property("Result").as_str(), machine.property("ExecMainStatus").as_str()), ("success", "0"));
}
