//! Released messages leave: signed with DKIM, routed by DNS or to a relay, and handed over by SMTP.
//!
//! [`sign`] turns a released message into the one value that [`wire`] sends, [`route`] says where to, [`sts`] and [`dane`] what
//! the receiving domain asks of TLS, [`attempt`] what came of each recipient, and [`retry`] when the next try is due. [`pool`]
//! has the connections between two messages, and [`destination`] counts those to one domain.
//! [`dialogue`] is the client's side of SMTP as a state machine without IO. Nothing here knows the database: the caller
//! commits the begin of the end of data when [`wire::send`] asks for it, and stores what comes back.
//!
//! It must never send what governance did not release, send anything twice, or write the final dot before the caller
//! has recorded that it is about to be written.
//!
//! Standards: RFC 5321 (SMTP), RFC 6376, RFC 8301 and RFC 8463 (DKIM), RFC 7505 (null MX), RFC 8461 (MTA-STS),
//! RFC 7435 (opportunistic TLS), RFC 7672 (DANE).
//!
//! # Security
//! A recipient's domain chooses names and addresses. Only public addresses are dialled, or those that the operator
//! opened; replies, waiting times and the number of hosts are bounded.

pub mod attempt;
pub mod dane;
pub mod destination;
pub mod dialogue;
pub mod keys;
pub mod pool;
pub mod reply;
pub mod retry;
pub mod route;
pub mod sign;
pub mod sts;
pub mod tls;
pub mod wire;

mod canonical;
mod data;
#[cfg(test)]
mod tests;
