//! Certificates from an ACME authority (RFC 8555): an account, an order, an answer by HTTP-01, a certificate.
//!
//! | file | what it holds |
//! |---|---|
//! | `client` | the account and one order, over the network |
//! | [`answers`] | what a directory may ask about, until it has |
//! | `placeholder` | what is shown before the first certificate |
//! | [`storage`] | account and certificate in a folder |
//! | [`plan`] | when to order, pure |
//!
//! One order names all hosts. Each order has a key of its own. What is stored is for its owner alone.
//!
//! The retry contract: nothing here tries again by itself. Who runs it asks [`plan::next`], which waits from two minutes
//! to six hours, so that the failed orders of an hour stay under what public authorities allow (five).
//!
//! # Security
//! Account key and certificate key are never logged. Answers are given for tokens that a directory gave us, and nothing
//! else is served. The directory's certificate is checked against the public authorities, or one file alone.

pub mod answers;
mod client;
mod placeholder;
pub mod plan;
pub mod storage;

pub use client::{AcmeError, Directory, Obtained};
pub use placeholder::placeholder;
