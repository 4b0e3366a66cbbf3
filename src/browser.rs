//! What every surface knows of browsers: the cookies that they keep for us ([`cookie`]), and whether a request comes from a
//! page of ours ([`origin`]).

pub mod cookie;
pub mod origin;
