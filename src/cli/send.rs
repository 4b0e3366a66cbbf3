//! `connex send`: a message through real SMTP, as any client would send it.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::samples::{SAMPLES, Sample};
use super::smtp_client::{Accepted, MessageData, Security, ServerName, Settings, SmtpClient, SmtpError, Transaction};
use super::smtp_client::{InvalidAuthority, TrustedRoots};
use super::{CliError, DataArgs, JsonArgs, Output, Table};
use crate::app::open_store;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::message::{Limits, read};

/// Arguments of `connex send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// A message file (RFC 5322), `-` for standard input, or the name of a sample.
    #[arg(value_name = "FILE|SAMPLE", required_unless_present = "list_samples")]
    pub message: Option<String>,
    /// Recipient; again for more. Without it, the first mailbox of this installation.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// Reverse-path; `<>` for none. Without it, the author of the message.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// SMTP server; without it, the first address of smtp.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Certificate authority to trust (PEM), and no other; TLS is then required. Without it, the public ones and the
    /// development one beside tls.cert_file.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// List the samples instead.
    #[arg(long)]
    pub list_samples: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Sends one message and shows the reply.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn run(args: SendArgs, out: &mut Output) -> Result<(), CliError> {
    if args.list_samples {
        return list_samples(out);
    }
    let config = args.data.load()?;
    let source = Source::find(args.message.as_deref().unwrap_or_default()).await?;
    let to = recipients(&args.to, &config).await?;
    let message = match (source, to.first()) {
        (Source::Bytes(bytes), _) => bytes,
        (Source::Sample(sample), Some(first)) => sample.message(first, &Clock::System),
        (Source::Sample(_), None) => return Err(CliError::Usage("a recipient is missing: add --to ADDRESS".into())),
    };
    let from = reverse_path(args.from.as_deref(), &message)?;
    let server = server(args.server.as_deref(), &config)?;
    let settings = Settings::new(security(&args, &config)?);

    let mut client = SmtpClient::connect(&server, &settings).await?;
    let is_encrypted = client.is_encrypted();
    let data = MessageData::new(&message);
    let result = client.send(Transaction { reverse_path: &from, forward_paths: &to, data: &data }).await;
    client.quit().await;
    show(&result?, &server, is_encrypted, out)
}

impl From<SmtpError> for CliError {
    fn from(error: SmtpError) -> Self {
        let is_unreachable = error.is_unreachable();
        let error = anyhow::Error::new(error);
        if is_unreachable { Self::Unreachable(error) } else { Self::Failed(error) }
    }
}

impl From<InvalidAuthority> for CliError {
    fn from(error: InvalidAuthority) -> Self {
        Self::Unreachable(anyhow::Error::new(error))
    }
}

/// What to connect to and how, for the installation that `config` describes: its first SMTP address, with TLS when it
/// has a certificate, believing its development authority where there is one.
///
/// # Errors
/// [`CliError::Usage`] when it listens nowhere; [`CliError::Unreachable`] when the authority cannot be read.
pub fn own_server(config: &Config) -> Result<(ServerName, Settings), CliError> {
    Ok((server(None, config)?, Settings::new(own_security(config)?)))
}

/// Where the message comes from.
enum Source {
    Bytes(Vec<u8>),
    Sample(&'static Sample),
}

impl Source {
    async fn find(name: &str) -> Result<Self, CliError> {
        if name == "-" {
            return bounded(std::io::stdin(), "standard input").await.map(Self::Bytes);
        }
        match std::fs::File::open(name) {
            Ok(file) => bounded(file, name).await.map(Self::Bytes),
            Err(error) => match Sample::named(name) {
                Some(sample) => Ok(Self::Sample(sample)),
                None if error.kind() == std::io::ErrorKind::NotFound => {
                    let known: Vec<_> = SAMPLES.iter().map(|sample| sample.name).collect();
                    Err(CliError::NotFound(format!("file or sample `{name}`; samples: {}", known.join(", "))))
                }
                None => Err(unreadable(name, error)),
            },
        }
    }
}

async fn bounded(from: impl Read + Send + 'static, name: &str) -> Result<Vec<u8>, CliError> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        from.take(LARGEST + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = reading.await.map_err(anyhow::Error::new)?.map_err(|error| unreadable(name, error))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LARGEST => Ok(bytes),
        _ => Err(CliError::failed(format!("{name} is larger than {} MiB", LARGEST >> 20))),
    }
}

fn unreadable(name: &str, error: std::io::Error) -> CliError {
    CliError::Unreachable(anyhow::Error::new(error).context(format!("reading {name}")))
}

/// Of a message to be sent; more than any server takes.
const LARGEST: u64 = 512 << 20;

async fn recipients(given: &[String], config: &Config) -> Result<Vec<Mailbox>, CliError> {
    if given.is_empty() {
        return Ok(vec![first_mailbox(config).await?]);
    }
    given.iter().map(|text| address(text, "--to")).collect()
}

fn address(text: &str, argument: &str) -> Result<Mailbox, CliError> {
    Mailbox::parse(text).map_err(|error| CliError::Usage(format!("{argument} {text}: {error}")))
}

/// The oldest mailbox of this installation, the operator's own apart.
async fn first_mailbox(config: &Config) -> Result<Mailbox, CliError> {
    let missing = || CliError::Usage("this installation has no mailbox yet: name a recipient with --to ADDRESS".into());
    // Looking for a recipient must not make a database.
    if let Database::Sqlite { file } = &config.database
        && !file.is_file()
    {
        return Err(missing());
    }
    let store = open_store(&config.database, Clock::System).await?;
    let mut first = None;
    for tenant in store.tenants().await? {
        let mailboxes = store.for_tenant(tenant.id).mailboxes().await?;
        let is_own = |address: &Mailbox| !matches!(address.local(), "postmaster" | "abuse");
        first = mailboxes.iter().filter_map(|row| Mailbox::parse(&row.address).ok()).find(is_own);
        if first.is_some() {
            break;
        }
    }
    store.close().await;
    first.ok_or_else(missing)
}

fn reverse_path(given: Option<&str>, message: &[u8]) -> Result<ReversePath, CliError> {
    match given {
        Some("" | "<>") => Ok(ReversePath::Null),
        Some(text) => address(text, "--from").map(ReversePath::Mailbox),
        None => match read(message, &Limits::default()).author.and_then(|author| author.mailbox) {
            Some(author) => Ok(ReversePath::Mailbox(author)),
            None => Err(CliError::Usage("the message names no author: add --from ADDRESS, or --from '<>'".into())),
        },
    }
}

fn server(given: Option<&str>, config: &Config) -> Result<ServerName, CliError> {
    if let Some(text) = given {
        return text.parse().map_err(|error| CliError::Usage(format!("--server {text}: {error}")));
    }
    let first = config.smtp.listen.first();
    let mut address =
        *first.ok_or_else(|| CliError::Usage("smtp.listen is empty: name a server with --server HOST:PORT".into()))?;
    if address.ip().is_unspecified() {
        // "Every address" is heard on loopback as well.
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address.into())
}

fn security(args: &SendArgs, config: &Config) -> Result<Security, CliError> {
    match (&args.ca_file, &args.server) {
        (Some(file), _) => Ok(Security::Required(TrustedRoots::only(file)?)),
        (None, None) => own_security(config),
        (None, Some(_)) => Ok(Security::IfOffered(roots(config)?)),
    }
}

fn own_security(config: &Config) -> Result<Security, CliError> {
    if config.has_tls() { Ok(Security::Required(roots(config)?)) } else { Ok(Security::Plain) }
}

/// The public authorities, and the development one where there is one.
fn roots(config: &Config) -> Result<TrustedRoots, InvalidAuthority> {
    let own = config.tls.own.first().map(|pair| pair.cert_file.parent().unwrap_or(Path::new("")).join("ca.pem"));
    match own.filter(|file| file.is_file()) {
        Some(file) => TrustedRoots::public_and(&file),
        None => TrustedRoots::public(),
    }
}

/// The answer of `connex send`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    server: String,
    tls: bool,
    reply: String,
    /// Ours; null from other servers.
    message_id: Option<String>,
    refused: Vec<RefusedRecipient>,
}

#[derive(Serialize)]
struct RefusedRecipient {
    recipient: String,
    reply: String,
}

fn show(accepted: &Accepted, server: &ServerName, tls: bool, out: &mut Output) -> Result<(), CliError> {
    let refused = accepted
        .refused
        .iter()
        .map(|(mailbox, reply)| RefusedRecipient { recipient: mailbox.to_string(), reply: reply.to_string() });
    let sent = Sent {
        server: server.to_string(),
        tls,
        reply: accepted.reply.to_string(),
        message_id: accepted.message_id().map(|id| id.to_string()),
        refused: refused.collect(),
    };
    out.answer(&sent, |out| {
        out.line(&format!("{} ({})", sent.reply, if tls { "STARTTLS" } else { "not encrypted" }))?;
        for refused in &sent.refused {
            out.line(&format!("refused: {}: {}", refused.recipient, refused.reply))?;
        }
        match &sent.message_id {
            Some(id) => out.line(&format!("next: connex explain {id}")),
            None => Ok(()),
        }
    })?;
    match sent.refused.len() {
        0 => Ok(()),
        count => Err(CliError::failed(format!("{count} recipients were refused; the others have the message"))),
    }
}

fn list_samples(out: &mut Output) -> Result<(), CliError> {
    let names: Vec<_> = SAMPLES
        .iter()
        .map(|sample| serde_json::json!({ "name": sample.name, "about": sample.about, "isCopy": sample.is_copy }))
        .collect();
    out.answer(&serde_json::json!({ "samples": names }), |out| {
        let mut table = Table::new(["NAME", "WHAT IT IS"]);
        for sample in SAMPLES {
            table.row([sample.name.to_owned(), sample.about.to_owned()]);
        }
        out.table(&table)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, Exit};
    use clap::Parser;

    async fn send(arguments: &[&str], message: &str) -> CliError {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("message.eml");
        std::fs::write(&file, message).unwrap();
        let words = ["connex", "send", "--dir", folder.path().to_str().unwrap(), file.to_str().unwrap()];
        let Command::Send(args) = Cli::try_parse_from(words.iter().chain(arguments)).unwrap().command else { panic!() };
        let mut out = Output::to(false, Box::new(std::io::sink()), Box::new(std::io::sink()));
        run(args, &mut out).await.unwrap_err()
    }

    #[tokio::test]
    async fn each_failure_has_its_exit_code() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let to = ["--to", "b@b.example", "--server", &closed];
        let message = "From: a@a.example\r\n\r\nx";
        assert_eq!(send(&to, message).await.exit(), Exit::Unreachable);
        assert_eq!(send(&to, "Subject: nobody wrote this\r\n\r\nx").await.exit(), Exit::Usage);
        assert_eq!(send(&["--to", "b@b.example\r\nRCPT TO:<c@c.example>"], message).await.exit(), Exit::Usage);
        assert_eq!(send(&["--to", "b@b.example", "--server", "nowhere"], message).await.exit(), Exit::Usage);
        assert_eq!(send(&[], message).await.exit(), Exit::Usage, "there is no mailbox");
        assert!(Source::find("no-such-sample").await.is_err_and(|error| error.exit() == Exit::NotFound));
    }

    #[test]
    fn mail_to_every_address_goes_to_loopback() {
        let config = crate::config::Loader::new().set("test", "smtp.listen", "[::]:2525").load().unwrap();
        assert_eq!(server(None, &config).unwrap().to_string(), "[::1]:2525");
        assert!(matches!(own_security(&config), Ok(Security::Plain)));
    }
}
