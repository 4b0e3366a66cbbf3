//! Use cases that the surfaces and workers share. Here, and nowhere else, rules meet rows.

pub mod settle;
