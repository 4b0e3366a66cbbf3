//! `connex tail`: messages, decisions and deliveries as they happen.

use clap::Args;

use super::installation::{self, open};
use super::output::Tone;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::store::tail::TailLine;

/// Arguments of `connex tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only this tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Begin with this many of the past.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    pub lines: u32,
    /// End after the past instead of following.
    #[arg(long)]
    pub no_follow: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer: with JSON, one object a line.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Runs the command until it is interrupted, or once with `--no-follow`.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(args: TailArgs, out: &mut Output) -> Result<(), CliError> {
    const POLL: std::time::Duration = std::time::Duration::from_millis(200);
    let instance = open(&args.data).await?;
    let mut watched = Vec::new();
    let mut before: Vec<TailLine> = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        let (lines, position) = tenant.tail_newest(args.lines).await?;
        before.extend(lines);
        watched.push((tenant, position));
    }
    before.sort_by(|one, other| one.at.cmp(&other.at));
    let skip = before.len().saturating_sub(usize::try_from(args.lines).unwrap_or(usize::MAX));
    before.iter().skip(skip).try_for_each(|line| show(line, out))?;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    if args.no_follow {
        return Ok(());
    }
    loop {
        for (tenant, position) in &mut watched {
            let (lines, next) = tenant.tail(position.clone()).await?;
            *position = next;
            lines.iter().try_for_each(|line| show(line, out))?;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = &mut interrupted => return Ok(()),
        }
    }
}

fn show(line: &TailLine, out: &mut Output) -> Result<(), CliError> {
    if out.is_json() {
        return out.json_line(line);
    }
    let text = format!("{}  {:<8}  {}  {}", line.at, line.what, line.id, line.summary);
    match line.what {
        "decision" => out.tinted(Tone::Good, &text),
        "message" => out.line(&text),
        _ => out.tinted(Tone::Faint, &text),
    }
}
