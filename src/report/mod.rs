//! Numbers for people: text tables and JSON.

mod sweep;

pub use sweep::{answers_json, sweep_text};
