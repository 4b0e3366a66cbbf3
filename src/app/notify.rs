//! What the service manager is told: ready, and stopping (sd_notify(3)). Without one that asks, nothing happens.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager that every address is listened on.
pub fn ready() {
    tell("READY=1");
}

/// Tells the service manager that the program stops, and is not to be taken for hung.
pub fn stopping() {
    tell("STOPPING=1");
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
}
