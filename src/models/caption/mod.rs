//! Captioners: one file each.

mod endpoint;
mod wire;

pub use endpoint::{Endpoint, EndpointOptions};
