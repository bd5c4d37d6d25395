//! What a fleet is made of, by name: GPUs, models, and what a model on GPUs can do.
//!
//! Each figure stands with its source. A [`Deployment`] is one engine: a model on the GPUs of one
//! tensor-parallel group. It has KV blocks and a [preset](Deployment::preset) of the step time
//! that is computed from data sheets and kernel measurements, with nothing fitted to a run of an
//! engine: a preset is off by 15 to 25 % until it is calibrated.

mod deployment;
mod gpu;
mod model;

pub use deployment::{Deployment, Dtype, PARALLEL_DEGREES, TooLarge};
pub use gpu::{AllReduce, Figure, GPUS, Gpu, Link};
pub use model::{Experts, MODELS, Model};
