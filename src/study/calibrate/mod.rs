//! Step models from measurements of a real engine.
//!
//! [`calibrate`] needs when the tokens of requests came: it searches for the coefficients with
//! which a replay comes nearest to the run. [`fit_steps`] needs the times of single steps, and is
//! plain regression.

mod coefficients;
mod nonnegative;
mod requests;
mod search;
mod steps;

pub use coefficients::{COEFFICIENTS, Coefficient, prior};
pub use requests::{Calibration, Estimate, calibrate};
pub use steps::{MeasuredStep, StepErrors, StepFit, fit_steps, read_steps};
