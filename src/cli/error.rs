//! What goes wrong, for a person: where, what, how to mend it, and the exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::document::Faults;
use crate::scenario::ConfigError;
use crate::study::StudyError;
use crate::trace::TraceError;
use crate::workload::WorkloadError;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// A check found a regression.
    Regression,
    /// The command line or a file can't be used.
    Input,
    /// Done, but some runs failed.
    FailedRuns,
    /// A check that was to be strict could not tell.
    Inconclusive,
    /// Stopped on request; the next start goes on from there.
    Stopped,
    /// Stopped by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// Returns the number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Regression => 1,
            Self::Input => 2,
            Self::FailedRuns => 3,
            Self::Inconclusive => 4,
            Self::Stopped => 75,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error for a person: one line or several, each with what to do about it.
#[derive(Debug)]
pub struct CliError {
    /// Lower case, no full stop; where first.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl CliError {
    /// Makes an error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Prints it to standard error and returns the exit code.
    pub fn report(&self) -> Exit {
        let mut err = io::stderr().lock();
        for line in self.message.lines() {
            let prefix = if line.starts_with("hint:") { "" } else { "error: " };
            // Nobody is left to tell when standard error is closed.
            drop(writeln!(err, "{prefix}{line}"));
        }
        if let Some(hint) = &self.hint {
            drop(writeln!(err, "hint: {hint}"));
        }
        Exit::Input
    }
}

impl From<Faults> for CliError {
    fn from(faults: Faults) -> Self {
        Self::new(faults.to_string())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Io { source, .. } => hint_of(source),
            ConfigError::Faults(_) => None,
        };
        Self { message: error.to_string(), hint }
    }
}

impl From<TraceError> for CliError {
    fn from(error: TraceError) -> Self {
        let hint = match &error {
            TraceError::Io { source, .. } => hint_of(source),
            TraceError::Line { .. } | TraceError::File { .. } => error.hint().map(str::to_owned),
        };
        Self { message: error.to_string(), hint }
    }
}

impl From<WorkloadError> for CliError {
    fn from(error: WorkloadError) -> Self {
        Self { message: error.message, hint: error.hint }
    }
}

impl From<StudyError> for CliError {
    fn from(error: StudyError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { message: error.to_string(), hint }
    }
}

fn hint_of(error: &io::Error) -> Option<String> {
    let missing = error.kind() == io::ErrorKind::NotFound;
    missing.then(|| {
        "paths are taken from the working directory, those in a manifest from the manifest"
            .to_owned()
    })
}
