//! What a person wants to know of a sweep.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::document::Scalar;
use crate::metrics::{OutcomeCounts, SloSpec, SloTerm};
use crate::stats::{Estimate, FEWEST_FOR_INTERVAL, IntervalSpec};
use crate::tables::{CellKey, CellRuns, CellValidity, Flags, RunsReader, TableError};

use super::grid::{Cell, Grid};
use super::plan::Plan;
use super::setting::Setting;

/// One cell over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct CellAnswer {
    /// The cell.
    pub key: Arc<CellKey>,
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
    /// Why its numbers may not be what they seem.
    pub flags: Flags,
    /// Each limit of a statistic over the seeds.
    pub terms: Vec<TermAnswer>,
    /// Measured requests within the SLO, of 1; none without an SLO.
    pub attainment_ratio: Option<Estimate>,
    /// Whether the cell is steady, the mean of every objective is within its limit, no run failed,
    /// and there are runs.
    pub met: bool,
    /// Whether the end of every objective's interval is that is nearer to the limit: the upper one,
    /// of the attainment the lower one.
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
    /// Whether it is a quantile that few requests lie beyond.
    pub thin_tail: bool,
}

/// The cells of one algorithm that differ in their rate alone, by rate, and how far up they hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Name of the config.
    pub config: String,
    /// The fleet and its objectives.
    pub setting: Arc<Setting>,
    /// Which of the workloads.
    pub workload: usize,
    /// Axes beside config, algorithm and rate whose value is the same in all these cells and
    /// differs elsewhere, with their value.
    pub coordinates: Vec<(String, Scalar)>,
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
    /// Puts the cells of a grid together, all of them in its order: one answer for each fleet,
    /// workload and algorithm, the best first among those of one fleet and workload.
    pub fn of(grid: &Grid, cells: Vec<CellAnswer>) -> Vec<Self> {
        let mut cells: Vec<Option<CellAnswer>> = cells.into_iter().map(Some).collect();
        let mut scenes: Vec<Vec<Self>> = Vec::new();
        for lines in lines(grid) {
            let mut answers = Vec::new();
            for line in lines {
                let own = line.iter().filter_map(|cell| cells.get_mut(*cell)?.take());
                let first = &grid.cells()[line[0]];
                let workload = grid.demand(line[0]).workload;
                let mut answer = Self::new(own.collect(), Arc::clone(&first.setting), workload);
                answer.name_coordinates(grid);
                answers.push(answer);
            }
            // Capacity first, then the first objective at the highest common rate.
            answers.sort_by(|a, b| b.rank().cmp(&a.rank()).then(a.tie(b)));
            scenes.push(answers);
        }
        scenes.into_iter().flatten().collect()
    }

    fn new(mut cells: Vec<CellAnswer>, setting: Arc<Setting>, workload: usize) -> Self {
        cells.sort_by(|a, b| {
            let rate = |cell: &CellAnswer| cell.key.rate_rps.unwrap_or(0.0);
            rate(a).total_cmp(&rate(b))
        });
        let has_slo = !setting.slo.is_empty();
        let leading = |holds: fn(&CellAnswer) -> bool| {
            cells.iter().take_while(|cell| has_slo && holds(cell)).count().checked_sub(1)
        };
        let (holds_to, surely_to) = (leading(|cell| cell.met), leading(|cell| cell.surely_met));
        let key = &cells[0].key;
        let (config, algorithm) = (key.config.clone(), key.algorithm.label());
        let coordinates = Vec::new();
        Self {
            config,
            setting,
            workload,
            coordinates,
            algorithm,
            cells,
            has_slo,
            holds_to,
            surely_to,
        }
    }

    /// Says what sets these cells apart from others, beside their algorithm.
    fn name_coordinates(&mut self, grid: &Grid) {
        for (at, name) in grid.coordinates.iter().enumerate() {
            let own = &self.cells[0].key.coordinates[at];
            let same = self.cells.iter().all(|cell| cell.key.coordinates[at] == *own);
            // The label of the algorithm has its parameters.
            if same && *own != Scalar::Null && !name.starts_with("algorithm.") {
                self.coordinates.push((name.clone(), own.clone()));
            }
        }
    }

    /// Whether two answers are of one fleet and workload.
    pub fn is_same_scene(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.setting, &other.setting) && self.workload == other.workload
    }

    fn rank(&self) -> (Option<usize>, Option<usize>) {
        (self.holds_to, self.surely_to)
    }

    /// Compares what the first objective's number is at the rate that holds.
    fn tie(&self, other: &Self) -> std::cmp::Ordering {
        let value = |answer: &Self| {
            let cell = &answer.cells[answer.holds_to.unwrap_or(0)];
            if cell.terms.is_empty() && answer.setting.slo.attainment.is_some() {
                return cell.attainment_ratio.map_or(f64::INFINITY, |ratio| -ratio.mean);
            }
            let estimate = match cell.terms.first() {
                Some(term) if term.lost => None,
                first => first.and_then(|term| term.value_ms).or(cell.ttft_mean_ms),
            };
            estimate.map_or(f64::INFINITY, |estimate| estimate.mean)
        };
        value(self).total_cmp(&value(other))
    }
}

/// Returns the cells, by their place, of each fleet and workload, therein of each algorithm, in the
/// order in which they first come.
fn lines(grid: &Grid) -> Vec<Vec<Vec<usize>>> {
    let mut scenes: Vec<Vec<Vec<usize>>> = Vec::new();
    let mut by_scene: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut by_line: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (place, cell) in grid.cells().iter().enumerate() {
        let setting = Arc::as_ptr(&cell.setting).addr();
        let algorithm = Arc::as_ptr(&cell.key.algorithm).addr();
        let scene = *by_scene.entry((setting, grid.demand(place).workload)).or_insert(scenes.len());
        if scene == scenes.len() {
            scenes.push(Vec::new());
        }
        let lines = &mut scenes[scene];
        let line = *by_line.entry((scene, algorithm)).or_insert(lines.len());
        if line == lines.len() {
            lines.push(Vec::new());
        }
        lines[line].push(place);
    }
    scenes
}

impl CellAnswer {
    /// Reads some cells of a plan off its table of runs, whose rows may be fewer or of more cells,
    /// and in any order.
    ///
    /// # Errors
    ///
    /// When `runs` is no table of runs, or lacks an objective of the grid.
    pub fn read(
        grid: &Grid,
        plan: &Plan,
        cells: Range<usize>,
        runs: &RunsReader,
    ) -> Result<Vec<Self>, TableError> {
        let by_cell = runs.by_cell(&grid.manifest.seeds)?;
        let none = runs.none();
        let read = |place: usize| {
            let Cell { key, setting, .. } = &grid.cells()[place];
            let runs = by_cell.get(key.label.as_str()).unwrap_or(&none);
            let key = Arc::clone(key);
            let answer = Self::of(&setting.slo, key, runs, grid.manifest.statistics.interval)?;
            Ok(Self { num_missing: plan.num_seeds(place).saturating_sub(runs.len()), ..answer })
        };
        cells.map(read).collect()
    }

    fn of(
        slo: &SloSpec,
        key: Arc<CellKey>,
        runs: &CellRuns<'_>,
        interval: IntervalSpec,
    ) -> Result<Self, TableError> {
        let (ok, failed) = runs.by_status()?;
        let validity = CellValidity::of(runs)?;
        let term = |term| TermAnswer::of(term, &ok, &validity, interval);
        let terms: Vec<TermAnswer> = slo.terms.iter().map(term).collect::<Result<_, _>>()?;
        let steady = validity.is_steady();
        let of = |runs, (column, unit), scale| over(runs, column, scale, interval.for_unit(unit));
        let attainment_ratio = of(&ok, ("slo_attainment_ratio", "1"), 1.0)?;
        let within = |upper: fn(&Estimate) -> f64, attained: Option<f64>| {
            let mut terms = slo.terms.iter().zip(&terms);
            let holds = terms.all(|(limit, term)| {
                let value = term.value_ms.as_ref().map(upper);
                !term.lost && value.is_none_or(|value| value <= limit.limit.as_ms())
            });
            let mut least = slo.attainment.iter().map(|own| own.least_ratio);
            let attains = least.all(|least| attained.is_some_and(|ratio| ratio >= least));
            failed.is_empty() && !ok.is_empty() && steady && holds && attains
        };
        Ok(Self {
            num_failed: failed.len(),
            num_missing: 0,
            counts: ok.measured()?,
            steady,
            flags: validity.flags(),
            finished_ratio: of(&ok, ("finished_ratio", "1"), 1.0)?,
            realised_rps: of(runs, ("realised_rps", "requests/s"), 1.0)?,
            met: within(|estimate| estimate.mean, attainment_ratio.map(|ratio| ratio.mean)),
            surely_met: within(
                |estimate| estimate.interval.map_or(f64::INFINITY, |interval| interval.hi),
                attainment_ratio.and_then(|ratio| least_surely(&ratio, ok.len())),
            ),
            attainment_ratio,
            goodput_rps: of(&ok, ("goodput_rps", "requests/s"), 1.0)?,
            ttft_mean_ms: of(&ok, ("ttft_mean_ms", "ms"), 1.0)?,
            token_hit_ratio: of(&ok, ("token_hit_ratio", "1"), 1.0)?,
            usd_per_1m_tokens: of(&ok, ("cost_per_1k_tokens_usd", "USD"), 1e3)?,
            key,
            terms,
        })
    }
}

impl TermAnswer {
    /// Reads one objective off the runs; a seed where no request has the latency has no value and
    /// keeps the limit.
    fn of(
        term: &SloTerm,
        ok: &CellRuns<'_>,
        validity: &CellValidity,
        interval: IntervalSpec,
    ) -> Result<Self, TableError> {
        let column = term.column();
        let (values, lost) = ok.objective(&column)?;
        let value_ms = Estimate::of(&values, interval).filter(|_| !lost);
        let thin_tail = value_ms.is_some() && validity.has_thin_tail(&column);
        Ok(Self { value_ms, lost, thin_tail })
    }
}

/// The lower end of a ratio's interval over so many runs. Runs that all have 1 have no interval, and
/// are as sure as runs can be: there is nothing above.
fn least_surely(ratio: &Estimate, num_runs: usize) -> Option<f64> {
    let all = (ratio.mean >= 1.0 && num_runs >= FEWEST_FOR_INTERVAL).then_some(1.0);
    ratio.interval.map_or(all, |interval| Some(interval.lo))
}

/// Averages a column, times `scale`, over runs; none when one of them does not have it.
fn over(
    runs: &CellRuns<'_>,
    column: &str,
    scale: f64,
    interval: IntervalSpec,
) -> Result<Option<Estimate>, TableError> {
    let values = runs.real(column)?.into_iter().map(|value| Some(value? * scale));
    let values: Option<Vec<f64>> = values.collect();
    Ok(values.and_then(|values| Estimate::of(&values, interval)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::router::AlgorithmSpec;
    use crate::scenario::Config;

    /// A cell at a rate, with the upper end of its interval within the limit or not.
    fn cell(rate_rps: f64, met: bool, surely_met: bool) -> CellAnswer {
        let algorithm = Arc::new(AlgorithmSpec::by_name("round_robin").unwrap());
        let key = CellKey {
            config: "c".to_owned(),
            algorithm,
            rate_rps: Some(rate_rps),
            coordinates: Vec::new().into(),
            label: rate_rps.to_string(),
        };
        CellAnswer {
            key: Arc::new(key),
            num_failed: 0,
            num_missing: 0,
            realised_rps: None,
            counts: OutcomeCounts::default(),
            steady: true,
            flags: Flags::default(),
            finished_ratio: None,
            terms: Vec::new(),
            attainment_ratio: None,
            met,
            surely_met,
            goodput_rps: None,
            ttft_mean_ms: None,
            token_hit_ratio: None,
            usd_per_1m_tokens: None,
        }
    }

    fn setting(slo: &str) -> Arc<Setting> {
        let config = Config::parse("c", &format!("[cluster]\nnum_backends = 1\n{slo}")).unwrap();
        Arc::new(Setting {
            config: "c".to_owned(),
            path: PathBuf::new(),
            cluster: config.cluster,
            slo: config.slo,
            warmup: config.warmup,
        })
    }

    #[test]
    fn a_rate_holds_only_when_all_below_it_do() {
        let slo = setting("[slo]\nttft_p95_ms = 1");
        let cells = [(9.0, true, false), (3.0, true, true), (6.0, false, false)];
        let cells = cells.map(|(rate, met, sure)| cell(rate, met, sure)).to_vec();
        let answer = Answer::new(cells, Arc::clone(&slo), 0);
        let rates: Vec<Option<f64>> = answer.cells.iter().map(|cell| cell.key.rate_rps).collect();
        assert_eq!(rates, [Some(3.0), Some(6.0), Some(9.0)], "lowest first");
        assert_eq!((answer.holds_to, answer.surely_to), (Some(0), Some(0)));
        let cells = vec![cell(3.0, true, false), cell(6.0, true, true)];
        let answer = Answer::new(cells, Arc::clone(&slo), 0);
        assert_eq!((answer.holds_to, answer.surely_to), (Some(1), None));
        assert_eq!(Answer::new(vec![cell(3.0, false, false)], slo, 0).holds_to, None);
        let answer = Answer::new(vec![cell(3.0, true, true)], setting(""), 0);
        assert_eq!(answer.holds_to, None, "no SLO");
    }
    #[test]
    fn an_attainment_is_sure_by_its_lower_end() {
        let sure = |values: &[f64]| {
            let estimate = Estimate::of(values, IntervalSpec::default()).unwrap();
            least_surely(&estimate, values.len())
        };
        // 0.97, 0.98, 0.99: the mean less 4.302653 · 0.01/√3.
        assert!((sure(&[0.97, 0.98, 0.99]).unwrap() - 0.955_159).abs() < 1e-6);
        assert_eq!(sure(&[1.0; 3]), Some(1.0), "no request of any run missed");
        assert_eq!(sure(&[1.0; 2]), None, "too few");
        assert_eq!(sure(&[0.9; 5]), None, "nothing is known of the variance");
    }
}
