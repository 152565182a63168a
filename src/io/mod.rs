//! Bytes out and in: manifests, rows, shards, reports.
