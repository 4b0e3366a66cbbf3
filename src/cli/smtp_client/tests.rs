//! The client against a server that says what a script tells it.
