//! `connex instance`: what belongs to the installation as a whole.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::instance::key;
use crate::app::instance::rotation::{self, Rotated};
use crate::app::{AppError, open_store};
use crate::clock::Clock;

/// `connex instance …`
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// Change the instance key: what it locks is locked anew, and once the old key is given up, new mail has a new data key.
    ///
    /// Nothing that was sealed is written again; API keys, webhook secrets, reply and route addresses stay as they are. Gateways
    /// may run meanwhile. After an interruption, the same command goes on.
    #[command(
        name = "rotate-key",
        after_help = "Example: connex instance rotate-key --config /etc/connex/connex.toml\n\
                      Example: connex instance rotate-key --new-secret-file /etc/connex/instance-secret.new\n\
                      Example: connex instance rotate-key --finish"
    )]
    RotateKey(RotateKeyArgs),
}

/// Arguments of `connex instance rotate-key`.
#[derive(Debug, Args)]
pub struct RotateKeyArgs {
    /// File with the new key, at least 32 characters; needed where the configuration names the key. Without it, one is drawn.
    #[arg(long, value_name = "FILE", conflicts_with = "finish")]
    pub new_secret_file: Option<PathBuf>,
    /// Give up the old key, once every node and the configuration have the new one.
    #[arg(long)]
    pub finish: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl InstanceCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        let Self::RotateKey(args) = self;
        &args.json
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: InstanceCommand, out: &mut Output) -> Result<(), CliError> {
    let InstanceCommand::RotateKey(args) = command;
    let config = args.data.load()?;
    let text = args.new_secret_file.as_ref().map(|path| key::text_in(path)).transpose()?;
    let store = open_store(&config.database, Clock::System).await.map_err(AppError::Store)?;
    let rotated = match args.finish {
        true => rotation::finish(&config, &store).await,
        false => rotation::begin(&config, &store, text.as_deref()).await,
    };
    store.close().await;
    let (state, key, line) = match rotated? {
        Rotated::Done(key) => (
            "done",
            Some(key),
            "The instance key was changed, and the old one opens this installation no longer. Back up the new one now; a backup from before needs the old one, which is in it.",
        ),
        Rotated::Prepared(key) => (
            "prepared",
            Some(key),
            "Old and new key both open this installation now. Put the new one in place on every node and where the configuration has it, start the gateways again, one after the other, and then run `connex instance rotate-key --finish`.",
        ),
        Rotated::Nothing => ("nothing", None, "One key alone opens this installation: there is nothing to finish."),
    };
    out.answer(&json!({ "state": state, "key": key }), |out| out.line(line))
}
