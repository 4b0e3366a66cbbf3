//! A haproxy of a test's own, in front of a gateway.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::wait_for;

/// A running haproxy; stopped when dropped.
pub struct Haproxy {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Haproxy {
    /// The address from which it connects.
    pub const OWN: &str = "127.0.0.9";

    /// One that passes connections on to `server` with these options of its `server` line.
    pub fn start(server: SocketAddr, options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Let go before haproxy takes it: whoever gets it in between makes the start fail, which is seen below.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen mail\n bind {address}\n server gateway {server} source {} {options}\n",
            Self::OWN
        );
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let log = File::create(folder.path().join("log.txt")).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("haproxy does not start ({error}): ./tests/run installs what is missing"));
        let mut haproxy = Self { child, address, folder };
        wait_for("haproxy to be ready", || {
            let ended = haproxy.child.try_wait().unwrap();
            assert!(ended.is_none(), "haproxy ended: {}", haproxy.log());
            TcpStream::connect(address).is_ok().then_some(())
        });
        haproxy
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
