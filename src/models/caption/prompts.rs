//! The prompt texts of `prompts/`, embedded; their hash is part of every row they had a part in.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// A versioned text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptText {
    /// File name without `.md`.
    pub name: &'static str,
    /// The words.
    pub text: &'static str,
}

/// All prompts.
pub const PROMPTS: &[PromptText] = &[
    PromptText {
        name: "edit_instruction_v1",
        text: include_str!("../../../prompts/edit_instruction_v1.md"),
    },
    PromptText {
        name: "edit_judge_v1",
        text: include_str!("../../../prompts/edit_judge_v1.md"),
    },
];

impl PromptText {
    /// The prompt of that name.
    pub fn find(name: &str) -> Option<Self> {
        PROMPTS.iter().copied().find(|prompt| prompt.name == name)
    }
    /// `name@sha256:12`.
    pub fn label(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        let mut hex = String::new();
        for byte in digest.iter().take(6) {
            // Writing into a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        format!("{}@{hex}", self.name)
    }
}
