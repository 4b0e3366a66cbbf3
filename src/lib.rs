//! Connex: a self-hosted gateway that turns real mail into governed work.
//!
//! Six layers; a module imports from layers below its own, never above (`tests/architecture.rs` holds the table):
//! vocabulary ([`ids`], [`clock`], [`reach`], [`mail`], [`event`], [`contract`]), rules ([`decide`], [`governance`]), resources and
//! edges ([`store`], [`dns`], [`spool`], [`intake`], [`tls`], [`acme`], [`smtp`], [`milter`], [`mailauth`],
//! [`webhook`], [`oidc`], [`outbound`]), services ([`service`], [`pipeline`]), surfaces ([`http`],
//! [`ui`], and what both know of browsers: [`browser`]) and the root ([`config`], [`telemetry`], [`supervisor`], [`app`], [`cli`]).

pub mod acme;
pub mod app;
pub mod browser;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod contract;
pub mod decide;
pub mod devcert;
pub mod dns;
pub mod event;
pub mod governance;
pub mod http;
pub mod ids;
pub mod intake;
pub mod keys;
pub mod mail;
pub mod mailauth;
pub mod milter;
pub mod oidc;
pub mod outbound;
pub mod pipeline;
pub mod reach;
pub mod seal;
pub mod service;
pub mod smtp;
pub mod spool;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod tls;
pub mod ui;
pub mod webhook;
