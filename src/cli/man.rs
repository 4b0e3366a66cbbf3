//! `connex man`: the manual pages, made from the definition of the command line.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Cli, CliError, Output};

/// Arguments of `connex man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for a page of each command; made where it is not there. Without it, the page of connex goes to standard output.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// When they cannot be written.
pub fn run(args: &ManArgs, out: &mut Output) -> Result<(), CliError> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        return out.bytes(&page);
    };
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.with_context(|| format!("{} cannot be written to", dir.display())).map_err(CliError::Unreachable)?;
    out.line(&format!("Wrote the manual pages to {}", dir.display()))
}
