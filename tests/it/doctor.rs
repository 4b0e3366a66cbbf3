//! `connex doctor`, the unit for systemd, and what the service manager is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{PATIENCE, configuration, connex, list, run, text};

/// A configuration whose name server is not there, with a certificate that is none.
fn sick(folder: &Path) -> std::path::PathBuf {
    let (config, data) = (folder.join("connex.toml"), folder.join("data"));
    std::fs::create_dir(&data).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, "no certificate").unwrap();
    std::fs::write(&key, "no key").unwrap();
    let more = format!(
        "[dns]\nservers = [\"127.0.0.1:1\"]\ntimeout = \"100ms\"\nattempts = 1\n[tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        certificate.display(),
        key.display()
    );
    std::fs::write(&config, configuration(&data, None, &more)).unwrap();
    config
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = sick(folder.path());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let done = connex(&["doctor", "--json", "--outbound", &closed, "--config", config.to_str().unwrap()]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    let problems: Vec<&Value> =
        list(&answer, "/findings").iter().filter(|finding| text(finding, "/level") == "problem").collect();
    for check in ["dns", "certificate", "outbound", "permissions"] {
        let found = problems.iter().find(|finding| text(finding, "/check") == check);
        let found = found.unwrap_or_else(|| panic!("no problem of {check} in {answer}"));
        assert!(!text(found, "/remedy").is_empty(), "{found}");
    }
    let shown = connex(&["doctor", "--config", config.to_str().unwrap()]).text();
    assert!(shown.contains("PROBLEM") && shown.contains("a flush takes"), "{shown}");
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_service_manager_is_told_when_the_gateway_is_ready_alive_reloading_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (folder.path().join("connex.toml"), folder.path().join("notify"));
    std::fs::write(&config, configuration(&folder.path().join("data"), None, "")).unwrap();
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_connex"));
    command.args(["serve", "--json", "--config"]).arg(&config).env("NOTIFY_SOCKET", &socket);
    command.env("WATCHDOG_USEC", "300000");
    let command = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = Ended(command.spawn().unwrap());
    // What it is told until it is told `wanted`.
    let told_until = |wanted: &str| {
        let (mut all, began) = (Vec::new(), std::time::Instant::now());
        loop {
            let mut bytes = [0; 256];
            let count = manager.recv(&mut bytes).unwrap_or(0);
            all.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            assert!(count > 0 && began.elapsed() < PATIENCE, "never told {wanted}: {all:?}");
            if all.last().is_some_and(|last| last.starts_with(wanted)) {
                return all;
            }
        }
    };
    let signal = |signal| {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), signal);
    };
    told_until("READY=1");
    told_until("WATCHDOG=1");
    told_until("WATCHDOG=1");
    signal(rustix::process::Signal::HUP);
    let reloading = told_until("RELOADING=1").pop().unwrap();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|since| since.parse::<u64>().ok());
    assert!(since.is_some_and(|since| since > 0), "{reloading}");
    assert_eq!(told_until("READY=1").pop().unwrap(), "READY=1");
    signal(rustix::process::Signal::TERM);
    told_until("STOPPING=1");
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn the_unit_for_systemd_is_valid_and_hardened() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd/connex.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connex.service");
    // The program is not installed here.
    std::fs::write(&file, unit.replace("/usr/local/bin/connex", env!("CARGO_BIN_EXE_connex"))).unwrap();
    for arguments in [&["verify", "--man=no"][..], &["security", "--offline=true", "--threshold=20"]] {
        let output = run(Command::new("systemd-analyze").args(arguments).arg(&file), b"");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
