//! `connex doctor`: what stands between this installation and mail, with a remedy for each finding.
//!
//! It changes nothing but a scratch file, and connects to nobody but the name servers and database of the configuration,
//! and what `--outbound` and `--time-server` name.

mod certificates;
mod clock;
mod disk;
mod facts;
mod key;
mod names;
mod notices;
mod report;

use clap::Args;

use super::output::Tone;
use super::{CliError, DataArgs, JsonArgs, Output};
use report::{Finding, Level};

/// Arguments of `connex doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also connect to this mail server, such as mx.example.org:25: many networks block port 25 to the outside.
    #[arg(long, value_name = "HOST:PORT")]
    pub outbound: Option<String>,
    /// Also compare the clock with this time server, such as pool.ntp.org (NTP, UDP port 123).
    #[arg(long, value_name = "HOST[:PORT]")]
    pub time_server: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Looks at everything and shows what it found.
///
/// # Errors
/// A fault of the configuration; or that there are problems, which are shown before.
pub async fn run(args: DoctorArgs, out: &mut Output) -> Result<(), CliError> {
    let config = args.data.load()?;
    let findings = facts::gather(&config, args.outbound.as_deref(), args.time_server.as_deref()).await;
    let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
    let answer = serde_json::json!({ "ok": problems == 0, "findings": findings });
    out.answer(&answer, |out| findings.iter().try_for_each(|finding| show(finding, out)))?;
    if problems == 0 { Ok(()) } else { Err(CliError::failed(format!("{problems} problems, see above"))) }
}

fn show(finding: &Finding, out: &mut Output) -> Result<(), CliError> {
    let (word, tone) = match finding.level {
        Level::Good => ("ok      ", Tone::Good),
        Level::Note => ("note    ", Tone::Faint),
        Level::Problem => ("PROBLEM ", Tone::Bad),
    };
    out.tinted(tone, &format!("{word} {:<12} {}", finding.check, finding.what))?;
    match &finding.remedy {
        Some(remedy) => out.line(&format!("{:22}{remedy}", "")),
        None => Ok(()),
    }
}
