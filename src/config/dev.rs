//! Where `connex dev` listens and keeps its data.

use std::net::SocketAddr;
use std::path::Path;

use super::{DEV, Loader};

/// The layers of `connex dev`: defaults, `config/dev.toml`, then the data folder, the certificate, and where SMTP, SMTP
/// over TLS, the API, the admin listener, LMTP and submission (with STARTTLS, with TLS) are.
pub fn loader(dir: &Path, listen: [SocketAddr; 7], cert_file: &Path, key_file: &Path) -> Loader {
    let mut loader = Loader::new().text("config/dev.toml", DEV);
    let paths = [("server.data_dir", dir), ("tls.cert_file", cert_file), ("tls.key_file", key_file)];
    for (key, path) in paths {
        loader = loader.set("connex dev", key, &path.display().to_string());
    }
    let keys = [
        "smtp.listen",
        "smtp.listen_tls",
        "http.listen",
        "http.admin_listen",
        "lmtp.listen",
        "submission.listen",
        "submission.listen_tls",
    ];
    for (key, address) in keys.into_iter().zip(listen) {
        loader = loader.set("--port-base", key, &address.to_string());
    }
    let [_, _, http, ..] = listen;
    loader.set("--port-base", "server.public_url", &format!("http://{http}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> tempfile::NamedTempFile {
        tempfile::NamedTempFile::new().unwrap()
    }

    #[test]
    fn the_development_configuration_is_sound_and_stays_on_loopback() {
        let pem = certificate();
        let listen = [20_000, 20_001, 20_002, 20_003, 20_005, 20_006, 20_007]
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let config = loader(Path::new("/tmp/connex-dev"), listen, pem.path(), pem.path()).load().unwrap();
        let (smtp, http, submission) = (&config.smtp, &config.http, &config.submission);
        let bound = [
            &smtp.listen,
            &smtp.listen_tls,
            &http.listen,
            &http.admin_listen,
            &config.lmtp.listen,
            &submission.listen,
            &submission.listen_tls,
        ];
        assert_eq!(bound.map(|addresses| addresses[0]), listen);
        assert_eq!(config.server.public_url, "http://127.0.0.1:20002");
        assert_eq!(config.database.describe(), "/tmp/connex-dev/connex.db");
        assert_eq!(config.http.rate_limits.preview_per_minute, None);
    }
}
