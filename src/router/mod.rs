//! Routing: the algorithms, and what they can see.
//!
//! An [`Algorithm`] sees a [`RequestView`] and one [`BackendView`] per backend, and answers with a
//! [`Decision`]. Neither view holds an output length or a future event, by type. What it sees of a
//! backend is either *local*, the router's own counters, or a *report* of the backend's state;
//! reports are perfect and immediate here. Every algorithm breaks ties in a documented way.

mod cost_escalation;
mod least;
mod prefix;
mod registry;
mod round_robin;
mod session_affinity;
mod view;

pub use registry::{AlgorithmSpec, Parameter, REGISTRY, Registration};
pub use view::{
    Algorithm, BackendView, CacheView, Decision, Needs, RejectReason, RequestView, RouteContext,
};
