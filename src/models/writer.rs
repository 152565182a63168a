//! Who writes and who judges instructions, behind one trait each.

use crate::core::{Instruction, ItemError, Judgement, Rgb8};

/// What a writer made of two frames.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// An instruction that leads from the first to the second. Boxes in its changes are in pixels
    /// of the pictures as given.
    Instruction(Instruction),
    /// No single describable change; with the writer's reason.
    NoClearEdit(String),
    /// The writer would not answer; with its words.
    Refused(String),
}

/// Writes the instruction that leads from one frame to another.
pub trait InstructionWriter {
    /// `template`, `onnx:<model>` or `endpoint:<model>`.
    fn label(&self) -> String;
    /// Looks at both frames, earlier one first.
    fn write(&mut self, from: &Rgb8, to: &Rgb8) -> Result<Written, ItemError>;
}

/// What a judge made of a pair and its instruction.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// Points on every axis.
    Points(Judgement),
    /// The judge would not answer; with its words.
    Refused(String),
}

/// Axes that every judge gives 0–5 points on; `judge_<axis>` columns.
pub const JUDGE_AXES: &[&str] = &["faithful", "complete", "only_this_change"];

/// Judges whether an instruction leads from one frame to another, and to nothing else.
pub trait InstructionJudge {
    /// `onnx:<model>` or `endpoint:<model>`.
    fn label(&self) -> String;
    /// Looks at both frames and the instruction.
    fn judge(&mut self, from: &Rgb8, to: &Rgb8, instruction: &str) -> Result<Judged, ItemError>;
}
