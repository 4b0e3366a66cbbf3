//! Where a door waits for connections: at an address, or at a socket file of this machine.
//!
//! A socket file is made beside its name with its mode and then moved there, so that nobody ever finds it open to more than
//! it should be, and so that what a crash left over is replaced. It must never take the place of a file that is no socket,
//! nor of one at which somebody listens.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

/// Connections that the kernel holds while they wait to be accepted.
const BACKLOG: u32 = 4_096;

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// At an address.
    Tcp(TcpListener),
    /// At a file.
    Local(LocalSocket),
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Connection {
    /// From this address.
    Tcp(TcpStream, IpAddr),
    /// From a program of this machine.
    Local(UnixStream),
}

/// A socket file; removed when dropped.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file that is ours.
    file: (u64, u64),
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(formatter),
                Err(_) => formatter.write_str("an address"),
            },
            Self::Local(socket) => socket.path.display().fmt(formatter),
        }
    }
}

impl Socket {
    /// Binds an address.
    ///
    /// # Errors
    /// It cannot be bound. Needs a tokio runtime.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self::Tcp(socket.listen(BACKLOG)?))
    }

    /// Makes a socket file that may be used as `mode` says.
    ///
    /// # Errors
    /// It cannot be made: somebody listens there, or another file has its name. Needs a tokio runtime.
    pub fn in_file(path: &Path, mode: u32) -> io::Result<Self> {
        LocalSocket::make(path, mode).map(Self::Local)
    }

    /// The address that was bound, with the port where 0 was asked for.
    ///
    /// # Errors
    /// The operating system does not say, or it is a file.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Local(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As the operating system says; the socket goes on listening.
    pub async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Connection::Tcp(stream, peer.ip().to_canonical()))
            }
            Self::Local(socket) => Ok(Connection::Local(socket.listener.accept().await?.0)),
        }
    }
}

impl LocalSocket {
    fn make(path: &Path, mode: u32) -> io::Result<Self> {
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in its place"));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
            }
        }
        let mut made = path.as_os_str().to_owned();
        made.push(".new");
        let made = PathBuf::from(made);
        match std::fs::remove_file(&made) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&made)?;
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(mode))?;
        let file = identity(&made)?;
        std::fs::rename(&made, path)?;
        Ok(Self { listener, path: path.to_owned(), file })
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Another program may have put its own there.
        if identity(&self.path).is_ok_and(|there| there == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = std::fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_that_a_crash_left_is_replaced_and_ours_goes_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lmtp.socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left over");
        let socket = Socket::in_file(&path, 0o660).unwrap();
        assert_eq!(mode(&path), 0o660);
        let _client = UnixStream::connect(&path).await.unwrap();
        assert!(matches!(socket.accept().await.unwrap(), Connection::Local(_)));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn neither_a_listener_nor_another_file_loses_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("lmtp.socket"), folder.path().join("a file"));
        let first = Socket::in_file(&path, 0o600).unwrap();
        assert_eq!(Socket::in_file(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(Socket::in_file(&file, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        // What another program put there meanwhile stays.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "of another").unwrap();
        drop(first);
        assert!(path.exists());
    }
}
