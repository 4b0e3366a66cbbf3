//! The real program, driven by real clients over loopback: mail in, events and webhooks out.
//!
//! Every test starts its own `connex` in a folder of its own and stops it by its process id. Nothing is waited for
//! without a deadline, and nothing is waited for by time alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "clients of the product open connections; deadlines are real time")]
#![allow(clippy::print_stderr, reason = "a test that fails shows the log of its gateway")]
#![allow(missing_docs, reason = "test names say what is claimed")]

mod harness;

mod acme;
mod api;
mod attack;
mod authentication;
mod backup;
mod bombs;
mod cli;
mod copies;
mod crash;
mod destinations;
mod disk;
mod doctor;
mod domains;
mod evidence;
mod import;
mod inject;
mod intake;
mod journal;
mod large;
mod learning;
mod lmtp;
mod mail_in;
mod nodes;
mod notices;
mod outages;
mod peers;
mod privacy;
mod providers;
mod readiness;
mod receivers;
mod redecide;
mod refusals;
mod rotation;
mod routes;
mod sending;
mod sent;
mod serve;
mod sign_in;
mod stopped;
mod submission;
mod systemd;
mod tls;
mod told;
mod trouble;
mod users;
mod webhooks;
