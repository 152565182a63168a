//! One file per stage.
