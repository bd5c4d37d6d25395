//! What a person wants to know of a sweep.

use crate::metrics::{Backlog, OutcomeCounts, SloSpec, Summary};
use crate::stats::Estimate;
use crate::tables::{CellKey, RunRow};

use super::grid::Grid;

/// One cell over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct CellAnswer {
    /// The cell.
    pub key: CellKey,
    /// Seeds whose runs failed.
    pub num_failed: usize,
    /// The rate that the requests really had over the window.
    pub realised_rps: Option<Estimate>,
    /// Measured requests of all seeds by what became of them.
    pub counts: OutcomeCounts,
    /// Whether the backlog stays, over all seeds: see [`Backlog::is_steady`]. Above capacity a short
    /// run meets an objective that a long one would not.
    pub steady: bool,
    /// Each objective over the seeds.
    pub terms: Vec<TermAnswer>,
    /// Whether the cell is steady, the mean of every objective is within its limit, and no run
    /// failed.
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
    /// Reads the answers off the rows of a grid: one for each config and algorithm, best first
    /// within a config.
    pub fn of(grid: &Grid, rows: &[RunRow]) -> Vec<Self> {
        let num_seeds = grid.manifest.seeds.len();
        let num_rates = grid.manifest.rates_rps.len();
        let num_algorithms = grid.manifest.algorithms.len();
        let mut answers = Vec::new();
        for (index, group) in rows.chunks(num_seeds * num_rates).enumerate() {
            let slo = grid.slo(index / num_algorithms);
            let cells = group.chunks(num_seeds).map(|rows| CellAnswer::of(slo, rows));
            answers.push(Self::new(cells.collect(), !slo.is_empty()));
        }
        // Capacity first, then the first objective at the highest common rate.
        for config in answers.chunks_mut(num_algorithms) {
            config.sort_by(|a, b| b.rank().cmp(&a.rank()).then(a.tie(b)));
        }
        answers
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

impl CellAnswer {
    fn of(slo: &SloSpec, rows: &[RunRow]) -> Self {
        let summaries: Vec<&Summary> =
            rows.iter().filter_map(|row| row.outcome.as_ref().ok()).collect();
        let num_failed = rows.len() - summaries.len();
        let over = |get: &dyn Fn(&Summary) -> Option<f64>| over(&summaries, get);
        let terms: Vec<TermAnswer> =
            (0..slo.terms.len()).map(|index| TermAnswer::of(&summaries, index)).collect();
        let growth = over(&|summary| summary.backlog_growth_ratio);
        let mut backlog = Backlog::default();
        for summary in &summaries {
            backlog.add(summary.backlog);
        }
        let steady = backlog.is_steady(growth.map(|growth| growth.mean));
        let within = |upper: fn(&Estimate) -> f64| {
            let mut terms = slo.terms.iter().zip(&terms);
            let holds = terms.all(|(limit, term)| {
                let value = term.value_ms.as_ref().map(upper);
                !term.lost && value.is_none_or(|value| value <= limit.limit.as_ms())
            });
            num_failed == 0 && steady && holds
        };
        let mut counts = OutcomeCounts::default();
        for summary in &summaries {
            counts.add(&summary.measured);
        }
        let realised: Option<Vec<f64>> = rows.iter().map(|row| row.realised_rps).collect();
        Self {
            key: rows[0].cell.clone(),
            num_failed,
            counts,
            steady,
            finished_ratio: over(&|summary| {
                Some(summary.measured.finished as f64 / summary.measured.requests.max(1) as f64)
            }),
            realised_rps: realised.and_then(|values| Estimate::of(&values)),
            met: within(|estimate| estimate.mean),
            surely_met: within(|estimate| {
                estimate.half_width.map_or(f64::INFINITY, |half| estimate.mean + half)
            }),
            terms,
            goodput_rps: over(&|summary| summary.slo.as_ref()?.goodput_rps),
            ttft_mean_ms: over(&|summary| summary.ttft.mean_ms),
            token_hit_ratio: over(&|summary| summary.token_hit_ratio),
            usd_per_1m_tokens: over(&|summary| Some(summary.cost_per_1k_tokens_usd? * 1e3)),
        }
    }
}

impl TermAnswer {
    /// Reads one objective off the runs; a seed where no request has the latency has no value and
    /// keeps the limit.
    fn of(summaries: &[&Summary], index: usize) -> Self {
        let terms = summaries.iter().filter_map(|summary| summary.slo.as_ref()?.terms.get(index));
        let lost = terms.clone().any(|term| term.value_ms.is_none() && !term.met);
        let values: Vec<f64> = terms.filter_map(|term| term.value_ms).collect();
        Self { value_ms: Estimate::of(&values).filter(|_| !lost), lost }
    }
}

/// Averages a number over runs; none when one of them does not have it.
fn over(summaries: &[&Summary], get: &dyn Fn(&Summary) -> Option<f64>) -> Option<Estimate> {
    let values: Option<Vec<f64>> = summaries.iter().map(|summary| get(summary)).collect();
    Estimate::of(&values?)
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
