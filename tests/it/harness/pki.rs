//! Authorities and certificates that tests make, and `openssl s_client` as the other side of a handshake.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};

use super::run;

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// SHA-256 of the certificate.
    pub sha256: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn write(&self, path: &Path) -> PathBuf {
        std::fs::write(path, self.0.pem()).unwrap();
        path.to_owned()
    }

    /// Issues one for `name` into `NAME.pem` and `NAME.key` of `folder`, in place of what is there.
    pub fn issue(&self, folder: &Path, name: &str) -> Pair {
        self.issue_until(folder, name, 2030)
    }

    /// As [`Authority::issue`], valid until the beginning of this year.
    pub fn issue_until(&self, folder: &Path, name: &str, year: i32) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let pair = Pair {
            cert: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            sha256: super::sha256(certificate.der()),
        };
        std::fs::write(&pair.cert, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

/// How a session is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    StartTls,
    Implicit,
}

/// What came of a handshake.
#[derive(Debug)]
pub struct Handshake {
    pub is_done: bool,
    /// All that `openssl` said.
    pub said: String,
}

impl Handshake {
    /// Common name of the certificate that was shown.
    pub fn shown(&self) -> Option<&str> {
        let line = self.said.lines().find(|line| line.starts_with("subject="))?;
        line.rsplit_once("CN = ").map(|(_, name)| name)
    }
}

fn s_client(address: SocketAddr, way: Way, options: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]);
    if way == Way::StartTls {
        command.args(["-starttls", "smtp"]);
    }
    command.args(options);
    command
}

/// One handshake, and QUIT.
pub fn handshake(address: SocketAddr, way: Way, options: &[&str]) -> Handshake {
    let output = run(&mut s_client(address, way, options), b"QUIT\r\n");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    Handshake { is_done: output.status.success(), said }
}

/// A session under TLS that goes on; ended when dropped.
pub struct TlsSession {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl TlsSession {
    /// Connects and secures; the greeting, or the answer to STARTTLS, is read by `openssl`.
    pub fn open(address: SocketAddr, way: Way, options: &[&str]) -> Self {
        let mut command = s_client(address, way, options);
        let command = command.args(["-quiet", "-crlf"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Sends a line and reads its reply: its code, and all of it.
    pub fn command(&mut self, line: &str) -> (u16, String) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
        input.flush().unwrap();
        self.reply()
    }

    pub fn reply(&mut self) -> (u16, String) {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the session has ended behind {all:?}");
            all.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return (line.get(..3).unwrap().parse().unwrap(), all);
            }
        }
    }
}

impl Drop for TlsSession {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
