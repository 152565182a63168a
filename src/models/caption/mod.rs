//! Writers of instructions.

pub mod template;
