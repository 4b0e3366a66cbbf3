//! Pebble, an ACME authority for tests, with the name server that comes with it; both on loopback.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Authority, run, wait_for};

/// Every name leads to loopback for it, and each start makes authorities of its own.
pub struct Pebble {
    folder: tempfile::TempDir,
    names: Child,
    server: Option<Child>,
    port: u16,
    management: u16,
    name_server: SocketAddr,
}

impl Pebble {
    /// Issues certificates of so many seconds, and asks about hosts on `asks_at`.
    pub fn start(seconds: u64, asks_at: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Authority::new("Pebble's own CA").issue_with_authority(folder.path(), "localhost");
        let [port, management, names_management, names_port] = [(); 4].map(|()| free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.path().join("localhost.pem"),
            "privateKey": folder.path().join("localhost.key"),
            "httpPort": asks_at, "tlsPort": 1, "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": seconds,
        }});
        std::fs::write(folder.path().join("pebble.json"), config.to_string()).unwrap();
        let name_server = SocketAddr::from(([127, 0, 0, 1], names_port));
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-dns01", &name_server.to_string(), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.args(["-management", &format!("127.0.0.1:{names_management}")]);
        let names = spawn(&mut names);
        listens(names_management);
        let mut pebble = Self { folder, names, server: None, port, management, name_server };
        pebble.resume();
        pebble
    }

    /// Ends it; its name server goes on.
    pub fn pause(&mut self) {
        self.server.take().iter_mut().for_each(end);
    }

    /// Starts it again, without any memory of accounts.
    pub fn resume(&mut self) {
        let mut server = Command::new("pebble");
        server.arg("-config").arg(self.folder.path().join("pebble.json"));
        server.args(["-dnsserver", &self.name_server.to_string()]).env("PEBBLE_VA_NOSLEEP", "1");
        self.server = Some(spawn(&mut server));
        listens(self.port);
        listens(self.management);
    }

    /// What `[acme]` needs to order from it for `gateway.example`, with answers on the port that it asks at.
    pub fn configuration(&self, answers_at: u16) -> String {
        format!(
            "[acme]\ndirectory = \"https://localhost:{}/dir\"\nca_file = {:?}\ncontact = [\"admin@gateway.example\"]\n\
             domains = [\"gateway.example\", \"mx.gateway.example\"]\nterms_agreed = true\n\
             http_listen = [\"127.0.0.1:{answers_at}\"]\n",
            self.port,
            self.folder.path().join("ca.pem"),
        )
    }

    /// The authority of what it issues, as a file.
    pub fn root(&self) -> PathBuf {
        let file = self.folder.path().join("root.pem");
        let url = format!("https://localhost:{}/roots/0", self.management);
        let ca = self.folder.path().join("ca.pem");
        let output = run(Command::new("curl").args(["-sSf", "--max-time", "30", "--cacert"]).arg(ca).arg(url), b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&file, output.stdout).unwrap();
        file
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.pause();
        end(&mut self.names);
    }
}

/// A port on loopback that was free just now, and is given out once. It is none of those that the system gives to whoever
/// asks for any port, and to connections: they could take it before its server does.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(397);
    let free = (0..PORTS.end - PORTS.start).find_map(|_| {
        let number = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start)).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    free.expect("a free port")
}

fn spawn(command: &mut Command) -> Child {
    let shown = format!("{command:?}");
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet
        .spawn()
        .unwrap_or_else(|error| panic!("{shown} does not start ({error}): ./tests/run installs what is missing"))
}

fn listens(port: u16) {
    wait_for("a listener", || TcpStream::connect(("127.0.0.1", port)).ok());
}

fn end(child: &mut Child) {
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let _ = child.wait();
}

impl Authority {
    /// As [`Authority::issue`], with the authority beside it in `ca.pem`.
    fn issue_with_authority(&self, folder: &Path, name: &str) {
        self.write(&folder.join("ca.pem"));
        self.issue(folder, name);
    }
}
