//! An Exim of a test's own, in a folder of its own. As a command it delivers what it is given at once, and nothing of it runs
//! when that is done; as a server it is stopped by its process id.
//!
//! Its package cannot be installed beside Postfix, and so its user is not there: the program runs with user and group files
//! of its own, in a mount namespace that ends with it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{free_port, run, wait_for};

/// Its folder; only root can run it.
pub struct Exim {
    folder: tempfile::TempDir,
}

/// One that takes mail by SMTP, and tries deferred mail again after a second; stopped when dropped.
pub struct EximServer {
    exim: Exim,
    smtp: SocketAddr,
    child: Child,
}

/// The number of its user and group.
const USER: u32 = 65_432;

impl Exim {
    /// One that relays everything to this port on loopback, under TLS by a server that `ca` vouches for.
    pub fn relaying_to(port: u16, ca: &Path) -> Self {
        Self::with(&RELAY.replace("PORT", &port.to_string()), ca)
    }

    /// One whose configuration goes on with `more`, in which `OWN/ca.pem` is a copy of `ca`.
    fn with(more: &str, ca: &Path) -> Self {
        assert!(rustix::process::geteuid().is_root(), "Exim runs as root only: run the tests as root");
        let folder = tempfile::Builder::new().prefix("connex-exim-").tempdir().unwrap();
        let own = folder.path();
        fs::set_permissions(own, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["spool", "log"] {
            fs::create_dir(own.join(name)).unwrap();
            chown(own.join(name), Some(USER), Some(USER)).unwrap();
        }
        // It gives root's rights up, and reads these files without them.
        let readable = |name: &str, text: &[u8]| {
            fs::write(own.join(name), text).unwrap();
            fs::set_permissions(own.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        };
        readable("ca.pem", &fs::read(ca).unwrap());
        let user = format!("Debian-exim:x:{USER}:{USER}::/nonexistent:/usr/sbin/nologin\n");
        readable("passwd", (fs::read_to_string("/etc/passwd").unwrap() + &user).as_bytes());
        readable("group", (fs::read_to_string("/etc/group").unwrap() + &format!("Debian-exim:x:{USER}:\n")).as_bytes());
        let config = format!("{CONFIG}{more}").replace("PROGRAM", &program().display().to_string());
        readable("exim.conf", config.replace("OWN", &own.display().to_string()).as_bytes());
        Self { folder }
    }

    /// Gives it a message, with bare line feeds as a pipe has them, and waits until it has tried to deliver it. Its log.
    pub fn deliver(&self, from: &str, to: &[&str], message: &[u8]) -> String {
        let output = run(self.command().args(["-odf", "-i", "-f", from, "--"]).args(to), message);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.log()
    }

    /// What it logged so far.
    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("log/paniclog") + &read("log/mainlog")
    }

    fn command(&self) -> Command {
        const INSIDE: &str = "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && \
                              exec \"$@\"";
        let own = self.folder.path();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", INSIDE]).arg(own).arg(program());
        command.arg("-C").arg(own.join("exim.conf"));
        command
    }
}

impl EximServer {
    /// One for loopback, whose configuration goes on with `more`, in which `OWN/ca.pem` is a copy of `ca`.
    pub fn start(more: &str, ca: &Path) -> Self {
        let exim = Exim::with(&format!("{SERVER}{more}"), ca);
        let smtp: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let mut command = exim.command();
        command.args(["-bdf", "-q1s", "-oX", &format!("127.0.0.1.{}", smtp.port())]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { exim, smtp, child };
        wait_for("Exim to be ready", || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "Exim ended: {}", server.log());
            std::net::TcpStream::connect(smtp).is_ok().then_some(())
        });
        server
    }

    /// Where it takes mail by SMTP.
    pub const fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.exim.log()
    }

    /// How many messages are in its queue.
    pub fn queued(&self) -> usize {
        let output = run(self.exim.command().arg("-bpc"), b"");
        let said = String::from_utf8_lossy(&output.stdout);
        said.trim().parse().unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for EximServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of Exim:\n{}", self.log());
        }
        // What it has just begun to deliver ends by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/exim/usr/sbin/exim4");
    assert!(program.exists(), "there is no Exim: ./tests/run unpacks it");
    program
}

const CONFIG: &str = "\
exim_path = PROGRAM
primary_hostname = exim.lakeside.example
spool_directory = OWN/spool
log_file_path = OWN/log/%slog
keep_environment =
";

const SERVER: &str = "\
acl_smtp_rcpt = accept
tls_advertise_hosts =
rfc1413_query_timeout = 0s
";

const RELAY: &str = "\
begin routers
gateway:
  driver = manualroute
  transport = smtp
  route_list = * 127.0.0.1 byname
  self = send
begin transports
smtp:
  driver = smtp
  port = PORT
  hosts_require_tls = *
  tls_verify_hosts = *
  tls_verify_certificates = OWN/ca.pem
  tls_verify_cert_hostnames =
";
