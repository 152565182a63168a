//! The only place that names `ort`: finding the library, planning threads, running graphs.

mod library;
mod session;
mod spec;

pub use library::{Library, data_dir, disable_telemetry, load_library};
pub use session::{Input, Session, SessionOptions};
pub use spec::{DType, Dim, TensorSpec};
