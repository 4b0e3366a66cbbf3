//! The `connex` program: see [`connex::cli`].

/// A decision makes many small allocations on several threads; see `docs/benchmarks.md` for what this one saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    connex::cli::main(std::env::args_os())
}
