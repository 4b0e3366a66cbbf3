//! Workers behind the doors: who is known here, what becomes of accepted mail, and how events reach endpoints.
//!
//! Each worker takes its work from rows or from the log and may be killed at any instant; wake-ups are hints.

pub mod deliver;
pub mod domains;
pub mod erasure;
pub mod heads;
pub mod ingest;
pub mod notify;
pub mod questions;
pub mod recipients;
pub mod retention;
mod rounds;
pub mod send;
pub mod signing;
pub mod submissions;
pub mod verdict;
pub mod watch;
