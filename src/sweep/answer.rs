//! What a person wants to know of a sweep.

use crate::metrics::{OutcomeCounts, SloSpec, SloTerm};
use crate::stats::Estimate;
use crate::tables::{CellKey, CellRuns, Frame, RunIndex, RunsReader, TableError};

use super::grid::Grid;

/// One cell over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct CellAnswer {
    /// The cell.
    pub key: CellKey,
    /// Seeds whose runs failed.
    pub num_failed: usize,
    /// Seeds whose runs are yet to come: all else is of the other seeds, and may still change.
    pub num_missing: usize,
    /// The rate that the requests really had over the window.
    pub realised_rps: Option<Estimate>,
    /// Measured requests of all seeds by what became of them.
    pub counts: OutcomeCounts,
    /// Whether the backlog stays, over all seeds: see
    /// [`Backlog::is_steady`](crate::metrics::Backlog::is_steady). Above capacity a short
    /// run meets an objective that a long one would not.
    pub steady: bool,
    /// Each objective over the seeds.
    pub terms: Vec<TermAnswer>,
    /// Whether the cell is steady, the mean of every objective is within its limit, no run failed,
    /// and there are runs.
    pub met: bool,
    /// Whether the upper end of every objective's interval is.
    pub surely_met: bool,
    /// Measured requests that finished, of 1.
    pub finished_ratio: Option<Estimate>,
    /// Requests within the SLO, per second.
    pub goodput_rps: Option<Estimate>,
    /// Time to first token, mean.
    pub ttft_mean_ms: Option<Estimate>,
    /// Prompt tokens found in the cache, of 1.
    pub token_hit_ratio: Option<Estimate>,
    /// US dollars per million tokens.
    pub usd_per_1m_tokens: Option<Estimate>,
}

/// One objective over the seeds of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TermAnswer {
    /// Its statistic in milliseconds, over the seeds that have it.
    pub value_ms: Option<Estimate>,
    /// Whether it is infinite for some seed, as it lies among requests that did not finish.
    pub lost: bool,
}

/// The cells of one config and algorithm, by rate, and how far up they hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Name of the config.
    pub config: String,
    /// Label of the algorithm.
    pub algorithm: String,
    /// Cells by rate, lowest first.
    pub cells: Vec<CellAnswer>,
    /// Whether there are objectives; without any, nothing holds or fails.
    pub has_slo: bool,
    /// Index of the highest rate at which the SLO is met there and at every rate below.
    pub holds_to: Option<usize>,
    /// The same for intervals wholly within the limits.
    pub surely_to: Option<usize>,
}

impl Answer {
    /// Reads the answers off the table of runs of a grid, whose rows may be fewer and in any order:
    /// one answer for each config and algorithm, best first within a config.
    ///
    /// # Errors
    ///
    /// When `runs` is no table of runs, or lacks an objective of the grid.
    pub fn of(grid: &Grid, runs: &Frame) -> Result<Vec<Self>, TableError> {
        let reader = RunsReader::new(runs);
        let by_cell = reader.by_cell(&grid.manifest.seeds)?;
        let none = reader.none();
        let mut configs: Vec<Vec<Self>> = vec![Vec::new(); grid.manifest.configs.len()];
        let mut cells = Vec::new();
        let all = grid.cells();
        for (cell, key) in all.iter().enumerate() {
            let place = grid.spec(RunIndex { cell, seed: 0 });
            let slo = grid.slo(place.config);
            let runs = by_cell.get(key.id().as_str()).unwrap_or(&none);
            let num_seeds = grid.manifest.seeds.len();
            cells.push(CellAnswer::of(slo, key.clone(), num_seeds, runs)?);
            // Rates are the last axis: when the next cell has another algorithm, this one is whole.
            let ends = all.get(cell + 1).is_none_or(|next| !is_same_line(key, next));
            if ends {
                let answer = Self::new(std::mem::take(&mut cells), !slo.is_empty());
                configs[place.config].push(answer);
            }
        }
        // Capacity first, then the first objective at the highest common rate.
        for config in &mut configs {
            config.sort_by(|a, b| b.rank().cmp(&a.rank()).then(a.tie(b)));
        }
        Ok(configs.into_iter().flatten().collect())
    }

    fn new(mut cells: Vec<CellAnswer>, has_slo: bool) -> Self {
        cells.sort_by(|a, b| {
            let rate = |cell: &CellAnswer| cell.key.rate_rps.unwrap_or(0.0);
            rate(a).total_cmp(&rate(b))
        });
        let leading = |holds: fn(&CellAnswer) -> bool| {
            cells.iter().take_while(|cell| has_slo && holds(cell)).count().checked_sub(1)
        };
        let (holds_to, surely_to) = (leading(|cell| cell.met), leading(|cell| cell.surely_met));
        let key = &cells[0].key;
        let (config, algorithm) = (key.config.clone(), key.algorithm.label());
        Self { config, algorithm, cells, has_slo, holds_to, surely_to }
    }

    fn rank(&self) -> (Option<usize>, Option<usize>) {
        (self.holds_to, self.surely_to)
    }

    /// Compares what the objectives' first statistic is at the rate that holds.
    fn tie(&self, other: &Self) -> std::cmp::Ordering {
        let value = |answer: &Self| {
            let cell = &answer.cells[answer.holds_to.unwrap_or(0)];
            let estimate = match cell.terms.first() {
                Some(term) if term.lost => None,
                first => first.and_then(|term| term.value_ms).or(cell.ttft_mean_ms),
            };
            estimate.map_or(f64::INFINITY, |estimate| estimate.mean)
        };
        value(self).total_cmp(&value(other))
    }
}

/// Whether two cells differ in their rate at most.
fn is_same_line(a: &CellKey, b: &CellKey) -> bool {
    a.config == b.config && a.algorithm == b.algorithm
}

impl CellAnswer {
    fn of(
        slo: &SloSpec,
        key: CellKey,
        num_seeds: usize,
        runs: &CellRuns<'_>,
    ) -> Result<Self, TableError> {
        let (ok, failed) = runs.by_status()?;
        let terms: Result<Vec<TermAnswer>, TableError> =
            slo.terms.iter().map(|term| TermAnswer::of(term, &ok)).collect();
        let terms = terms?;
        let growth = over(&ok, "backlog_growth_ratio", 1.0)?;
        let steady = ok.backlog()?.is_steady(growth.map(|growth| growth.mean));
        let within = |upper: fn(&Estimate) -> f64| {
            let mut terms = slo.terms.iter().zip(&terms);
            let holds = terms.all(|(limit, term)| {
                let value = term.value_ms.as_ref().map(upper);
                !term.lost && value.is_none_or(|value| value <= limit.limit.as_ms())
            });
            failed.is_empty() && !ok.is_empty() && steady && holds
        };
        Ok(Self {
            num_failed: failed.len(),
            num_missing: num_seeds.saturating_sub(runs.len()),
            counts: ok.measured()?,
            steady,
            finished_ratio: over(&ok, "finished_ratio", 1.0)?,
            realised_rps: over(runs, "realised_rps", 1.0)?,
            met: within(|estimate| estimate.mean),
            surely_met: within(|estimate| {
                estimate.half_width.map_or(f64::INFINITY, |half| estimate.mean + half)
            }),
            goodput_rps: over(&ok, "goodput_rps", 1.0)?,
            ttft_mean_ms: over(&ok, "ttft_mean_ms", 1.0)?,
            token_hit_ratio: over(&ok, "token_hit_ratio", 1.0)?,
            usd_per_1m_tokens: over(&ok, "cost_per_1k_tokens_usd", 1e3)?,
            key,
            terms,
        })
    }
}

impl TermAnswer {
    /// Reads one objective off the runs; a seed where no request has the latency has no value and
    /// keeps the limit.
    fn of(term: &SloTerm, ok: &CellRuns<'_>) -> Result<Self, TableError> {
        let (values, lost) = ok.objective(&term.column())?;
        Ok(Self { value_ms: Estimate::of(&values).filter(|_| !lost), lost })
    }
}

/// Averages a column, times `scale`, over runs; none when one of them does not have it.
fn over(runs: &CellRuns<'_>, column: &str, scale: f64) -> Result<Option<Estimate>, TableError> {
    let values = runs.real(column)?.into_iter().map(|value| Some(value? * scale));
    let values: Option<Vec<f64>> = values.collect();
    Ok(values.and_then(|values| Estimate::of(&values)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::AlgorithmSpec;

    /// A cell at a rate, with the upper end of its interval within the limit or not.
    fn cell(rate_rps: f64, met: bool, surely_met: bool) -> CellAnswer {
        let algorithm = AlgorithmSpec::by_name("round_robin").unwrap();
        CellAnswer {
            key: CellKey { config: "c".to_owned(), algorithm, rate_rps: Some(rate_rps) },
            num_failed: 0,
            num_missing: 0,
            realised_rps: None,
            counts: OutcomeCounts::default(),
            steady: true,
            finished_ratio: None,
            terms: Vec::new(),
            met,
            surely_met,
            goodput_rps: None,
            ttft_mean_ms: None,
            token_hit_ratio: None,
            usd_per_1m_tokens: None,
        }
    }

    #[test]
    fn a_rate_holds_only_when_all_below_it_do() {
        let cells = [(9.0, true, false), (3.0, true, true), (6.0, false, false)];
        let answer =
            Answer::new(cells.map(|(rate, met, sure)| cell(rate, met, sure)).to_vec(), true);
        let rates: Vec<Option<f64>> = answer.cells.iter().map(|cell| cell.key.rate_rps).collect();
        assert_eq!(rates, [Some(3.0), Some(6.0), Some(9.0)], "lowest first");
        assert_eq!((answer.holds_to, answer.surely_to), (Some(0), Some(0)));
        let answer = Answer::new(vec![cell(3.0, true, false), cell(6.0, true, true)], true);
        assert_eq!((answer.holds_to, answer.surely_to), (Some(1), None));
        assert_eq!(Answer::new(vec![cell(3.0, false, false)], true).holds_to, None);
        assert_eq!(Answer::new(vec![cell(3.0, true, true)], false).holds_to, None, "no SLO");
    }
}
