//! Statistics: slices in, numbers out.
//!
//! Samples are what runs produced, one value per run or per request. What can't be known from a
//! sample (the spread of one value, the mean of none) is `None`, and so is every result on a
//! sample that holds a NaN or an infinity: an unknown never turns into a number.
//!
//! Runs are independent of each other, the requests of one run are not: unless it says otherwise, a
//! function here takes one value per run. Random draws come from a stream of a given seed.

mod batches;
mod binomial;
mod bootstrap;
mod comparison;
mod controls;
mod estimate;
mod gate;
mod histogram;
mod interval;
mod isotonic;
mod jackknife;
mod lognormal;
mod moments;
mod multiple;
mod normal;
mod order;
mod paired;
mod power;
mod proportion;
mod quantile;
mod sample;
mod selection;
mod sequential;
mod sparse;
mod t_test;
#[cfg(test)]
mod tests;
mod warmup;
mod welch;
mod whole;
mod wilcoxon;

pub use batches::{BatchMeans, Independence, OverlappingBatchMeans, lag1_correlation};
pub use bootstrap::{Bootstrap, FEWEST_FOR_BCA, MOST_ENUMERATED};
pub use comparison::{Comparison, ComparisonSpec, Standing, comparisons};
pub use controls::{Control, Controlled, controlled};
pub use estimate::{Estimate, FEWEST_FOR_INTERVAL, IntervalMethod, IntervalSpec, MeanInterval};
pub use gate::{Better, GateTest, Margin, Scale, Verdict, gate_test, verdicts};
pub use histogram::LogHistogram;
pub use interval::{
    CONFIDENCE, Interval, IntervalEstimate, t_cdf, t_interval, t_lower_bound, t_quantile,
    t_upper_bound,
};
pub use isotonic::{BandCrossing, BandPoint, Crossing, band_crossing, isotonic};
pub use jackknife::{Jackknife, jackknife_ratio, pooled_quantile};
pub use lognormal::{geometric_mean, lognormal_mean};
pub use moments::Moments;
pub use multiple::{bonferroni, holm, simultaneous_confidence};
pub use order::{
    OrderRanks, QuantileInterval, fewest_values, fewest_values_above, order_ranks,
    quantile_interval,
};
pub use paired::{Paired, PairedRatio, correlation, paired, paired_ratio};
pub use power::{detectable_effect, runs_for_effect, runs_for_power, t_test_power};
pub use proportion::{clopper_pearson, wilson};
pub use quantile::{quantile, quantile_sorted, quantiles_in_place};
pub use sample::{Sample, coefficient_of_variation, jain_index, n_distinct};
pub use selection::{AgainstBest, KnConstants, against_best};
pub use sequential::{absolute_stop, relative_half_width, relative_stop, two_stage};
pub use sparse::SparseHistogram;
pub use t_test::TTest;
pub use warmup::{Mser, mean_series, moving_average, mser5};
pub use welch::{Welch, welch};
pub use whole::WholeMoments;
pub use wilcoxon::{Wilcoxon, wilcoxon};
