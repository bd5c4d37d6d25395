//! Why a run has no numbers.

/// Why a run has no numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of end it came to.
    pub kind: FailureKind,
    /// What happened, for a person.
    pub error: String,
}

/// What kind of end a run came to that has no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Its requests can't be made, or it can't be carried out.
    Failed,
    /// It panicked: our bug.
    Panicked,
    /// It went beyond its limit of events or of simulated time.
    Limited,
    /// It took longer than it may, by the wall clock.
    TimedOut,
    /// What is asked of it beside its numbers could not be written.
    Unwritten,
}

impl Failure {
    /// Makes one of a run that can't be carried out.
    pub fn new(error: impl Into<String>) -> Self {
        Self { kind: FailureKind::Failed, error: error.into() }
    }
}

impl FailureKind {
    /// Returns the value of the column `status`.
    pub fn status(self) -> &'static str {
        match self {
            Self::Failed | Self::Panicked => "failed",
            Self::Limited => "limited",
            Self::TimedOut => "timeout",
            Self::Unwritten => "unwritten",
        }
    }

    /// Returns whether the run may come to another end when it is tried again.
    pub fn is_chance(self) -> bool {
        match self {
            Self::Failed | Self::Limited => false,
            Self::Panicked | Self::TimedOut | Self::Unwritten => true,
        }
    }

    /// Returns whether it lies with the machine: elsewhere, or later, the run may end well. Such a
    /// run is in no table of results; it is missing.
    pub fn is_of_machine(self) -> bool {
        match self {
            Self::TimedOut | Self::Unwritten => true,
            Self::Failed | Self::Panicked | Self::Limited => false,
        }
    }
}
