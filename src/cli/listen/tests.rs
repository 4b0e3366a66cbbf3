//! Claims about following a stream and forwarding its events.
