//! The search for the highest load that keeps its objectives.
//!
//! Candidates are loads in ascending order, such as the values of an axis of rates. The search
//! looks at few of them: first from the lowest up, twice as far each time, under a few seeds, until
//! one fails, then at the middle of what is left. Around that place it looks at candidates under
//! more seeds, the same for each, and takes the interval from them: the loads at which a test of
//! "the mean is the limit" does not reject. Seeds are added until the interval is narrow enough.
//!
//! It keeps no state. It is a function of what is known of the runs: where it needs one that is not
//! known it ends and says so, and begins anew when more is known. So it goes on after a stop, on
//! another machine, or with the runs of another manifest, wherever they come from.

use std::collections::BTreeSet;

use crate::stats::{
    BandPoint, Crossing, Moments, band_crossing, simultaneous_confidence, t_interval,
};
use crate::tables::TableError;

/// Seeds under which the neighbourhood is looked for.
const FEW_SEEDS: usize = 2;
/// So many candidates are near one another: seeds are better spent there than on halving.
const NEAR: usize = 4;
/// Between candidates so far apart a straight line is good enough.
const STRAIGHT: usize = 2;
/// Seeds grow by so much at most from one look to the next: a variance of few of them may be far
/// off.
const MOST_GROWTH: usize = 3;
/// More seeds than the variance asks for, as the next one may be larger.
const RESERVE: f64 = 1.15;

/// What the search goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Precision {
    /// The fewest seeds that an interval is taken from.
    pub min_seeds: usize,
    /// The most seeds of a candidate.
    pub max_seeds: usize,
    /// The width of the interval over the estimate at which it is narrow enough.
    pub relative_width: f64,
    /// Confidence of the interval.
    pub confidence: f64,
    /// Whether there is something between two candidates, as between rates; else as between numbers
    /// of backends.
    pub is_continuous: bool,
}

/// What the runs of one candidate say of one objective. More is worse: a share that must not be
/// below a limit is turned around, with its limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    /// A value a seed, in the order of the seeds; none at all when it holds whatever the load is.
    Values(Vec<f64>),
    /// It is infinite under some seed.
    Lost,
}

/// What the runs of one candidate say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// They have ended: what they say of each objective.
    Seen(Vec<Reading>),
    /// A run of it failed.
    Failed,
}

/// Why a search did not end.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// Runs that it looked at are not known.
    Missing,
    /// What was to be read is no table of results.
    Table(TableError),
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The interval is as narrow as was asked for.
    Resolved,
    /// The most seeds are used up, and the interval is wider.
    Unresolved,
    /// The highest candidate keeps the objectives.
    AboveMax,
    /// Not even the lowest does.
    BelowMin,
    /// A run that was looked at failed.
    Failed,
}

impl Status {
    /// Returns its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Unresolved => "unresolved",
            Self::AboveMax => "above_max",
            Self::BelowMin => "below_min",
            Self::Failed => "failed",
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How it ended.
    pub status: Status,
    /// The load at which the means leave the limits first; none outside of the candidates.
    pub estimate: Option<f64>,
    /// The lower end of its interval; none when it is below all candidates.
    pub lo: Option<f64>,
    /// The upper end; none when it is above all candidates.
    pub hi: Option<f64>,
    /// The objective that is left first, by its place.
    pub limiting: Option<usize>,
    /// Whether no candidate holds beyond one that surely does not: else the objectives do not get
    /// worse with the load, and there is no one capacity.
    pub is_monotone: bool,
    /// Seeds of each candidate that the interval is taken from.
    pub seeds: usize,
    /// These candidates.
    pub near: Vec<usize>,
}

/// Gives what some candidates say under so many seeds.
type See<'a> = dyn Fn(&[usize], usize) -> Result<Vec<Look>, Unfinished> + 'a;

/// A search over candidates, before it is made.
pub(super) struct Search<'a> {
    /// The loads, ascending.
    pub loads: &'a [f64],
    /// The limits of the objectives, in their order.
    pub limits: &'a [f64],
    /// What it goes by.
    pub precision: Precision,
}

impl Search<'_> {
    /// Searches; `look` gives what the first so many seeds of a candidate say, and none when a run
    /// of them is not known. All that the search needs next is looked at before it ends.
    ///
    /// # Errors
    ///
    /// When a run is not known, or `look` fails.
    pub(super) fn run(
        &self,
        look: &dyn Fn(usize, usize) -> Result<Option<Look>, TableError>,
    ) -> Result<Found, Unfinished> {
        let see = |candidates: &[usize], seeds: usize| {
            let seen = candidates.iter().map(|at| look(*at, seeds));
            let seen: Vec<Option<Look>> =
                seen.collect::<Result<_, _>>().map_err(Unfinished::Table)?;
            seen.into_iter().collect::<Option<Vec<Look>>>().ok_or(Unfinished::Missing)
        };
        match self.neighbourhood(&see)? {
            Some((low, high)) => self.settle(&see, low, high),
            None => Ok(self.failed(FEW_SEEDS, Vec::new())),
        }
    }

    /// Finds two candidates, near one another, of which the lower seems to hold and the upper does
    /// not, or the last one twice; none when a run failed.
    fn neighbourhood(&self, see: &See<'_>) -> Result<Option<(usize, usize)>, Unfinished> {
        let last = self.loads.len() - 1;
        let seeds = FEW_SEEDS.min(self.precision.max_seeds);
        let (mut low, mut high) = (None, None);
        let mut at = 0;
        loop {
            match self.holds(&see(&[at], seeds)?[0]) {
                None => return Ok(None),
                Some(true) => low = Some(at),
                Some(false) => high = Some(at),
            }
            at = match (low, high) {
                (None, Some(_)) => return Ok(Some((0, 0))),
                (Some(low), None) if low == last => return Ok(Some((last, last))),
                (Some(low), None) => self.doubled(low),
                (Some(low), Some(high)) if high - low <= NEAR => return Ok(Some((low, high))),
                (Some(low), Some(high)) => low.midpoint(high),
                (None, None) => unreachable!("a candidate holds or does not"),
            };
        }
    }

    /// The candidate of about twice the load.
    fn doubled(&self, from: usize) -> usize {
        let twice = 2.0 * self.loads[from];
        let next = self.loads.partition_point(|load| *load <= twice);
        next.saturating_sub(1).clamp(from + 1, self.loads.len() - 1)
    }

    /// Whether all means are within their limits; none when a run failed.
    fn holds(&self, look: &Look) -> Option<bool> {
        let Look::Seen(readings) = look else { return None };
        let within = |(reading, limit): (&Reading, &f64)| match reading {
            Reading::Values(values) => Moments::of(values).mean().is_none_or(|mean| mean <= *limit),
            Reading::Lost => false,
        };
        Some(readings.iter().zip(self.limits).all(within))
    }

    /// Narrows the interval down around two candidates.
    fn settle(&self, see: &See<'_>, low: usize, high: usize) -> Result<Found, Unfinished> {
        let Precision { min_seeds, max_seeds, .. } = self.precision;
        let mut near = BTreeSet::from([low, low.midpoint(high), high]);
        let mut seeds = min_seeds.min(max_seeds);
        let mut step = 1;
        loop {
            let candidates: Vec<usize> = near.iter().copied().collect();
            let looks = see(&candidates, seeds)?;
            let Some(band) = self.band(&candidates, &looks) else {
                return Ok(self.failed(seeds, candidates));
            };
            let further = self.further(&band, &candidates, step);
            if !further.is_empty() {
                near.extend(further);
                // Further out with each look, so that a wide interval is found in a few of them.
                step *= 2;
                continue;
            }
            let middles = self.middles(&band, &candidates);
            if !middles.is_empty() {
                near.extend(middles);
                continue;
            }
            if let Some(status) = self.status(&band, seeds) {
                return Ok(self.found(status, &band, seeds, candidates));
            }
            seeds = self.more_seeds(&band, seeds);
            step = 1;
            near = around(&band, &candidates, self.loads);
        }
    }

    /// Returns candidates beyond those looked at, where the interval is open.
    fn further(&self, band: &Band, candidates: &[usize], step: usize) -> Vec<usize> {
        let last = self.loads.len() - 1;
        let (lowest, highest) = (candidates[0], candidates[candidates.len() - 1]);
        let below = (band.lo == Crossing::Below && lowest > 0).then(|| lowest.saturating_sub(step));
        let above =
            (band.hi == Crossing::Above && highest < last).then(|| (highest + step).min(last));
        below.into_iter().chain(above).collect()
    }

    /// Returns the middle ones of candidates around the estimate and the ends of the interval that
    /// are too far apart for a straight line between them.
    fn middles(&self, band: &Band, candidates: &[usize]) -> Vec<usize> {
        let is_straight = self.precision.is_continuous && !band.is_step;
        let most = if is_straight { STRAIGHT } else { 1 };
        let middle = |crossing: Crossing| {
            let Crossing::At(load) = crossing else { return None };
            let above = candidates.partition_point(|at| self.loads[*at] <= load);
            let (below, above) = (candidates[above.checked_sub(1)?], *candidates.get(above)?);
            (above - below > most).then(|| below.midpoint(above))
        };
        [band.lo, band.estimate, band.hi].into_iter().filter_map(middle).collect()
    }

    /// Returns how the search ends with this; none when more seeds help.
    fn status(&self, band: &Band, seeds: usize) -> Option<Status> {
        let is_last = seeds >= self.precision.max_seeds;
        match (band.lo, band.hi) {
            (Crossing::Above, _) => Some(Status::AboveMax),
            (_, Crossing::Below) => Some(Status::BelowMin),
            _ if self.is_narrow(band) => Some(Status::Resolved),
            // Seeds do not move a step.
            _ if band.is_step => Some(Status::Unresolved),
            _ => is_last.then_some(Status::Unresolved),
        }
    }

    fn is_narrow(&self, band: &Band) -> bool {
        let (Crossing::At(lo), Crossing::At(hi)) = (band.lo, band.hi) else { return false };
        if self.precision.is_continuous {
            return band.relative_width().is_some_and(|own| own <= self.precision.relative_width);
        }
        let place = |load: f64| self.loads.partition_point(|own| *own <= load);
        place(lo) == place(hi)
    }

    /// Returns how many seeds would make the interval narrow enough, going by its width now.
    fn more_seeds(&self, band: &Band, seeds: usize) -> usize {
        let Precision { max_seeds, relative_width, is_continuous, .. } = self.precision;
        let excess = band.relative_width().filter(|_| is_continuous);
        let excess = excess.map_or(MOST_GROWTH as f64, |width| {
            let ratio = width / relative_width;
            ratio * ratio * RESERVE
        });
        let most = (seeds * MOST_GROWTH).min(max_seeds);
        let enough = |more: &usize| *more as f64 >= excess * seeds as f64;
        (seeds + 1..most).find(enough).unwrap_or(most)
    }

    fn found(&self, status: Status, band: &Band, seeds: usize, near: Vec<usize>) -> Found {
        let load = |crossing: Crossing| match crossing {
            Crossing::At(load) => Some(self.rounded(load)),
            Crossing::Below | Crossing::Above => None,
        };
        Found {
            status,
            estimate: load(band.estimate),
            lo: load(band.lo),
            hi: load(band.hi),
            limiting: band.limiting,
            is_monotone: band.is_monotone,
            seeds,
            near,
        }
    }

    /// The load itself, or the last candidate up to it where there is nothing between two.
    fn rounded(&self, load: f64) -> f64 {
        if self.precision.is_continuous {
            return load;
        }
        let above = self.loads.partition_point(|own| *own <= load);
        self.loads[above.saturating_sub(1)]
    }

    fn failed(&self, seeds: usize, near: Vec<usize>) -> Found {
        let (status, none) = (Status::Failed, None);
        let (estimate, lo, hi, limiting) = (none, none, none, None);
        Found { status, estimate, lo, hi, limiting, is_monotone: true, seeds, near }
    }

    /// Returns where the objectives leave their limits, the first of them; none when a run failed.
    fn band(&self, candidates: &[usize], looks: &[Look]) -> Option<Band> {
        let mut first: Option<Band> = None;
        let confidence = simultaneous_confidence(self.precision.confidence, self.limits.len())?;
        for (place, limit) in self.limits.iter().enumerate() {
            let points: Option<Vec<Point>> = candidates
                .iter()
                .zip(looks)
                .map(|(at, look)| Point::of(self.loads[*at], look, place, confidence))
                .collect();
            let own = Band::of(&points?, *limit, place, self.precision.is_continuous);
            first = Some(match first {
                None => own,
                Some(first) => first.lower(own),
            });
        }
        first
    }
}

/// One candidate and one objective.
struct Point {
    load: f64,
    /// Mean and half the width of its interval; none where it is infinite.
    value: Option<(f64, f64)>,
    /// Whether no request has the latency: it holds.
    holds_anyway: bool,
}

impl Point {
    /// None when a run failed.
    fn of(load: f64, look: &Look, objective: usize, confidence: f64) -> Option<Self> {
        let Look::Seen(readings) = look else { return None };
        let values = match &readings[objective] {
            Reading::Values(values) => values.as_slice(),
            Reading::Lost => return Some(Self { load, value: None, holds_anyway: false }),
        };
        let mean = Moments::of(values).mean();
        // Of one value nothing is known; several that are equal have no width.
        let open = if values.len() < 2 { f64::MAX / 4.0 } else { 0.0 };
        let half = t_interval(values, confidence).map_or(open, |own| (own.hi - own.lo) / 2.0);
        Some(Self { load, value: mean.map(|mean| (mean, half)), holds_anyway: mean.is_none() })
    }
}

/// Where a band of intervals leaves a limit.
#[derive(Clone, Copy, Debug)]
struct Band {
    estimate: Crossing,
    lo: Crossing,
    hi: Crossing,
    limiting: Option<usize>,
    is_monotone: bool,
    /// Whether it is somewhere between a candidate and the next, which is infinite.
    is_step: bool,
}

impl Band {
    /// Inverts the band of one objective. What is infinite is above any limit, and nothing is known
    /// of the way there: the crossing is somewhere between it and the last candidate before it.
    fn of(points: &[Point], limit: f64, objective: usize, is_continuous: bool) -> Self {
        let finite =
            points.iter().take_while(|own| own.value.is_some() || own.holds_anyway).count();
        let band: Vec<BandPoint> = points[..finite]
            .iter()
            .filter_map(|own| {
                let (mean, half_width) = own.value?;
                Some(BandPoint { rate: own.load, mean, half_width })
            })
            .collect();
        let crossing = band_crossing(&band, limit);
        let beyond = points.get(finite).map(|own| own.load);
        let before = finite.checked_sub(1).map(|last| points[last].load);
        // Above all that is finite: before the first that is not.
        let within = |crossing: Option<Crossing>, share: f64| match (crossing, beyond) {
            (None | Some(Crossing::Above), Some(beyond)) => match before {
                Some(before) if is_continuous => Crossing::At(before + share * (beyond - before)),
                Some(before) => Crossing::At(before),
                None => Crossing::Below,
            },
            (None, None) => Crossing::Above,
            (Some(crossing), _) => crossing,
        };
        let certain = |own: &Point| {
            let (mean, half) = own.value?;
            Some((mean + half <= limit, mean - half > limit))
        };
        let fails = points.iter().position(|own| match certain(own) {
            Some((_, fails)) => fails,
            None => !own.holds_anyway,
        });
        let is_monotone = fails.is_none_or(|first| {
            let holds = |own: &Point| certain(own).map_or(own.holds_anyway, |(holds, _)| holds);
            !points[first..].iter().any(holds)
        });
        let estimate = crossing.map(|own| own.estimate);
        let is_step = beyond.is_some()
            && matches!(estimate, None | Some(Crossing::Above))
            && before.is_some();
        Self {
            is_step,
            estimate: within(estimate, 0.5),
            lo: within(crossing.map(|own| own.lo), 0.0),
            hi: within(crossing.map(|own| own.hi), 1.0),
            limiting: Some(objective),
            is_monotone,
        }
    }

    /// Of two objectives what holds for both: each end is the lower one.
    fn lower(self, other: Self) -> Self {
        let is_first = order(self.estimate) <= order(other.estimate);
        let first = if is_first { self } else { other };
        let Self { limiting, is_step, .. } = first;
        let min = |a: Crossing, b: Crossing| if order(a) <= order(b) { a } else { b };
        Self {
            estimate: min(self.estimate, other.estimate),
            lo: min(self.lo, other.lo),
            hi: min(self.hi, other.hi),
            limiting,
            is_step,
            is_monotone: self.is_monotone && other.is_monotone,
        }
    }

    fn relative_width(&self) -> Option<f64> {
        match (self.lo, self.estimate, self.hi) {
            (Crossing::At(lo), Crossing::At(estimate), Crossing::At(hi)) => {
                Some((hi - lo) / estimate)
            }
            _ => None,
        }
    }
}

fn order(crossing: Crossing) -> f64 {
    match crossing {
        Crossing::Below => f64::NEG_INFINITY,
        Crossing::At(load) => load,
        Crossing::Above => f64::INFINITY,
    }
}

/// Returns the candidates on both sides of the ends of the interval and of the estimate: the others
/// need no more seeds.
fn around(band: &Band, candidates: &[usize], loads: &[f64]) -> BTreeSet<usize> {
    let last = candidates.len() - 1;
    let mut near = BTreeSet::new();
    for crossing in [band.lo, band.estimate, band.hi] {
        let above = candidates.partition_point(|at| loads[*at] <= order(crossing));
        near.extend([candidates[above.saturating_sub(1)], candidates[above.min(last)]]);
    }
    near
}

#[cfg(test)]
mod tests;
