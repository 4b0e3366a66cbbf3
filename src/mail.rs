//! Vocabulary of mail: addresses, envelopes, and a bounded view of a message.
//!
//! Reading hostile mail never fails here; what is wrong with a message is a defect, kept as data.

pub mod address;
pub mod authentication;
pub mod bounce_path;
pub mod compose;
pub mod copy;
pub mod crlf;
pub mod envelope;
pub mod journal;
pub mod key;
pub mod marks;
pub mod mbox;
pub mod message;
pub mod notice;
pub mod peer;
pub mod reading;
pub mod rendition;
pub mod reply_token;
pub mod retention;
pub mod selection;
pub mod setup;
pub mod submitted;
pub mod text;
pub mod thread;
