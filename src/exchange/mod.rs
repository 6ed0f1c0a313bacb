//! The practice exchange.
