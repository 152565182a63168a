//! TOML text to a checked configuration; pure.
