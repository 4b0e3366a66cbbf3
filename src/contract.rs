//! The public JSON contract: what apps send and what they are told, in one set of types.
//!
//! HTTP API, webhooks, streams and the command line all use these types, so that one meaning has one spelling. JSON is
//! camelCase, enum values are snake_case. Scores, weights and thresholds have no field here, on purpose.

pub mod answer;
pub mod request;
pub mod steps;
pub mod webhook;
