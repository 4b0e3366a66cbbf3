//! Handlers, one file per group of endpoints. Each parses, calls one use case, and shapes the reply.

pub mod attachments;
pub mod contracts;
pub mod decisions;
pub mod deliveries;
pub mod documents;
pub mod domains;
pub mod drafts;
pub mod evaluate;
pub mod events;
pub mod evidence;
pub mod figures;
pub mod intake;
pub mod intake_routes;
pub mod keys;
pub mod messages;
pub mod outcomes;
pub mod people;
pub mod sending;
pub mod uploads;
