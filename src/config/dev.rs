//! Where `connex dev` listens and keeps its data.

use std::path::Path;

use super::{DEV, Loader};

/// The layers of `connex dev`: defaults, `config/dev.toml`, then the data folder, the certificate and the ports.
///
/// With a port base, SMTP takes the base itself, SMTP over TLS the next, then the API and the admin listener; base 0
/// asks for any free ports. The built-in receiver takes the fifth ([`receiver_port`]).
pub fn loader(dir: &Path, port_base: Option<u16>, cert_file: &Path, key_file: &Path) -> Loader {
    let mut loader = Loader::new().text("config/dev.toml", DEV);
    let paths = [("server.data_dir", dir), ("tls.cert_file", cert_file), ("tls.key_file", key_file)];
    for (key, path) in paths {
        loader = loader.set("connex dev", key, &path.display().to_string());
    }
    let Some(base) = port_base else { return loader };
    for (offset, key) in (0..).zip(["smtp.listen", "smtp.listen_tls", "http.listen", "http.admin_listen"]) {
        loader = loader.set("--port-base", key, &format!("127.0.0.1:{}", port(base, offset)));
    }
    loader.set("--port-base", "server.public_url", &format!("http://127.0.0.1:{}", port(base, 2)))
}

/// The port of the built-in webhook receiver.
#[must_use]
pub fn receiver_port(port_base: Option<u16>) -> u16 {
    port_base.map_or(8082, |base| port(base, 4))
}

fn port(base: u16, offset: u16) -> u16 {
    if base == 0 { 0 } else { base.saturating_add(offset) }
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
        for base in [None, Some(0), Some(20_000)] {
            let config = loader(Path::new("/tmp/connex-dev"), base, pem.path(), pem.path()).load().unwrap();
            let smtp = config.smtp.listen.iter().chain(&config.smtp.listen_tls);
            for address in smtp.chain(&config.http.listen).chain(&config.http.admin_listen) {
                assert!(address.ip().is_loopback(), "{address}");
            }
            assert_eq!(config.database.file, Path::new("/tmp/connex-dev/connex.db"));
            assert_eq!(config.http.rate_limits.preview_per_minute, None);
        }
    }

    #[test]
    fn a_port_base_sets_every_port() {
        let pem = certificate();
        let config = loader(Path::new("x"), Some(20_000), pem.path(), pem.path()).load().unwrap();
        let ports = [&config.smtp.listen, &config.smtp.listen_tls, &config.http.listen, &config.http.admin_listen];
        assert_eq!(ports.map(|listen| listen[0].port()), [20_000, 20_001, 20_002, 20_003]);
        assert_eq!(receiver_port(Some(20_000)), 20_004);
        assert_eq!(config.server.public_url, "http://127.0.0.1:20002");
    }
}
