//! The weight-free writer: says what measurably changed, and is always labelled as such.

use super::template::{WRITER, template_instruction};
use crate::core::{ItemError, Rgb8};
use crate::models::{InstructionWriter, Written};
use crate::vision::measure_changes;

/// Writes instructions from measured changes; no weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateWriter;

impl TemplateWriter {
    /// Changes when the same frames give other words.
    pub const IDENTITY: &'static str = "template:2";
}

impl InstructionWriter for TemplateWriter {
    fn label(&self) -> String {
        WRITER.to_owned()
    }

    fn write(&mut self, from: &Rgb8, to: &Rgb8) -> Result<Written, ItemError> {
        let report = measure_changes(from, to)?;
        Ok(
            match template_instruction(&report, from.width(), from.height()) {
                Some(instruction) => Written::Instruction(instruction),
                None => Written::NoClearEdit(format!(
                    "{} changed regions, {:.1} % of the frame",
                    report.region_count,
                    report.changed_ratio * 100.0
                )),
            },
        )
    }
}
