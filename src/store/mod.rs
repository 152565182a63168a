//! Durable bytes: the only place that creates or renames files of a run.
