//! The only place that names `ort`.
