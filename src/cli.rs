//! The command line: what can be asked of `connex`, and how it answers.
//!
//! Each command has a file with its arguments and a `run` function that calls the services and shows the result through
//! [`Output`]. Nothing here decides anything, and nothing else prints. Errors leave through [`CliError`], whose kind is
//! the exit code ([`Exit`]).
//!
//! # Security
//! Secrets are never arguments, because other users of the machine can read those. What came by mail is shown with its
//! control characters made visible, so that a message cannot write to the terminal.

pub mod app;
mod audit;
pub mod backup;
pub mod bench;
pub mod check_config;
pub mod completions;
pub mod dev;
pub mod doctor;
mod domain;
pub mod exit;
pub mod explain;
pub mod import;
pub mod inject;
mod inspect;
mod installation;
pub mod instance;
pub mod issuer;
mod key;
pub mod listen;
mod lmtp_client;
pub mod mailbox;
pub mod man;
pub mod messages;
pub mod migrate;
pub mod output;
pub mod place;
pub mod policy;
pub mod route;
pub mod samples;
pub mod send;
mod sending;
pub mod serve;
mod signing;
pub mod smtp_client;
pub mod tail;
pub mod tenant;
pub mod user;
pub mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{CliError, Exit};
pub use output::{Output, Table};
pub use place::{DataArgs, JsonArgs, TenantArgs};

/// Turns real mail into governed work: mail in, signed webhooks out.
#[derive(Debug, Parser)]
#[command(name = "connex", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Example: connex dev\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, \
                        4 fault in the configuration, 5 cannot reach or open something.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway.
    #[command(after_help = "Example: connex serve --config /etc/connex/connex.toml")]
    Serve(serve::ServeArgs),
    /// Run everything on loopback with sample data, to try it out.
    #[command(after_help = "Example: connex dev --dir /tmp/connex --port-base 20000 --no-samples --json")]
    Dev(dev::DevArgs),
    /// Send a message file or a named sample through SMTP.
    #[command(after_help = "Example: connex send proof-of-funds --to sales@connex.localhost")]
    Send(send::SendArgs),
    /// Receive a tenant's events here, and forward each to a URL with its signature.
    #[command(after_help = "Example: connex listen --url http://127.0.0.1:8080 --key-file key.txt \
                            --forward http://127.0.0.1:3000/hooks")]
    Listen(listen::ListenArgs),
    /// Show messages, decisions and deliveries as they happen.
    #[command(after_help = "Example: connex tail --tenant acme")]
    Tail(tail::TailArgs),
    /// Tenants: the customers of this gateway.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex tenant list")]
    Tenant(tenant::TenantCommand),
    /// Apps: the applications that get operations.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex app list --tenant acme")]
    App(app::AppCommand),
    /// Mailboxes: addresses that this gateway owns.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex mailbox list --tenant acme")]
    Mailbox(mailbox::MailboxCommand),
    /// Domains of a tenant, and their proof: mail from and to them is its own.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex domain list --tenant acme")]
    Domain(domain::DomainCommand),
    /// Intake routes: unguessable addresses for copies of mail.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex route list --tenant acme")]
    Route(route::RouteCommand),
    /// Webhook endpoints: where operations are delivered.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex webhook list --tenant acme")]
    Webhook(webhook::WebhookCommand),
    /// What may leave: pauses, suppressed addresses, and the settings that the gate obeys.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex sending status --tenant acme")]
    Sending(sending::SendingCommand),
    /// The policy that the gate obeys: its versions, and what another would have said.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex policy show --tenant acme")]
    Policy(policy::PolicyCommand),
    /// Keys that sign what leaves (DKIM), and their records.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex signing list")]
    Signing(signing::SigningCommand),
    /// Who decided what, and whether that record is whole.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex audit list --tenant acme")]
    Audit(audit::AuditCommand),
    /// API keys.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex key list --tenant acme")]
    Key(key::KeyCommand),
    /// People with an account, who sign in to the console.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex user list --tenant acme")]
    User(user::UserCommand),
    /// Issuers of OpenID Connect whose users decide about a tenant's drafts, in the pages of its app.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex issuer list --tenant acme")]
    Issuer(issuer::IssuerCommand),
    /// Stored messages: their ids, and their exact bytes.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex messages list")]
    Messages(messages::MessagesCommand),
    /// Show the whole chain of one id: session, message, event, decision, operations, deliveries.
    #[command(after_help = "Example: connex explain msg_01kb3r8x7g0000000000000000")]
    Explain(explain::ExplainArgs),
    /// Show how a message file would be read: kind, sender, recipients, direction, trust, defects. Nothing is kept.
    #[command(
        after_help = "Example: connex inspect report.eml --route journal --format exchange --owned acme.example --authorised"
    )]
    Inspect(inspect::InspectArgs),
    /// Take a message from standard input as sendmail does, for mailboxes here.
    #[command(after_help = "Example: connex inject -i -f ann@example.org sales@in.example.org < message.eml\n\n\
                            Exit codes, of sysexits.h: 0 taken, 64 wrong usage, 67 no such recipient, 69 refused, \
                            74 cannot read the message, 75 try again later.")]
    Inject(inject::InjectArgs),
    /// Take old mail out of files: .eml, mbox and Maildir. Nothing follows from it but events.
    #[command(after_help = "Example: connex import --mailbox sales@in.example.org archive.mbox Maildir")]
    Import(import::ImportArgs),
    /// The installation as a whole: its key.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex instance rotate-key")]
    Instance(instance::InstanceCommand),
    /// Bring the database to this version.
    #[command(after_help = "Example: connex migrate --config /etc/connex/connex.toml")]
    Migrate(migrate::MigrateArgs),
    /// Look for what stands between this installation and mail, with a remedy for each finding.
    #[command(after_help = "Example: connex doctor --config /etc/connex/connex.toml --outbound mx.example.org:25")]
    Doctor(doctor::DoctorArgs),
    /// Copy an installation while it runs.
    #[command(after_help = "Example: connex backup /var/backups/connex-monday --config /etc/connex/connex.toml")]
    Backup(backup::BackupArgs),
    /// Put a backup back, into a data folder that does not exist yet.
    #[command(after_help = "Example: connex restore /var/backups/connex-monday --config /etc/connex/connex.toml")]
    Restore(backup::BackupArgs),
    /// Show the effective configuration, or every fault of it.
    #[command(name = "check-config")]
    #[command(after_help = "Example: connex check-config --config /etc/connex/connex.toml --json")]
    CheckConfig(check_config::CheckConfigArgs),
    /// Measure this machine.
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: connex bench accept")]
    Bench(bench::BenchCommand),
    /// Write what a shell needs to complete this command line.
    #[command(after_help = "Example: connex completions bash > /etc/bash_completion.d/connex")]
    Completions(completions::CompletionsArgs),
    /// Write the manual pages.
    #[command(after_help = "Example: connex man --dir /usr/local/share/man/man1")]
    Man(man::ManArgs),
}

impl Command {
    /// Whether the answer is JSON.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        let json = match self {
            Self::Serve(args) => &args.json,
            Self::Dev(args) => &args.json,
            Self::Send(args) => &args.json,
            Self::Listen(args) => &args.json,
            Self::Tail(args) => &args.json,
            Self::Tenant(command) => command.json(),
            Self::App(command) => command.json(),
            Self::Mailbox(command) => command.json(),
            Self::Domain(command) => command.json(),
            Self::Route(command) => command.json(),
            Self::Webhook(command) => command.json(),
            Self::Sending(command) => command.json(),
            Self::Policy(command) => command.json(),
            Self::Signing(command) => command.json(),
            Self::Audit(command) => command.json(),
            Self::Key(command) => command.json(),
            Self::User(command) => command.json(),
            Self::Issuer(command) => command.json(),
            Self::Messages(command) => command.json(),
            Self::Explain(args) => &args.json,
            Self::Inspect(args) => &args.json,
            Self::Inject(args) => &args.json,
            Self::Import(args) => &args.json,
            Self::Instance(command) => command.json(),
            Self::Migrate(args) => &args.json,
            Self::Doctor(args) => &args.json,
            Self::Backup(args) | Self::Restore(args) => &args.json,
            Self::CheckConfig(args) => &args.json,
            Self::Bench(command) => command.json(),
            // Their answer is for a shell or a pager.
            Self::Completions(_) | Self::Man(_) => return false,
        };
        json.json
    }
}

/// Reads the arguments, runs the command, and says how it went.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // Who pipes mail into a program knows the codes of sendmail.
    let usage = if arguments.get(1).is_some_and(|command| command == "inject") { Exit::MailUsage } else { Exit::Usage };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors; clap knows, and where to print them.
            let _ = error.print();
            return if error.use_stderr() { usage.into() } else { Exit::Done.into() };
        }
    };
    let mut out = Output::standard(cli.command.wants_json());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out.fail(&CliError::Unreachable(anyhow::Error::new(error).context("starting threads"))),
    };
    match runtime.block_on(run(cli.command, &mut out)) {
        Ok(()) => Exit::Done.into(),
        Err(error) => out.fail(&error),
    }
}

/// Runs one command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: Command, out: &mut Output) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => serve::run(args, out).await,
        Command::Dev(args) => dev::run(args, out).await,
        Command::Send(args) => send::run(args, out).await,
        Command::Listen(args) => listen::run(args, out).await,
        Command::Tail(args) => tail::run(args, out).await,
        Command::Tenant(command) => tenant::run(command, out).await,
        Command::App(command) => app::run(command, out).await,
        Command::Mailbox(command) => mailbox::run(command, out).await,
        Command::Domain(command) => domain::run(command, out).await,
        Command::Route(command) => route::run(command, out).await,
        Command::Webhook(command) => webhook::run(command, out).await,
        Command::Sending(command) => sending::run(command, out).await,
        Command::Policy(command) => policy::run(command, out).await,
        Command::Signing(command) => signing::run(command, out).await,
        Command::Audit(command) => audit::run(command, out).await,
        Command::Key(command) => key::run(command, out).await,
        Command::User(command) => user::run(command, out).await,
        Command::Issuer(command) => issuer::run(command, out).await,
        Command::Messages(command) => messages::run(command, out).await,
        Command::Explain(args) => explain::run(args, out).await,
        Command::Inspect(args) => inspect::run(&args, out),
        Command::Inject(args) => inject::run(args).await,
        Command::Import(args) => import::run(args, out).await,
        Command::Instance(command) => instance::run(command, out).await,
        Command::Migrate(args) => migrate::run(args, out).await,
        Command::Doctor(args) => doctor::run(args, out).await,
        Command::Backup(args) => backup::back_up(args, out).await,
        Command::Restore(args) => backup::restore(args, out).await,
        Command::CheckConfig(args) => check_config::run(&args, out),
        Command::Bench(command) => bench::run(command, out).await,
        Command::Completions(args) => completions::run(&args, out),
        Command::Man(args) => man::run(&args, out),
    }
}

#[cfg(test)]
mod tests;
