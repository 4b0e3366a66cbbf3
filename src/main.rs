//! The `connex` program: see [`connex::cli`].

fn main() {}
