//! TOML text to a checked [`Config`]; pure. All problems are found at once.

mod check;
mod detectors;
mod load;
mod schema;
mod sections;

pub use detectors::{
    Content, ContentWeights, FadeTo, FlashFilter, Hash, Histogram, Threshold, Transitions,
};
pub use load::{Loaded, Source, load, load_leniently};
pub use schema::{config_markdown, json_schema};
pub use sections::{
    Adaptive, Config, Detector, Duplicate, Endpoint, FilterChoice, Gap, ImageFormat, Ingest,
    Instruct, InstructionWriter, Judge, JudgeBackend, Limits, Mode, Models, Output, ProposePairs,
    SampleFrames, Split, TransnetV2, Workers,
};
