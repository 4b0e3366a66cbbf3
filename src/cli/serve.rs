//! `connex serve`: run the gateway.

use std::io::IsTerminal as _;

use clap::Args;

use super::installation::open;
use super::user::{link_of_first, told_setup};
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::{App, interrupted, notify};
use crate::telemetry::{Logs, Metrics};

/// Arguments of `connex serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Runs until SIGTERM or SIGINT; SIGHUP has certificates read again.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(args: ServeArgs, out: &mut Output) -> Result<(), CliError> {
    let config = args.data.load()?;
    let _logs = Logs::init(&config.log).map_err(anyhow::Error::new)?;
    let metrics = Metrics::init().map_err(anyhow::Error::new)?;
    let instance = open(&args.data).await?;
    let app = App::start(instance, metrics).await?;
    app.reload_at_hangup().map_err(anyhow::Error::new)?;
    let addresses = app.addresses.clone();
    out.answer(&addresses, |out| {
        let list = |addresses: &[std::net::SocketAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        out.line(&format!("smtp {}  smtps {}", list(&addresses.smtp), list(&addresses.smtps)))?;
        if !(addresses.submission.is_empty() && addresses.submissions.is_empty()) {
            let [clear, tls] = [&addresses.submission, &addresses.submissions].map(|some| list(some));
            out.line(&format!("submission {clear}  submissions {tls}"))?;
        }
        if !addresses.lmtp.is_empty() {
            out.line(&format!("lmtp {}", list(&addresses.lmtp)))?;
        }
        if !addresses.milter.is_empty() {
            out.line(&format!("milter {}", list(&addresses.milter)))?;
        }
        let [http, https, admin] = [&addresses.http, &addresses.https, &addresses.admin].map(|some| list(some));
        out.line(&format!("http {http}  https {https}  admin {admin}"))
    })?;
    if !out.is_json() {
        invite_first(&app, out).await?;
    }
    let stop = interrupted();
    notify::ready();
    let stopping = stop.clone();
    let told = async move {
        stopping.cancelled().await;
        notify::stopping();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = app.run_until(stop) => Ok(ended?),
        () = told => Ok(()),
    }
}

/// Shows a person at a terminal how the first account is made. What goes anywhere else may be kept as a log, and the link is a
/// secret: there it is only said how to get one.
async fn invite_first(app: &App, out: &mut Output) -> Result<(), CliError> {
    if std::io::stdout().is_terminal() {
        if let Some(url) = link_of_first(&app.instance).await? {
            out.line(&told_setup(&url))?;
        }
    } else if !app.instance.store.has_users().await? {
        out.line("Nobody has an account yet: `connex user setup-link` prints the link by which the first one is made")?;
    }
    Ok(())
}
