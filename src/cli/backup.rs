//! `connex backup` and `connex restore`: a copy of an installation, made while it runs, and put back.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::backup::{self, BackupError, Summary};
use crate::clock::Clock;

/// Arguments of `connex backup` and `connex restore`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Folder of the backup: for `backup` it must not exist yet, or be empty.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Backs up; the gateway may run meanwhile.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn back_up(args: BackupArgs, out: &mut Output) -> Result<(), CliError> {
    let config = args.data.load()?;
    let now = Clock::System.now().to_string();
    let summary = backup::back_up(&config, now, &args.folder).await?;
    show(&summary, "backed up", out)
}

/// Puts a backup back, into a data folder that does not exist yet.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn restore(args: BackupArgs, out: &mut Output) -> Result<(), CliError> {
    let config = args.data.load()?;
    let summary = backup::restore(&config, &args.folder).await?;
    show(&summary, "restored", out)
}

fn show(summary: &Summary, what: &str, out: &mut Output) -> Result<(), CliError> {
    out.answer(summary, |out| {
        let Summary { folder, files, bytes, has_key } = summary;
        out.line(&format!("{what} to {}: {files} files, {bytes} bytes", folder.display()))?;
        out.line(match has_key {
            true => "The instance key is among them: whoever reads it can open the secrets in the database.",
            false => "There is no instance key yet: the first start makes one.",
        })
    })
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Nothing(path) => Self::NotFound(format!("installation in {}", path.display())),
            BackupError::File { .. } | BackupError::Tool(_) | BackupError::Store(_) => {
                Self::Unreachable(anyhow::Error::new(error))
            }
            _ => Self::Failed(anyhow::Error::new(error)),
        }
    }
}
