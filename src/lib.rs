//! Training pairs for image-editing and subject-driven generation models, mined from raw video.
//!
//! Data flows one way: a manifest row becomes a [`core::Video`], its [`core::Scene`]s, proposed
//! [`core::PairCandidate`]s and, where every range keeps them, [`core::Sample`]s in Parquet shards.
//! `ARCHITECTURE.md` has the map; `src/pipelines/` shows each product's stages in order.

pub mod cli;
pub mod config;
pub mod core;
pub mod engine;
pub mod filters;
pub mod io;
pub mod media;
pub mod models;
pub mod pipelines;
pub mod runtime;
pub mod stages;
pub mod store;
pub mod vision;
