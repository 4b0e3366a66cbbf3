//! `connex bench`: what this machine can do.
//!
//! Each measurement says what was measured and how, and what it leaves out. `docs/benchmarks.md` tells how to repeat
//! them and how to compare with other servers.

mod accept;
mod attack;
mod attackers;
mod bombs;
mod cpu;
mod figures;
mod gateway;
mod idle;
mod load;
mod pipeline;
mod postfix;
mod read;
mod release;
mod sink;
mod steps;
mod verdicts;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How many messages a second are taken in durably over SMTP.
    #[command(after_help = "Example: connex bench accept --sessions 100 --messages 100000 --size 10KiB")]
    Accept(AcceptArgs),
    /// How long it takes from a message to its signed webhook, and which rate lasts.
    #[command(after_help = "Example: connex bench pipeline --sessions 10 --rate 200")]
    Pipeline(PipelineArgs),
    /// How many released messages a second leave, to a sink on this machine that comes with Postfix.
    #[command(after_help = "Example: connex bench release --messages 2000 --rounds 5\n\
                            Example: connex bench release --postfix /tmp/cxpf/etc --postfix-server 127.0.0.1:2600")]
    Release(ReleaseArgs),
    /// What a client notices of many peers that hold connections and hand nothing over.
    #[command(after_help = "Example: connex bench attack --attackers 1000 --rounds 3")]
    Attack(AttackArgs),
    /// What messages cost that are built to be expensive to read.
    #[command(after_help = "Example: connex bench bombs --json")]
    Bombs(BombsArgs),
    /// What it costs to make events of messages, beside the bare parser.
    #[command(after_help = "Example: connex bench read tests/corpus/mail/direct tests/corpus/journal")]
    Read(ReadArgs),
    /// How much memory of a running server an idle session costs.
    #[command(after_help = "Example: connex bench idle --server 127.0.0.1:2525 --process 4711 --sessions 2000")]
    Idle(IdleArgs),
    /// How many verdicts a second the gate gives, with nothing looked up.
    #[command(after_help = "Example: connex bench verdicts --rounds 9")]
    Verdicts(VerdictsArgs),
}

/// Arguments of `connex bench verdicts`.
#[derive(Debug, Args)]
pub struct VerdictsArgs {
    /// Rounds, each with every case in turn.
    #[arg(long, value_name = "COUNT", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// What is sent.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Send under TLS, by STARTTLS. Only with a gateway of its own.
    #[arg(long, conflicts_with = "server")]
    pub tls: bool,
    /// SMTP server to measure; without it, a gateway is started in a folder of its own.
    #[arg(long, value_name = "HOST:PORT", requires = "to")]
    pub server: Option<String>,
    /// Recipient that the server takes mail for.
    #[arg(long, value_name = "ADDRESS", requires = "server")]
    pub to: Option<String>,
    /// A file with the URL of an empty PostgreSQL database to measure on, which is filled; without it, SQLite.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub database: Option<PathBuf>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench pipeline`.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// What is sent.
    #[command(flatten)]
    pub load: LoadArgs,
    /// A file with the URL of an empty PostgreSQL database to measure on, which is filled; without it, SQLite.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Messages of one round.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub messages: u64,
    /// Rounds; with Postfix, each has one of its own beside it.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Connections at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: u32,
    /// Size of one message's text.
    #[arg(long, value_name = "SIZE", default_value = "4KiB", value_parser = size)]
    pub size: u64,
    /// Where smtp-sink listens on loopback.
    #[arg(long, value_name = "PORT", default_value_t = 2_599)]
    pub sink_port: u16,
    /// Folder with the settings of a running Postfix that relays all to the sink, to be measured in turns.
    #[arg(long, value_name = "DIR", requires = "postfix_server")]
    pub postfix: Option<PathBuf>,
    /// Where that Postfix takes mail.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "postfix")]
    pub postfix_server: Option<std::net::SocketAddr>,
    /// A file with the URL of an empty PostgreSQL database to measure on, which is filled; without it, SQLite.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench attack`.
#[derive(Debug, Args)]
pub struct AttackArgs {
    /// Attackers at the same time; each holds one connection, and comes back when it is cut.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub attackers: u32,
    /// Rounds, each without and then with the attackers.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Sessions of the client that sends mail.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub sessions: u32,
    /// Its messages in one half of a round.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub messages: u64,
    /// Its messages a second.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Size of one message's body.
    #[arg(long, value_name = "SIZE", default_value = "10KiB", value_parser = size)]
    pub size: u64,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench bombs`.
#[derive(Debug, Args)]
pub struct BombsArgs {
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench read`.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Messages as .eml files, or folders of them.
    #[arg(value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
    /// Rounds, each with the parser alone and then with events.
    #[arg(long, value_name = "COUNT", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex bench idle`.
#[derive(Debug, Args)]
pub struct IdleArgs {
    /// SMTP server to connect to; one of yours.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: String,
    /// Process of that server, on this machine.
    #[arg(long, value_name = "PID")]
    pub process: u32,
    /// Sessions at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub sessions: u32,
    /// Certificate authority of the server (PEM): the sessions use STARTTLS. Without it they stay in the clear.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What is sent.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Sessions at the same time; each is one connection.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sessions: u32,
    /// Messages in all; in a search for the highest rate, the most of one step.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub messages: u64,
    /// Size of one message's body.
    #[arg(long, value_name = "SIZE", default_value = "10KiB", value_parser = size)]
    pub size: u64,
    /// Messages a second, each at its time whether or not those before are done. Without it: as many as go, or (in
    /// `pipeline`) the highest rate that lasts.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Find out who sent each message, by a name server on loopback that knows the author's domain. Only with a gateway of
    /// its own.
    #[arg(long)]
    pub authentication: bool,
}

impl BenchCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Accept(args) => &args.json,
            Self::Pipeline(args) => &args.json,
            Self::Release(args) => &args.json,
            Self::Attack(args) => &args.json,
            Self::Bombs(args) => &args.json,
            Self::Read(args) => &args.json,
            Self::Idle(args) => &args.json,
            Self::Verdicts(args) => &args.json,
        }
    }
}

/// Measures and shows rate and percentiles.
///
/// # Errors
/// What could not be started or reached.
pub async fn run(command: BenchCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        BenchCommand::Accept(args) => accept::run(args, out).await,
        BenchCommand::Pipeline(args) => pipeline::run(args, out).await,
        BenchCommand::Release(args) => release::run(args, out).await,
        BenchCommand::Attack(args) => attack::run(args, out).await,
        BenchCommand::Bombs(args) => bombs::run(&args, out),
        BenchCommand::Read(args) => read::run(&args, out),
        BenchCommand::Idle(args) => idle::run(args, out).await,
        BenchCommand::Verdicts(args) => verdicts::run(&args, out),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size =
        crate::config::units::parse_size(text).ok_or_else(|| format!("must be {}", crate::config::units::SIZE_FORM))?;
    if size <= LARGEST { Ok(size) } else { Err(format!("must be at most {} MiB", LARGEST >> 20)) }
}

/// Of a message: the defaults of most servers end here.
const LARGEST: u64 = 50 << 20;
