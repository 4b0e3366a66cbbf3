//! What the service manager is told: ready, reloading, stopping, how it stands, and that it is alive (sd_notify(3),
//! sd_watchdog_enabled(3)). Without one that asks, nothing happens.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Tells the service manager that every address is listened on, or that what was asked for by [`reloading`] is done.
pub fn ready() {
    tell("READY=1");
}

/// Tells the service manager that the configuration is read again; [`ready`] says when that is done.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// Tells the service manager that the program stops, and is not to be taken for hung.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=Stopping");
}

/// Tells the service manager in a line how the program stands.
pub fn status(line: &str) {
    tell(&format!("STATUS={}", line.replace('\n', " ")));
}

/// Tells the service manager that the program still works.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// How long the service manager waits for [`alive`]; `None` where it does not ask this process.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let [micros, process] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(|name| std::env::var(name).ok());
    watchdog_of(micros.as_deref(), process.as_deref(), std::process::id())
}

fn watchdog_of(micros: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    let is_own = process.is_none_or(|process| process.parse() == Ok(own));
    is_own.then(|| Duration::from_micros(micros))
}

fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return };
    if let Err(error) = send(&path, state) {
        tracing::warn!(error.kind = "notify", "The service manager cannot be told `{state}`: {error}");
    }
}

fn send(path: &OsStr, state: &str) -> std::io::Result<()> {
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    // A manager that does not read must not stop us.
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_a_path_and_one_without_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        let name = format!("connex-test-{}", std::process::id());
        let unnamed = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        for (socket, expected) in [(named, "READY=1"), (unnamed, "STOPPING=1")] {
            let mut bytes = [0; 64];
            let count = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..count], expected.as_bytes());
        }
    }

    #[test]
    fn only_the_process_that_is_meant_keeps_the_watchdog_quiet() {
        let second = Some(Duration::from_secs(1));
        for (micros, process, expected) in [
            (Some("1000000"), None, second),
            (Some("1000000"), Some("7"), second),
            (Some("1000000"), Some("8"), None),
            (Some("1000000"), Some(""), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("7"), None),
        ] {
            assert_eq!(watchdog_of(micros, process, 7), expected, "{micros:?} {process:?}");
        }
    }
}
