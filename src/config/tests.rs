//! Claims about configuration.
