//! The fleet: what it is made of and how one backend serves its requests.
//!
//! A [`Backend`] is one serving engine: a scheduler that composes steps as vLLM's does, a
//! [`PrefixCache`] of blocks, and a [`StepModel`] that says how long a step takes. It knows nothing
//! of routers or of other backends.

mod backend;
mod catalogue;
mod fleet_spec;
mod prefix_cache;
mod read;
mod spec;
mod step;
mod work;

pub use backend::{Backend, HORIZON};
pub use catalogue::{
    AllReduce, Deployment, Dtype, Experts, Figure, GPUS, Gpu, Link, MODELS, Model,
    PARALLEL_DEGREES, TooLarge,
};
pub use fleet_spec::{BackendError, BackendSpec, FleetError, FleetSpec};
pub use prefix_cache::{CacheChange, CacheEvent, Hit, Holding, OwnBlocks, PrefixCache};
pub use spec::{ClusterSpec, DisaggregatedSpec, StepSpec};
pub use step::{
    BatchShape, ComputeModel, DecodeLine, LONGEST_STEP_PS, LinearModel, SHORTEST_STEP_PS, StepModel,
};
pub use work::{BackendStats, Facts, Left, Progress, Refusal, Work};
