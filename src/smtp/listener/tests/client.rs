//! A client that says exactly what it is told, and hears replies with a bound on how long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(super) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    pub(super) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpSocket::new_v4()?.connect(address).await?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// Connects from an address of its own.
    pub(super) async fn connect_from(own: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
        Self { stream: BufReader::new(Box::new(socket.connect(address).await.unwrap())) }
    }

    /// Does the client's side of a handshake; what the server sent before it must have been heard.
    pub(super) async fn secures(self, certificate: &[u8], version: &'static SupportedProtocolVersion) -> Self {
        assert!(self.stream.buffer().is_empty(), "something was sent before the handshake");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate.to_vec())).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("mx.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.stream.into_inner()).await.unwrap();
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    pub(super) async fn says(&mut self, text: &str) {
        self.sends(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn sends(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await?;
        self.stream.get_mut().flush().await
    }

    /// One reply, all its lines.
    pub(super) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let begin = reply.len();
            let read = timeout(PATIENCE, self.stream.read_line(&mut reply)).await.expect("no reply came");
            if read.unwrap_or(0) == 0 || reply.as_bytes()[begin..].get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// The next reply, which must begin with `expected`.
    pub(super) async fn hears(&mut self, expected: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(expected), "expected `{expected}`, heard `{reply}`");
        reply
    }

    /// Sends `piece` without end until the server says something.
    pub(super) async fn floods(&mut self, piece: &[u8]) -> String {
        let (read, mut write) = tokio::io::split(&mut self.stream);
        let mut read = BufReader::new(read);
        let mut reply = String::new();
        let flood = async { while write.write_all(piece).await.is_ok() {} };
        let heard = async {
            let is_stopped = tokio::select! {
                biased;
                read = read.read_line(&mut reply) => read.is_ok(),
                () = flood => false,
            };
            // The flood may end in a reset before the reply was read; it is there all the same.
            if !is_stopped {
                let _ = read.read_line(&mut reply).await;
            }
        };
        timeout(PATIENCE, heard).await.expect("the flood is never stopped");
        reply
    }

    /// The server has closed, and said nothing more.
    pub(super) async fn hears_the_end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the connection stays open");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}
