//! Configuration in layers, checked once, with every fault reported at once and by its place.
//!
//! Layers, later ones win: the compiled-in `config/connex.toml`, further texts (`config/dev.toml`), the file of
//! `--config`, the environment (`CONNEX__SECTION__KEY`), the command line. The compiled-in layer is complete, and so
//! it is also the list of keys that exist and of the kind of value that each one takes.
//!
//! Nothing here reads the environment or a clock by itself, opens a socket, or keeps a reference to a layer: what comes
//! out is plain checked data, one struct per section, so that each part of the program is handed its own section.
//!
//! # Security
//! Secrets come from the environment or from a file of their own, never from the configuration file, and live in
//! [`Secret`], which cannot be printed.

pub mod authentication;
pub mod dev;
pub mod evidence;
pub mod fault;
pub mod http;
pub mod layers;
pub mod lmtp;
pub mod milter;
pub mod providers;
pub mod reader;
pub mod routes;
pub mod secret;
pub mod sections;
pub mod sending;
pub mod show;
pub mod sign_in;
pub mod smtp;
pub mod submission;
pub mod tls;
pub mod units;
pub mod webhooks;

use std::net::SocketAddr;
use std::path::Path;

pub use authentication::Authentication;
pub use evidence::{Audit, Drafts};
pub use fault::{ConfigFaults, Fault, Place};
pub use http::{Http, RateLimits};
pub use layers::{Entry, Layers};
pub use lmtp::Lmtp;
pub use milter::Milter;
pub use providers::Providers;
pub use reader::Reader;
pub use routes::Routes;
pub use secret::Secret;
pub use sections::{Database, Dns, Keys, Log, LogFormat, Pipeline, Server, Spool};
pub use sending::Sending;
pub use sign_in::SignIn;
pub use smtp::{Smtp, SmtpLimits};
pub use submission::Submission;
pub use tls::{Acme, Tls};
pub use webhooks::{Schedule, Webhooks};

/// The compiled-in lowest layer.
pub const DEFAULTS: &str = include_str!("../config/connex.toml");

/// What `connex dev` lays over the defaults.
pub const DEV: &str = include_str!("../config/dev.toml");

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`: who we are and where our data is.
    pub server: Server,
    /// `[smtp]`: the mail listener and its limits.
    pub smtp: Smtp,
    /// `[submission]`: where programs hand mail in to be sent.
    pub submission: Submission,
    /// `[lmtp]`: the door of local mail servers.
    pub lmtp: Lmtp,
    /// `[milter]`: the door through which mail servers show mail.
    pub milter: Milter,
    /// `[providers]`: mail that providers hand over by webhook.
    pub providers: Providers,
    /// `[routes]`: peers that a route does not name.
    pub routes: Routes,
    /// `[tls]`: certificates from files, and those of clients.
    pub tls: Tls,
    /// `[acme]`: where a certificate is obtained; `None` when nowhere.
    pub acme: Option<Acme>,
    /// `[spool]`: the durable log.
    pub spool: Spool,
    /// `[database]`: the index behind the log.
    pub database: Database,
    /// `[dns]`: the resolver.
    pub dns: Dns,
    /// `[authentication]`: who really sent a message.
    pub authentication: Authentication,
    /// `[http]`: the API and the admin listener.
    pub http: Http,
    /// `[sign_in]`: where else people sign in.
    pub sign_in: SignIn,
    /// `[keys]`: the secret of API keys.
    pub keys: Keys,
    /// `[webhooks]`: delivery to apps.
    pub webhooks: Webhooks,
    /// `[sending]`: how released mail leaves.
    pub sending: Sending,
    /// `[drafts]`: how long what drafts hold is kept.
    pub drafts: Drafts,
    /// `[audit]`: where heads of the audit log are written.
    pub audit: Audit,
    /// `[pipeline]`: workers behind the spool.
    pub pipeline: Pipeline,
    /// `[log]`: what is logged, and how.
    pub log: Log,
    /// Every value with the layer that it came from, for `check-config`.
    pub layers: Layers,
}

impl Config {
    /// Reads the defaults, the file at `path` and the `CONNEX__…` variables of `env`.
    ///
    /// # Errors
    /// Every fault of every layer, in the order in which they stand.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigFaults> {
        let mut loader = Loader::new();
        if let Some(path) = path {
            loader = loader.file(path);
        }
        loader.environment(env).load()
    }

    /// Whether the doors have a certificate to show.
    #[must_use]
    pub const fn has_tls(&self) -> bool {
        !self.tls.own.is_empty() || self.acme.is_some()
    }

    fn check(layers: Layers, mut faults: Vec<Fault>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(&layers, &mut faults);
        let reader = &mut reader;
        let server = Server::read(reader);
        let tls = Tls::read(reader);
        let acme = Acme::read(reader);
        let has_tls = !tls.own.is_empty() || acme.is_some();
        let smtp = Smtp::read(reader, has_tls);
        let submission = Submission::read(reader, has_tls);
        let lmtp = Lmtp::read(reader);
        let milter = Milter::read(reader);
        let providers = Providers::read(reader);
        let routes = Routes::read(reader);
        let spool = Spool::read(reader);
        let database = Database::read(reader, &server.data_dir);
        let dns = Dns::read(reader);
        let authentication = Authentication::read(reader);
        let http = Http::read(reader, has_tls);
        let sign_in = SignIn::read(reader);
        let keys = Keys::read(reader);
        let webhooks = Webhooks::read(reader);
        let sending = Sending::read(reader);
        if let Some(message) = sending.fault(&smtp.platform_domains) {
            reader.fault("sending.notices_from", message);
        }
        let drafts = Drafts::read(reader);
        let audit = Audit::read(reader);
        let pipeline = Pipeline::read(reader);
        let log = Log::read(reader);
        check_listeners(&[
            ("smtp.listen", &smtp.listen),
            ("smtp.listen_tls", &smtp.listen_tls),
            ("submission.listen", &submission.listen),
            ("submission.listen_tls", &submission.listen_tls),
            ("lmtp.listen", &lmtp.listen),
            ("http.listen", &http.listen),
            ("http.listen_tls", &http.listen_tls),
            ("http.admin_listen", &http.admin_listen),
            ("acme.http_listen", acme.as_ref().map_or(&Vec::new(), |acme| &acme.http_listen)),
        ])
        .into_iter()
        .for_each(|(key, message)| reader.fault(key, &message));
        if faults.is_empty() {
            Ok(Self {
                server,
                smtp,
                submission,
                lmtp,
                milter,
                providers,
                routes,
                tls,
                acme,
                spool,
                database,
                dns,
                authentication,
                http,
                sign_in,
                keys,
                webhooks,
                sending,
                drafts,
                audit,
                pipeline,
                log,
                layers,
            })
        } else {
            Err(ConfigFaults::new(faults))
        }
    }
}

/// An address can be listened on once; port 0 asks for any free one.
fn check_listeners(listeners: &[(&'static str, &Vec<SocketAddr>)]) -> Vec<(&'static str, String)> {
    let mut seen: Vec<(SocketAddr, &str)> = Vec::new();
    let mut faults = Vec::new();
    for (key, addresses) in listeners {
        for address in *addresses {
            match seen.iter().find(|(taken, _)| taken == address && address.port() != 0) {
                Some((_, other)) => faults.push((*key, format!("{address} is also in {other}"))),
                None => seen.push((*address, key)),
            }
        }
    }
    faults
}

/// Collects layers, lowest first, and checks their sum.
#[derive(Debug)]
#[must_use]
pub struct Loader {
    layers: Layers,
    faults: Vec<Fault>,
}

impl Loader {
    /// Only the compiled-in defaults.
    pub fn new() -> Self {
        Self { layers: Layers::defaults(), faults: Vec::new() }
    }

    /// Lays a TOML text over what is there; `name` is what faults call it.
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.layers.lay_text(name, text, &mut self.faults);
        self
    }

    /// Lays the file at `path` over what is there; a file that cannot be read is a fault.
    pub fn file(mut self, path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => self.layers.lay_text(&path.display().to_string(), &text, &mut self.faults),
            Err(error) => self.faults.push(Fault::unreadable(path, &error)),
        }
        self
    }

    /// Lays the variables whose names begin with `CONNEX__` over what is there.
    pub fn environment(mut self, env: impl Iterator<Item = (String, String)>) -> Self {
        self.layers.lay_environment(env, &mut self.faults);
        self
    }

    /// Sets one value as the command line does; `argument` is what faults and `check-config` call it.
    pub fn set(mut self, argument: &str, key: &str, value: &str) -> Self {
        self.layers.lay_argument(argument, key, value, &mut self.faults);
        self
    }

    /// As `--dir` does: `dir` is the data folder, whatever the layers below say.
    pub fn dir(self, dir: Option<&Path>) -> Self {
        match dir {
            Some(dir) => self.set("--dir", "server.data_dir", &dir.display().to_string()),
            None => self,
        }
    }

    /// Checks the sum of all layers.
    ///
    /// # Errors
    /// Every fault of every layer, in the order in which they stand.
    pub fn load(self) -> Result<Config, ConfigFaults> {
        Config::check(self.layers, self.faults)
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
