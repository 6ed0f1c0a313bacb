//! What a run looks like over HTTP.

mod api;
mod client;
mod hostile;
mod states;
mod stream;
