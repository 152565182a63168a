//! One file per verb: calls and printing, no logic.
