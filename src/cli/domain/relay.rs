//! `connex domain relay`: a customer's own server that takes what is sent for a domain.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::super::place::OneArgs;
use super::super::{CliError, JsonArgs, Output};
use super::{beside, one};
use crate::app::domain_desk;
use crate::service::audit::Who;
use crate::service::domains::relay::{DomainRelayView, RelayError, RelayRequest};

/// `connex domain relay …`
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Send all mail of a domain over a server of the customer's, from the next attempt on.
    #[command(
        after_help = "Example: connex domain relay set acme.example --tenant acme --relay smtp.acme.example:587 --user gateway --password-file relay-password"
    )]
    Set(SetArgs),
    /// Show which way mail of a domain goes.
    #[command(after_help = "Example: connex domain relay show acme.example --tenant acme")]
    Show(OneArgs),
    /// Send mail of a domain the way of the gateway again, and forget the relay's password.
    #[command(after_help = "Example: connex domain relay remove acme.example --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex domain relay set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The domain, and whose it is.
    #[command(flatten)]
    pub one: OneArgs,
    /// The server; an IPv6 address stands in brackets.
    #[arg(long, value_name = "HOST:PORT")]
    pub relay: String,
    /// How it is encrypted; the certificate must be one that is believed. Never is for a server without a user.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Tls::Starttls)]
    pub tls: Tls,
    /// The user name there.
    #[arg(long, value_name = "USER", requires = "password_file")]
    pub user: Option<String>,
    /// A file with the user's password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
}

/// How a relay is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// By STARTTLS, or nothing is sent.
    Starttls,
    /// From the first octet.
    Implicit,
    /// Not at all.
    Never,
}

impl RelayCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Set(args) => &args.one.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

pub(super) async fn run(command: RelayCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        RelayCommand::Set(args) => set(args, out).await,
        RelayCommand::Show(args) => {
            let (instance, row) = one(&args).await?;
            show(&domain_desk(&instance.config).relay(&instance.store, &row).await?, out)
        }
        RelayCommand::Remove(args) => {
            let (instance, row) = one(&args).await?;
            show(&domain_desk(&instance.config).remove_relay(&instance.store, &row, Who::Operator).await?, out)
        }
    }
}

async fn set(args: SetArgs, out: &mut Output) -> Result<(), CliError> {
    let password = args.password_file.as_deref().map(first_line).transpose()?;
    let tls = match args.tls {
        Tls::Starttls => "starttls",
        Tls::Implicit => "implicit",
        Tls::Never => "never",
    };
    let request = RelayRequest { relay: args.relay, tls: Some(tls.to_owned()), user: args.user, password };
    let (instance, row) = one(&args.one).await?;
    let desk = domain_desk(&instance.config);
    let set = desk.set_relay(&instance.store, &instance.key, &row, request, Who::Operator).await;
    let view = set.map_err(|error| match error {
        RelayError::Invalid { field, message } => CliError::Usage(format!("--{} {message}", flag(field))),
        RelayError::Store(error) => error.into(),
    })?;
    show(&view, out)
}

/// What the part of a relay is called here.
fn flag(field: &str) -> &str {
    if field == "password" { "password-file" } else { field }
}

/// The password: all of the file but the end of its line.
fn first_line(path: &Path) -> Result<String, CliError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    let text = text.trim_end_matches(['\r', '\n']);
    let is_one = !text.is_empty() && !text.contains(['\r', '\n']);
    is_one.then(|| text.to_owned()).ok_or_else(|| CliError::Usage(format!("{} is not one line", path.display())))
}

fn show(view: &DomainRelayView, out: &mut Output) -> Result<(), CliError> {
    out.answer(view, |out| {
        out.line(&format!("Mail of {} goes {}", beside(&view.domain), shown(&view.route)))?;
        match &view.relay {
            None => out.line("It has no relay of its own: this is the way of the gateway"),
            Some(relay) => {
                let user = relay.user.as_ref().map_or_else(|| "nobody".to_owned(), |user| format!("`{user}`"));
                out.line(&format!("TLS: {}; signs in as {user}; since {}", relay.tls, relay.set_at))
            }
        }
    })
}

/// A route, for people.
pub(super) fn shown(route: &str) -> String {
    match route.strip_prefix("relay:") {
        Some(server) => format!("over the relay {server}"),
        None => "to the recipients' own servers".to_owned(),
    }
}
