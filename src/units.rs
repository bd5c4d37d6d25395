//! Simulated time and the ids of things.
//!
//! Time is an integer number of picoseconds: every coefficient of a step model is rounded to a
//! whole picosecond once, where the model is built, so sums of steps are exact and results do not
//! depend on the order of additions. A `u64` of picoseconds spans 213 days.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Serialize, Serializer};

/// Picoseconds in one second.
pub const PS_PER_S: u64 = 1_000_000_000_000;
/// Picoseconds in one millisecond.
pub const PS_PER_MS: u64 = 1_000_000_000;
/// Picoseconds in one nanosecond.
pub const PS_PER_NS: u64 = 1_000;

/// The longest time that input may name: 100 days, half of what the clock can count, so that no
/// sum of an arrival and its service wraps.
pub const LONGEST: SimDuration = SimDuration(100 * 86_400 * PS_PER_S);

/// An instant of simulated time, in picoseconds from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

/// An instant that may not have come, in the space of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(SimTime);

impl Stamp {
    /// It has not come.
    pub const NONE: Self = Self(SimTime::MAX);

    /// Returns the instant, if it has come.
    #[inline]
    pub fn get(self) -> Option<SimTime> {
        (self.0 != SimTime::MAX).then_some(self.0)
    }
}

impl Default for Stamp {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<SimTime> for Stamp {
    #[inline]
    fn from(at: SimTime) -> Self {
        Self(at)
    }
}

/// A span of simulated time, in picoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimDuration(u64);

/// A number of seconds that cannot be a span of simulated time.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{seconds} s is not a time between 0 and {} s", LONGEST.as_secs())]
pub struct TimeError {
    /// The refused value, in seconds.
    pub seconds: f64,
}

impl Serialize for SimDuration {
    /// Writes whole picoseconds as text: readers of JSON hold numbers of that size with gaps.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl SimTime {
    /// The start of a run.
    pub const ZERO: Self = Self(0);

    /// After everything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the instant that many picoseconds from the start.
    pub const fn from_ps(ps: u64) -> Self {
        Self(ps)
    }

    /// Returns the picoseconds from the start.
    pub const fn as_ps(self) -> u64 {
        self.0
    }

    /// Returns the milliseconds from the start.
    pub fn as_ms(self) -> f64 {
        SimDuration(self.0).as_ms()
    }

    /// Returns the seconds from the start.
    pub fn as_secs(self) -> f64 {
        SimDuration(self.0).as_secs()
    }

    /// Returns the time since `earlier`.
    ///
    /// # Panics
    ///
    /// When `earlier` is later: the clock of a run never goes back.
    pub fn since(self, earlier: Self) -> SimDuration {
        let ps = self.0.checked_sub(earlier.0);
        SimDuration(ps.expect("simulated time went back"))
    }

    /// Returns the time since `earlier`, or zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
}

impl SimDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Returns a span of that many picoseconds.
    pub const fn from_ps(ps: u64) -> Self {
        Self(ps)
    }

    /// Converts seconds, rounded to the nearest picosecond.
    ///
    /// This is the one place where a float becomes time.
    ///
    /// # Errors
    ///
    /// When `seconds` is not a number, negative, or longer than [`LONGEST`].
    pub fn from_secs(seconds: f64) -> Result<Self, TimeError> {
        let ps = seconds * PS_PER_S as f64;
        if !(0.0..=LONGEST.0 as f64).contains(&ps) {
            return Err(TimeError { seconds });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked"
        )]
        let ps = ps.round() as u64;
        Ok(Self(ps))
    }

    /// Returns the picoseconds.
    pub const fn as_ps(self) -> u64 {
        self.0
    }

    /// Returns the milliseconds.
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / PS_PER_MS as f64
    }

    /// Returns the seconds.
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / PS_PER_S as f64
    }
}

impl Add<SimDuration> for SimTime {
    type Output = Self;

    fn add(self, span: SimDuration) -> Self {
        Self(self.0 + span.0)
    }
}

impl Sub<SimDuration> for SimTime {
    type Output = Self;

    fn sub(self, span: SimDuration) -> Self {
        Self(self.0 - span.0)
    }
}

impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, span: SimDuration) {
        self.0 += span.0;
    }
}

impl Add for SimDuration {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for SimDuration {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.as_ms())
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// Returns the id as an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// Returns the id of the thing at `index`.
            ///
            /// # Panics
            ///
            /// When there are more than `u32::MAX` things; readers refuse such input.
            pub fn at(index: usize) -> Self {
                Self(u32::try_from(index).expect("more things than a u32 can number"))
            }
        }
    };
}

id! {
    /// A request of a workload: its place in the order of arrival.
    RequestId
}
id! {
    /// A backend of the cluster, from 0.
    BackendId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_whole_picoseconds() {
        assert_eq!(SimDuration::from_secs(1.5e-12).unwrap().as_ps(), 2);
        assert_eq!(SimDuration::from_secs(0.02).unwrap().as_ps(), 20 * PS_PER_MS);
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for seconds in [f64::NAN, f64::INFINITY, -1e-9, 9e6] {
            assert!(SimDuration::from_secs(seconds).is_err(), "{seconds}");
        }
    }
}
