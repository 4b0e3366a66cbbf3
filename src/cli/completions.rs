//! `connex completions`: what a shell needs to complete this command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliError, Output};

/// Arguments of `connex completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that completes.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Writes the shell's script to standard output.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &CompletionsArgs, out: &mut Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "connex", &mut script);
    out.bytes(&script)
}
