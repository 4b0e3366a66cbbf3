//! The `connex` program: see [`connex::cli`].

fn main() -> std::process::ExitCode {
    connex::cli::main(std::env::args_os())
}
