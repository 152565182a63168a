//! Training pairs for image-editing and subject-driven generation models, mined from raw video.
//!
//! Data flows one way: a manifest row becomes a [`core::Video`], its [`core::Scene`]s, proposed
//! [`core::PairCandidate`]s and, where every range keeps them, [`core::Sample`]s in Parquet shards.
//! `ARCHITECTURE.md` has the map; `src/pipelines/` shows each product's stages in order.
//!
//! # Tour
//!
//! 1. [`pipelines::edit_pairs`] — the chain, one line a stage. Start here.
//! 2. [`core`] — what flows through it, without input, output or threads.
//! 3. [`filters`] — one file each: it measures, a range in the config decides.
//! 4. [`engine`] — what a stage is, and how a chain of them survives threads, crashes and restarts.
//! 5. [`io`] — the table of columns from which writer and documentation follow.
//!
//! A configuration is a layer of TOML over the defaults, and every mistake in it is found at once:
//!
//! ```
//! use framewright::config::{Detector, load};
//!
//! let text = "[split]\ndetector = \"adaptive\"\n";
//! let filters = framewright::pipelines::filter_names();
//! let loaded = load(text, "mine.toml", &["seed=11".into()], &filters)?;
//! assert_eq!(loaded.config.split.detector, Detector::Adaptive);
//! assert_eq!(loaded.config.seed, 11);
//!
//! let wrong = "[split]\ndetectr = 1\n[output]\nchunk_rows = 0\n";
//! let error = load(wrong, "mine.toml", &[], &filters).unwrap_err();
//! assert_eq!(error.0.len(), 2);
//! # Ok::<(), framewright::core::ConfigError>(())
//! ```
//!
//! A filter gives a score; a range gives the verdict. Both ends belong to it, and no range keeps
//! what could not be measured:
//!
//! ```
//! use framewright::core::Range;
//!
//! let range = Range::within(0.5, 1.0);
//! assert!(range.keeps(0.5) && range.keeps(1.0));
//! assert!(!range.keeps(1.1) && !range.keeps(f32::NAN));
//! ```
//!
//! Times are ticks of the file's own time base, and spans leave out their end, so that two scenes
//! that meet share no frame:
//!
//! ```
//! use framewright::core::{Pts, Span, TimeBase};
//!
//! let base = TimeBase::new(1, 90_000);
//! let first = Span::between(Pts(0), Pts(base.ticks(2.0)));
//! let second = Span::new(first.end(), 90_000);
//! assert!(!first.contains(second.start()));
//! assert_eq!(base.secs(second.end()), 3.0);
//! ```

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
