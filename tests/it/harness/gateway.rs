//! A running `connex`, and its commands.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Database, Engine, PATIENCE, Sink, complete, http, list, run, text, wait_for, wait_within};

/// A running gateway in a folder of its own; stopped when dropped.
pub struct Gateway {
    child: Child,
    /// What it printed when it was ready.
    pub ready: Value,
    /// What was set up before it started.
    fields: Value,
    dir: PathBuf,
    log: PathBuf,
    /// The receiver of an endpoint that is no part of the program, and its secret.
    receiver: Option<(Sink, String)>,
    /// Where its data is, when that is its own and not in the folder.
    database: Option<Database>,
    _folder: Option<tempfile::TempDir>,
}

impl Gateway {
    /// `connex dev` without samples, on free ports.
    pub fn dev() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        let mut command = program();
        command.args(["dev", "--port-base", "0", "--json", "--no-samples", "--dir"]).arg(&dir);
        let mut gateway = Self::start(command, &dir, folder.path()).unwrap_or_else(|error| panic!("{error}"));
        gateway._folder = Some(folder);
        gateway
    }

    /// All that [`Gateway::dev`] offers, on any engine: TLS, a tenant with app, mailbox and bcc route, and a receiver.
    pub fn complete(engine: Engine) -> Self {
        let Some(database) = engine.database() else { return Self::dev() };
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("connex.toml");
        let dir = folder.path().join("data");
        let receiver = Sink::start();
        let (fields, secret) = complete::set_up(&config, &dir, &database, &receiver);
        let mut gateway = Self::serve(&config, &dir);
        gateway.fields = fields;
        gateway.receiver = Some((receiver, secret));
        gateway.database = Some(database);
        gateway._folder = Some(folder);
        gateway
    }

    /// `connex serve` with this configuration file, whose `data_dir` is `dir`.
    pub fn serve(config: &Path, dir: &Path) -> Self {
        let mut command = program();
        command.args(["serve", "--json", "--config"]).arg(config);
        leave_names(&mut command, config);
        let beside = config.parent().unwrap();
        Self::start(command, dir, beside).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `connex serve` on free ports with what `more` adds to a small configuration, with a tenant `acme`, an app `crm`
    /// and a mailbox.
    pub fn serving(engine: Engine, more: &str) -> Self {
        let (folder, database) = (tempfile::tempdir().unwrap(), engine.database());
        let mut gateway = Self::set_up_in(folder.path(), database.as_ref(), more);
        gateway.database = database;
        gateway._folder = Some(folder);
        gateway
    }

    /// One of several over one database; `fields` is what was set up there.
    pub fn node(config: &Path, fields: &Value) -> Self {
        let mut gateway = Self::serve(config, &config.with_file_name("data"));
        gateway.fields = fields.clone();
        gateway
    }

    /// As [`Gateway::serving`] with SQLite, in a folder of the test's.
    pub fn serving_in(folder: &Path, more: &str) -> Self {
        Self::set_up_in(folder, None, more)
    }

    /// As [`Gateway::serving_in`], with a configuration that `change` has had in its hands.
    pub fn serving_with(folder: &Path, more: &str, change: impl Fn(String) -> String) -> Self {
        Self::set_up_as(folder, &change(configuration(&folder.join("data"), None, more)))
    }

    fn set_up_in(folder: &Path, database: Option<&Database>, more: &str) -> Self {
        Self::set_up_as(folder, &configuration(&folder.join("data"), database, more))
    }

    fn set_up_as(folder: &Path, text: &str) -> Self {
        let (config, dir) = (folder.join("connex.toml"), folder.join("data"));
        std::fs::write(&config, text).unwrap();
        let fields = set_up(&config);
        let mut gateway = Self::serve(&config, &dir);
        gateway.fields = fields;
        gateway
    }

    /// The same installation, started again after it has stopped or is stopped now.
    pub fn restarted(mut self) -> Self {
        self.terminate();
        self.stopped();
        let mut gateway = Self::serve(&self.config(), &self.dir);
        gateway.fields = self.fields.take();
        gateway.receiver = self.receiver.take();
        gateway.database = self.database.take();
        gateway._folder = self._folder.take();
        gateway
    }

    /// Started again with these replacements in its configuration.
    pub fn reconfigured(self, replacements: &[(&str, &str)]) -> Self {
        let mut text = std::fs::read_to_string(self.config()).unwrap();
        for (old, new) in replacements {
            assert!(text.contains(old), "no {old} in {text}");
            text = text.replace(old, new);
        }
        std::fs::write(self.config(), text).unwrap();
        self.restarted()
    }

    /// Its configuration file, when it was started with one.
    pub fn config(&self) -> PathBuf {
        self.dir.with_file_name("connex.toml")
    }

    /// Starts it and waits until it is ready.
    fn start(mut command: Command, dir: &Path, logs: &Path) -> Result<Self, String> {
        let log = logs.join("log.txt");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        // Reads on after the first line, so that the program never finds a closed or full pipe.
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let _ = sender.send(line);
            }
        });
        let mut gateway = Self {
            child,
            ready: Value::Null,
            fields: Value::Null,
            dir: dir.to_owned(),
            log: log.clone(),
            receiver: None,
            database: None,
            _folder: None,
        };
        let Ok(line) = receiver.recv_timeout(PATIENCE) else {
            return Err(format!("not ready: {}", std::fs::read_to_string(&log).unwrap_or_default()));
        };
        gateway.ready = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        Ok(gateway)
    }

    /// Its data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The SMTP port.
    pub fn smtp(&self) -> SocketAddr {
        self.address("/smtp")
    }

    /// The port with TLS from the first byte.
    pub fn smtps(&self) -> SocketAddr {
        self.address("/smtps")
    }

    /// The port of the API with TLS.
    pub fn https(&self) -> SocketAddr {
        self.address("/https")
    }

    /// The LMTP port.
    pub fn lmtp(&self) -> SocketAddr {
        self.address("/lmtp")
    }

    /// The milter port.
    pub fn milter(&self) -> SocketAddr {
        self.address("/milter")
    }

    fn address(&self, pointer: &str) -> SocketAddr {
        // `dev` names one address, `serve` lists all.
        let one = self.ready.pointer(pointer).and_then(|value| value.get(0).or(Some(value)));
        one.and_then(Value::as_str).unwrap_or_default().parse().unwrap_or_else(|_| panic!("{}", self.ready))
    }

    /// Base URL of the API.
    pub fn api(&self) -> String {
        let given = text(&self.ready, "/http");
        if given.is_empty() {
            format!("http://{}", self.address("/http"))
        } else {
            given.trim_end_matches('/').to_owned()
        }
    }

    /// Base URL of health and metrics.
    pub fn admin(&self) -> String {
        let given = text(&self.ready, "/admin");
        if given.is_empty() {
            format!("http://{}", self.address("/admin"))
        } else {
            given.trim_end_matches('/').to_owned()
        }
    }

    /// The field of what `dev` printed.
    pub fn field(&self, pointer: &str) -> &str {
        let found = Some(text(&self.ready, pointer)).filter(|found| !found.is_empty());
        let found = found.unwrap_or_else(|| text(&self.fields, pointer));
        assert!(!found.is_empty(), "no {pointer} in {}", self.ready);
        found
    }

    /// Runs `connex ARGUMENTS` for this installation.
    pub fn connex(&self, arguments: &[&str]) -> Done {
        self.connex_with(arguments, b"")
    }

    fn place(&self) -> [std::ffi::OsString; 2] {
        // `dev` leaves its configuration in its data folder.
        let config = self.config();
        if config.is_file() { ["--config".into(), config.into()] } else { ["--dir".into(), self.dir.clone().into()] }
    }

    /// As [`Gateway::connex`], with this standard input.
    pub fn connex_with(&self, arguments: &[&str], input: &[u8]) -> Done {
        done(self.command(arguments), input)
    }

    /// `connex ARGUMENTS` for this installation, to be started by the test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(arguments).args(self.place());
        leave_names(&mut command, &self.config());
        command
    }

    /// The JSON answer of `connex ARGUMENTS --json`, which must work.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.connex(&[arguments, &["--json"]].concat()).json()
    }

    /// All stored messages.
    pub fn messages(&self) -> Vec<Value> {
        list(&self.json(&["messages", "list", "--all"]), "").to_vec()
    }

    /// The whole chain of a message, when it is no longer in the spool alone.
    pub fn explained(&self, id: &str) -> Value {
        wait_for("the message in the index", || {
            let done = self.connex(&["explain", id, "--json"]);
            (done.code == 0).then(|| done.json())
        })
    }

    /// What arrived at its receiver with this Message-ID (without angle brackets), each event once.
    pub fn received(&self, message_id: &str) -> Vec<Value> {
        let is_it = |event: &&Value| text(event, "/body/source/eventId").trim_matches(['<', '>']) == message_id;
        let answer = match &self.receiver {
            Some((sink, secret)) => complete::received(sink, secret),
            None => http("GET", &format!("{}received", self.field("/receiver")), &[], b"").json(),
        };
        list(&answer, "/events").iter().filter(is_it).cloned().collect()
    }

    /// The first event with this Message-ID at its receiver.
    pub fn arrival(&self, message_id: &str) -> Value {
        wait_for(&format!("an event for <{message_id}>"), || self.received(message_id).into_iter().next())
    }

    /// Ends it at once, as a power cut would for the process.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to read its certificates again.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// The value of a metric, with its labels as Prometheus writes them; `None` before it was counted.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let metrics = http("GET", &format!("{}/metrics", self.admin()), &[], b"");
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Runs a statement in its database on the server.
    pub fn sql(&self, statement: &str) -> String {
        self.database.as_ref().unwrap().sql(statement)
    }

    /// As [`Gateway::sql`], on either engine: what no command can do, such as letting days pass.
    pub fn alter(&self, statement: &str) {
        if self.database.is_some() {
            self.sql(statement);
            return;
        }
        let file = format!("sqlite://{}", self.dir.join("connex.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&file).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        });
    }

    /// Has it do nothing more, not even in the middle of something; to be ended with [`Gateway::kill`].
    pub fn halt(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        wait_for("all threads to stand still", || {
            let states = std::fs::read_dir(&tasks).unwrap().map(|task| {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
                stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
            });
            // One that waits for the disk comes back to a standstill.
            states.into_iter().all(|state| matches!(state, Some('T' | 'D') | None)).then_some(())
        });
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Waits until it has stopped.
    pub fn stopped(&mut self) -> ExitStatus {
        wait_for("the end of the process", || self.child.try_wait().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("last lines of its log:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            self.kill();
            return;
        }
        self.terminate();
        let child = &mut self.child;
        let patience = Duration::from_secs(10);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_within(patience, "the end of the process", || child.try_wait().unwrap())
        }));
        if ended.is_err() {
            self.kill();
        }
    }
}

/// A small configuration on loopback, with free ports, over a database or in SQLite, plus `more`.
pub fn configuration(dir: &Path, database: Option<&Database>, more: &str) -> String {
    let database = database.map_or_else(String::new, |database| section(dir.parent().unwrap(), database));
    format!(
        "[server]\nhostname = \"gateway.example\"\ndata_dir = \"{}\"\nshutdown_grace = \"5s\"\n\
         [smtp]\nlisten = [\"127.0.0.1:0\"]\nplatform_domains = [\"gateway.example\"]\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\nadmin_listen = [\"127.0.0.1:0\"]\n\
         [spool]\nsegment_size = \"1MiB\"\nreserve = \"1MiB\"\nreserve_percent = 0\npatience = \"20s\"\n\
         [webhooks]\nallow = [\"127.0.0.0/8\"]\ntimeout = \"1s\"\nlease = \"2s\"\nschedule = \"short\"\n\
         [log]\nlevel = \"warn\"\n{database}{more}",
        dir.display()
    )
}

/// Beside a configuration: the secret that it names.
pub const SECRET_FILE: &str = "instance.secret";

/// What names a database, with the secret that all gateways over it share, in a file of `folder`.
fn section(folder: &Path, database: &Database) -> String {
    const SECRET: &str = "a secret of tests, the same on every node";
    let file = folder.join(SECRET_FILE);
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[database]\nurl = \"{}\"\n[pipeline]\nlease = \"2000ms\"\n[keys]\ninstance_secret_file = \"{}\"\n",
        database.url(),
        file.display()
    )
}

/// Adds a tenant, an app, a mailbox and an API key; tells them as `dev` does.
pub fn set_up(config: &Path) -> Value {
    const MAILBOX: &str = "deals@gateway.example";
    let run =
        |arguments: &[&str]| connex(&[arguments, &["--json", "--config", config.to_str().unwrap()]].concat()).json();
    let tenant = run(&["tenant", "add", "acme"]);
    run(&["app", "add", "crm", "--tenant", "acme"]);
    run(&["mailbox", "add", MAILBOX, "--tenant", "acme", "--app", "crm"]);
    let all = ["status:evaluate", "events:read", "messages:read", "messages:raw"];
    let scopes: Vec<&str> = all.iter().flat_map(|scope| ["--scope", scope]).collect();
    let key = run(&[&["key", "add", "--tenant", "acme", "--name", "all"], &scopes[..]].concat());
    serde_json::json!({ "tenant": tenant["id"], "app": "crm", "mailbox": MAILBOX, "apiKey": key["key"] })
}

/// How a command ended.
pub struct Done {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Done {
    /// Its answer, which must be JSON, and the command must have worked.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.stdout)))
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs `connex ARGUMENTS` to its end.
pub fn connex(arguments: &[&str]) -> Done {
    let mut command = program();
    command.args(arguments);
    if let Some([_, config]) = arguments.windows(2).find(|pair| pair[0] == "--config") {
        leave_names(&mut command, Path::new(config));
    }
    done(command, b"")
}

fn done(mut command: Command, input: &[u8]) -> Done {
    let output = run(&mut command, input);
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Leaves the choice of name servers to a configuration that makes it.
fn leave_names(command: &mut Command, config: &Path) {
    if std::fs::read_to_string(config).is_ok_and(|text| text.contains("[dns]\nservers = ")) {
        command.env_remove("CONNEX__DNS__SERVERS");
    }
}

/// The program under test, with nothing of this process's own settings.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connex"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONNEX_") {
            command.env_remove(name);
        }
    }
    // Nothing that a test sends may depend on the names of the world.
    command.env("CONNEX__DNS__SERVERS", super::zone().address().to_string());
    // Nor on the authorities that this machine trusts: a container has often none.
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    command
}
