//! The whole crate seen from outside: one binary, one module per subject.

mod cli;
