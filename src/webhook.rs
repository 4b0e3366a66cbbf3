//! Webhooks: events leave as signed HTTP requests.
//!
//! [`endpoint`] decides where they may go, [`sign`] signs them with [`secrets`], [`request`] is what goes out, [`deliver`] makes one attempt, [`outcome`] reads its
//! answer, [`retry`] says when it is tried again and [`health`] how the endpoint is doing. [`receiver`] is the other end, for demonstrations and tests.
//! Nothing here knows the database: whoever owns the rows calls [`deliver::WebhookClient::attempt`], stores what
//! [`outcome`] and [`retry`] say, and never calls for an endpoint twice at a time when its breaker allows one probe.
//!
//! Standards: Standard Webhooks 1.0.0, RFC 9110 (status codes, Retry-After).
//!
//! # Security
//! The client opens only a [`endpoint::PublicUrl`], dials only addresses that were judged at that moment, follows no
//! redirect, uses no proxy and reads at most 16 KiB of an answer. Secrets of customers are cut out of what is kept.
//!
//! # Retries
//! Delivery is at least once under one id: an attempt whose answer was lost is made again. Ten attempts over three
//! days ([`retry::Schedule`]), a breaker per endpoint, and an endpoint that failed for five days is disabled, which
//! holds its deliveries and drops none.

pub mod deliver;
pub mod endpoint;
pub mod fetch;
pub mod health;
pub mod outcome;
pub mod receiver;
pub mod request;
pub mod retry;
pub mod secrets;
pub mod sign;

mod connect;
mod excerpt;

pub(crate) use connect::tls as client_tls;
