//! The one way to the disk.

/// The operating system's files, or a simulated disk for tests.
#[derive(Debug, Clone)]
pub enum Files {
    /// The operating system's files.
    Real,
}
