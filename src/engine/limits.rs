//! How far a run may go.

use std::fmt;

use crate::cluster::HORIZON;
use crate::units::{SimDuration, SimTime};

/// The fewest arrivals between two looks at the limits, and those for each backend: a look visits
/// all of them.
const ARRIVALS_A_LOOK: u64 = 1_024;
const ARRIVALS_A_BACKEND: u64 = 8;

/// The first stretch of simulated time between two looks after the last arrival. It doubles until
/// a stretch has [`EVENTS_A_LOOK`].
const FIRST_STRETCH: SimDuration = SimDuration::from_ps(1_000_000_000);
const EVENTS_A_LOOK: u64 = 10_000;

/// How far a run may go; without limits, to its end.
///
/// Bounds on events and simulated time are exact: a run is cut if and only if the whole run has
/// more events, or ends later. When it is noticed depends on the run alone, so a run that is cut
/// twice is cut for the same reason.
#[derive(Clone, Copy, Default)]
pub struct Limits<'a> {
    /// The most events that the run may have, counted as in
    /// [`RunRecord::events`](super::RunRecord::events).
    pub max_events: Option<u64>,
    /// The last instant, from the start of the run, at which something may happen.
    pub max_simulated: Option<SimDuration>,
    /// Asked now and then, every thousand requests or so; the run is cut when it says no. This is
    /// where a clock can come in: the engine has none.
    pub goes_on: Option<&'a dyn Fn() -> bool>,
}

/// Why a run was cut before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It has more events than this.
    Events(u64),
    /// Something happens later than this after its start.
    SimulatedTime(SimDuration),
    /// It was told not to go on.
    Asked,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(most) => write!(f, "the run has more than {most} events"),
            Self::SimulatedTime(most) => {
                write!(f, "the run goes on beyond {} simulated seconds", most.as_secs())
            }
            Self::Asked => f.write_str("the run was told not to go on"),
        }
    }
}

impl fmt::Debug for Limits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("max_events", &self.max_events)
            .field("max_simulated", &self.max_simulated)
            .field("goes_on", &self.goes_on.is_some())
            .finish()
    }
}

impl Limits<'_> {
    /// The last instant at which something may happen.
    pub(super) fn end(&self) -> SimTime {
        let own = self.max_simulated.map_or(u64::MAX, SimDuration::as_ps);
        HORIZON.min(SimTime::from_ps(own))
    }

    /// Says whether a run with so many events so far may go on.
    pub(super) fn check(&self, events: impl Fn() -> u64) -> Result<(), Cut> {
        if let Some(most) = self.max_events
            && events() > most
        {
            return Err(Cut::Events(most));
        }
        match self.goes_on {
            Some(goes_on) if !goes_on() => Err(Cut::Asked),
            _ => Ok(()),
        }
    }

    /// After how many arrivals to look: never, when there is nothing to look at.
    pub(super) fn arrivals_a_look(&self, num_backends: usize) -> u64 {
        if self.is_watched() {
            ARRIVALS_A_LOOK.max(ARRIVALS_A_BACKEND * num_backends as u64)
        } else {
            u64::MAX
        }
    }

    /// The stretches of simulated time between looks.
    pub(super) fn stretches(&self) -> Stretches {
        let first = if self.is_watched() { FIRST_STRETCH.as_ps() } else { u64::MAX };
        Stretches { ps: first, events: 0 }
    }

    fn is_watched(&self) -> bool {
        self.max_events.is_some() || self.goes_on.is_some()
    }
}

/// Stretches of simulated time that have about as many events each.
pub(super) struct Stretches {
    ps: u64,
    events: u64,
}

impl Stretches {
    /// Returns the end of the next stretch after `from`, which is no later than `last`.
    pub(super) fn next(&self, from: SimTime, last: SimTime) -> SimTime {
        SimTime::from_ps(from.as_ps().saturating_add(self.ps)).min(last)
    }

    /// Learns how many events there are at the end of a stretch.
    pub(super) fn learn(&mut self, events: u64) {
        if events - self.events < EVENTS_A_LOOK {
            self.ps = self.ps.saturating_mul(2);
        }
        self.events = events;
    }
}
