//! An Exim of a test's own, which delivers what it is given at once: nothing of it runs when that is done.
//!
//! Its package cannot be installed beside Postfix, and so its user is not there: the program runs with user and group files
//! of its own, in a mount namespace that ends with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;

/// Its folder; only root can run it.
pub struct Exim {
    folder: tempfile::TempDir,
}

/// The number of its user and group.
const USER: u32 = 65_432;

impl Exim {
    /// One that relays everything to this port on loopback, under TLS by a server that `ca` vouches for.
    pub fn relaying_to(port: u16, ca: &Path) -> Self {
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
        let config = CONFIG.replace("PROGRAM", &program().display().to_string());
        let config = config.replace("OWN", &own.display().to_string()).replace("PORT", &port.to_string());
        readable("exim.conf", config.as_bytes());
        Self { folder }
    }

    /// Gives it a message, with bare line feeds as a pipe has them, and waits until it has tried to deliver it. Its log.
    pub fn deliver(&self, from: &str, to: &[&str], message: &[u8]) -> String {
        const INSIDE: &str = "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && \
                              exec \"$@\"";
        let own = self.folder.path();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", INSIDE]).arg(own).arg(program());
        command.arg("-C").arg(own.join("exim.conf")).args(["-odf", "-i", "-f", from, "--"]).args(to);
        let output = run(&mut command, message);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(own.join("log/mainlog")).unwrap_or_default()
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
