//! Statistics: slices in, numbers out.
//!
//! Samples are what runs produced, one value per run or per request. What can't be known from a
//! sample (the spread of one value, the mean of none) is `None`, and so is every result on a
//! sample that holds a NaN or an infinity: an unknown never turns into a number.

mod histogram;
mod interval;
mod moments;
mod quantile;
mod sample;
mod sparse;
mod whole;

pub use histogram::LogHistogram;
pub use interval::{CONFIDENCE, Estimate, Interval, t_cdf, t_interval, t_quantile};
pub use moments::Moments;
pub use quantile::{quantile, quantile_sorted, quantiles_in_place};
pub use sample::{Sample, coefficient_of_variation, jain_index, n_distinct};
pub use sparse::SparseHistogram;
pub use whole::WholeMoments;
