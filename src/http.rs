//! HTTP surface.
pub mod endpoints;
pub mod error;
pub mod limits;
pub mod shape;
