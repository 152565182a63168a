//! One file per stage.

mod cut_source;
pub mod encode;
pub mod fetch_frames;
pub mod ingest;
pub mod instruct;
pub mod judge;
pub mod propose_pairs;
pub mod recall;
mod recorder;
mod sampler;
mod scene_builder;
pub mod screen;
pub mod split;
mod unchanged;
