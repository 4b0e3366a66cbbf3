//! Connex: a self-hosted gateway that turns real mail into governed work.
//!
//! Six layers; a module imports from layers below its own, never above (`tests/architecture.rs` holds the table):
//! vocabulary ([`ids`], [`clock`], [`mail`], [`event`], [`contract`]), rules ([`decide`], [`governance`]), resources and
//! edges ([`store`], [`dns`], [`spool`], [`smtp`], [`webhook`]), services ([`service`], [`pipeline`]), surfaces ([`http`])
//! and the root ([`config`], [`telemetry`], [`supervisor`], [`app`], [`cli`]).

pub mod clock;
pub mod contract;
pub mod decide;
pub mod event;
pub mod http;
pub mod ids;
pub mod keys;
pub mod mail;
pub mod service;
pub mod store;
