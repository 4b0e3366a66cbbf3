//! A PostgreSQL server of a test's own, which the test may stop, kill, hang and start again.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Database, create, program, psql};
use crate::harness::{PATIENCE, run, sha256, wait_for, wait_within};

/// A running server that flushes as in earnest; stopped when dropped.
pub struct Cluster {
    /// `None` while it is stopped.
    postmaster: Option<Child>,
    address: SocketAddr,
    password: &'static str,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// A new server with nothing in it.
    pub fn start() -> Self {
        let template = Template::shared();
        let folder = server_folder();
        copy(&template.data, &folder.path().join("data")).unwrap_or_else(|error| panic!("{error}"));
        let mut cluster = Self { postmaster: None, address: unused_address(), password: &template.password, folder };
        cluster.restart();
        cluster
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@{}/{database}", self.password, self.address)
    }

    /// A new database on it.
    pub fn create_database(&self) -> Database {
        let url = create(&self.url("postgres")).unwrap_or_else(|error| panic!("{error}"));
        Database { url, server: None }
    }

    /// What `psql` answers: rows on lines, columns apart by `|`.
    pub fn sql(&self, database: &str, text: &str) -> String {
        psql(&self.url(database), text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Ends it in good order: sessions are cut off, what is in memory is written.
    pub fn stop_fast(&mut self) {
        self.signal(Signal::INT);
        self.ended();
    }

    /// Ends it as a crash would: nothing is written any more.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// The same on the same port and data; stopped first where it runs.
    pub fn restart(&mut self) {
        if self.postmaster.is_some() {
            self.stop_fast();
        }
        self.postmaster = Some(self.spawn());
        wait_for("PostgreSQL to answer", || {
            let ended = self.postmaster.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "PostgreSQL does not start: {}", self.log());
            psql(&self.url("postgres"), "SELECT 1").ok()
        });
    }

    /// Lets all of it hang: connections are still taken by the kernel, and nothing is answered.
    pub fn pause(&self) {
        // The postmaster first: after it has stopped there are no new processes.
        self.signal(Signal::STOP);
        wait_for("every process of PostgreSQL to be stopped", || {
            let running: Vec<Pid> = self.processes().into_iter().filter(|process| !is_stopped(*process)).collect();
            signal_all(&running, Signal::STOP);
            running.is_empty().then_some(())
        });
    }

    /// Lets it go on after [`Cluster::pause`].
    pub fn resume(&self) {
        signal_all(&self.processes(), Signal::CONT);
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default()
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log.txt")).unwrap();
        let mut command = as_server(&program("postgres"), self.folder.path());
        let settings = [
            format!("listen_addresses={}", self.address.ip()),
            format!("port={}", self.address.port()),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "fsync=on".to_owned(),
        ];
        for setting in settings {
            command.args(["-c", &setting]);
        }
        command.arg("-D").arg(self.data());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// To the postmaster alone.
    fn signal(&self, signal: Signal) {
        let postmaster = self.postmaster.as_ref().expect("it runs");
        let _ = kill_process(Pid::from_child(postmaster), signal);
    }

    /// Waits until nothing of it is left: a server that starts beside a child of the last one refuses the data.
    fn ended(&mut self) {
        let mut postmaster = self.postmaster.take().expect("it runs");
        wait_for("the end of PostgreSQL", || postmaster.try_wait().unwrap());
        wait_for("the end of all processes of PostgreSQL", || self.processes().is_empty().then_some(()));
        assert!(TcpStream::connect(self.address).is_err(), "somebody still listens at {}", self.address);
    }

    /// Every process of it: all of them work in the data folder, also when the postmaster is no more.
    fn processes(&self) -> Vec<Pid> {
        let data = self.data();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = ids.filter(|id: &i32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|folder| folder == data));
        ours.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("last lines of PostgreSQL:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        let Some(mut postmaster) = self.postmaster.take() else { return };
        self.resume();
        let _ = kill_process(Pid::from_child(&postmaster), Signal::QUIT);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) && matches!(postmaster.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        signal_all(&self.processes(), Signal::KILL);
        let _ = postmaster.wait();
    }
}

fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// Whether it hangs, or is gone meanwhile.
fn is_stopped(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    // The state stands behind the name, which is in parentheses and may contain anything.
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z']))
}

/// A port on a loopback address of the cluster's own: nobody takes it while the server is away.
fn unused_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let [.., middle, last] = std::process::id().to_be_bytes();
    let own = 1 + COUNT.fetch_add(1, Ordering::Relaxed) % 100;
    let ip = [127, 100 + u8::try_from(own).unwrap(), middle, last.clamp(1, 254)];
    TcpListener::bind(SocketAddr::from((ip, 0))).unwrap().local_addr().unwrap()
}

/// The data of a server that was never started; copied, which is quicker than making it.
struct Template {
    data: PathBuf,
    password: String,
}

impl Template {
    fn shared() -> &'static Self {
        static TEMPLATE: OnceLock<Template> = OnceLock::new();
        TEMPLATE.get_or_init(|| Self::kept().unwrap_or_else(|error| panic!("no template of PostgreSQL: {error}")))
    }

    /// That of an earlier run, or a new one. It is kept beside what was built, since nothing runs when tests end.
    fn kept() -> Result<Self, String> {
        let version = Command::new(program("postgres"))
            .arg("--version")
            .output()
            .map_err(|error| format!("postgres does not start ({error}): ./tests/run installs what is missing"))?;
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{}", &sha256(&version.stdout)[..16]));
        if !kept.exists() {
            let made = server_folder();
            initialise(made.path())?;
            // Whole or not at all, also where several processes do this at once.
            let beside = kept.with_extension(std::process::id().to_string());
            copy(made.path(), &beside)?;
            if fs::rename(&beside, &kept).is_err() {
                let _ = fs::remove_dir_all(&beside);
            }
        }
        let password = fs::read_to_string(kept.join("password")).map_err(|error| error.to_string())?;
        Ok(Self { data: kept.join("data"), password: password.trim().to_owned() })
    }
}

/// Makes `data` and `password` in a folder.
fn initialise(folder: &Path) -> Result<(), String> {
    let secret =
        ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new()).map_err(|error| error.to_string())?;
    let password = folder.join("password");
    fs::write(&password, &sha256(&secret.expose())[..32]).map_err(|error| error.to_string())?;
    give_to_server(&password);
    let mut command = as_server(&program("initdb"), folder);
    command.args(["--pgdata=data", "--username=postgres", "--pwfile=password", "--auth=md5"]);
    command.args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
    done(&mut command)
}

/// A folder of the server's user.
fn server_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("connex-postgres-").tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    give_to_server(folder.path());
    folder
}

fn give_to_server(path: &Path) {
    if let Some((user, group)) = server_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A program of PostgreSQL as the user that it wants, in a folder that it can enter.
fn as_server(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

/// The user `postgres` and its group, where we are root: as such the server does not run.
fn server_user() -> Option<(u32, u32)> {
    let id = |of: &str| {
        let output = Command::new("id").args([of, "postgres"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().parse();
        text.expect("there is a user `postgres`: ./tests/run installs what is missing")
    };
    rustix::process::geteuid().is_root().then(|| (id("-u"), id("-g")))
}

/// Copies a folder with owners and modes.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    done(Command::new("cp").arg("-a").arg(from).arg(to))
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = run(command, b"");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn a_server_of_a_tests_own_is_stopped_killed_hung_and_goes_on_with_its_data() {
    let mut cluster = Cluster::start();
    assert_eq!(cluster.sql("postgres", "SHOW fsync"), "on");
    let database = cluster.create_database();
    database.sql("CREATE TABLE kept (number int)");
    let insert = |number: u32| database.sql(&format!("INSERT INTO kept VALUES ({number})"));
    insert(1);
    cluster.stop_fast();
    assert!(psql(database.url(), "SELECT 1").is_err());
    cluster.restart();
    insert(2);
    cluster.kill();
    assert!(psql(database.url(), "SELECT 1").is_err());
    cluster.restart();
    insert(3);
    cluster.pause();
    let stopped = TcpStream::connect(cluster.address);
    assert!(stopped.is_ok(), "the kernel still takes connections");
    assert!(psql(database.url(), "SELECT 1").is_err(), "nothing is answered");
    cluster.resume();
    assert_eq!(database.sql("SELECT number FROM kept ORDER BY number"), "1\n2\n3");
    let processes = cluster.processes();
    assert!(processes.len() > 3, "{processes:?}");
    drop(cluster);
    let gone = |process: &Pid| !Path::new(&format!("/proc/{}", process.as_raw_nonzero())).exists();
    wait_within(PATIENCE, "the end of its processes", || processes.iter().all(gone).then_some(()));
}
