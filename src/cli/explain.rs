//! `connex explain`: the whole chain of one id.

use clap::Args;

use super::installation::{self, open};
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::store::StoreError;

/// Arguments of `connex explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Id of a message, event, decision, operation, task, draft, approval, release or delivery.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(args: ExplainArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    for (_, tenant) in installation::tenants(&instance, None).await? {
        match tenant.explain(&args.id).await {
            Ok(chain) => {
                let text = serde_json::to_string_pretty(&chain).map_err(anyhow::Error::new)?;
                return out.answer(&chain, |out| text.lines().try_for_each(|line| out.line(line)));
            }
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CliError::NotFound(format!(
        "message, event, decision, operation, task, draft, approval, release or delivery `{}`",
        args.id
    )))
}
