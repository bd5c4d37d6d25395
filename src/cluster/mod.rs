//! The fleet: what it is made of and how one backend serves its requests.
//!
//! A [`Backend`] is one serving engine: a scheduler that composes steps as vLLM's does, a
//! [`KvCache`] of blocks, and a [`StepModel`] that says how long a step takes. It knows nothing
//! of routers or of other backends.

mod backend;
mod catalogue;
mod kv_cache;
mod prefix_cache;
mod sequence;
mod spec;
mod step;

pub use backend::{Backend, BackendStats, Notice, Refusal};
pub use catalogue::{GPUS, Gpu};
pub use kv_cache::KvCache;
pub use prefix_cache::{Hit, Holding, OwnBlocks, PrefixCache};
pub use sequence::Work;
pub use spec::{ClusterSpec, DisaggregatedSpec, StepSpec};
pub use step::{BatchShape, ComputeModel, LinearModel, StepModel};
