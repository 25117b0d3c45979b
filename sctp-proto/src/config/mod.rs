//! Settings: one setter each, whose documentation gives unit, default, source and consequence.

mod asconf;
mod association;
mod auth;
mod checksum;
mod ecn;
mod endpoint;
mod limits;
mod message;
mod multihoming;
mod nr_sack;
mod observe;
mod path_mtu;
mod progress;
mod reconfig;
mod reliability;
mod scheduler;

pub use association::{AssociationConfig, CongestionControl, LossDetection, SchedulerKind};
pub use checksum::ErrorDetection;
pub use endpoint::{EndpointConfig, ServerConfig};
