//! instruct: writes the instruction that leads from one frame to the other.

use std::sync::Arc;

use super::screen::pair_detail;
use crate::core::{
    BoxPx, Draft, FatalError, Fingerprint, FramePair, Hasher, Instruction, ItemError, Key, SizeRule,
};
use crate::engine::{Memo, Outbox, Rejection, Stage, Worker};
use crate::media::resize;
use crate::models::{InstructionWriter, Written};

/// Makes a writer for one worker.
pub type WriterFactory =
    Arc<dyn Fn() -> Result<Box<dyn InstructionWriter>, FatalError> + Send + Sync>;

/// The stage.
#[derive(Clone)]
pub struct Instruct {
    /// Makes the writer.
    pub writer: WriterFactory,
    /// Everything the text depends on besides the frames: writer, model, prompt.
    pub writer_identity: String,
    /// Longer side of the pictures the writer sees, pixels.
    pub max_side_px: u32,
    /// Threads.
    pub workers: usize,
    /// Remembers answers; none where writing is cheaper than remembering.
    pub memo: Option<Memo>,
    /// Whether the writer waits for a service, with time limits of its own.
    pub is_remote: bool,
}

impl Instruct {
    fn hasher(&self) -> Hasher {
        Hasher::new("instruct")
            .int(1)
            .str(&self.writer_identity)
            .int(i64::from(self.max_side_px))
    }
}

impl Stage for Instruct {
    type In = FramePair;
    type Out = Draft;
    type Worker = InstructWorker;

    fn name(&self) -> &'static str {
        "instruct"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_hash(self.hasher().finish())
    }
    fn open(&self) -> Result<InstructWorker, FatalError> {
        Ok(InstructWorker {
            stage: self.clone(),
            writer: (self.writer)()?,
        })
    }
}

/// One thread's writer.
pub struct InstructWorker {
    stage: Instruct,
    writer: Box<dyn InstructionWriter>,
}

impl InstructWorker {
    fn written(&mut self, pair: &FramePair) -> Result<Written, ItemError> {
        let key = Key::from_hash(
            self.stage
                .hasher()
                .str(pair.scene.video.id.as_str())
                .json(&pair.scene.video.info.crop_in_coded)
                .int(pair.from.at.pts.0)
                .int(pair.to.at.pts.0)
                .finish(),
        );
        if let Some(known) = self
            .stage
            .memo
            .as_ref()
            .and_then(|memo| memo.get("instruct", &key))
        {
            return Ok(known);
        }
        let rule = SizeRule::MaxSide(self.stage.max_side_px);
        let (from, to) = (
            resize(&pair.from.image, rule)?,
            resize(&pair.to.image, rule)?,
        );
        let scale_x = pair.from.image.width() as f32 / from.width() as f32;
        let scale_y = pair.from.image.height() as f32 / from.height() as f32;
        let mut written = self.writer.write(&from, &to)?;
        if let Written::Instruction(instruction) = &mut written {
            to_full_size(instruction, scale_x, scale_y);
        }
        if let Some(memo) = &self.stage.memo {
            memo.put("instruct", &key, &written)
                .unwrap_or_else(|error| tracing::warn!("not remembered: {error}"));
        }
        Ok(written)
    }
}

fn to_full_size(instruction: &mut Instruction, scale_x: f32, scale_y: f32) {
    let grow = |area: &mut Option<BoxPx>| *area = area.map(|area| area.scale(scale_x, scale_y));
    for change in &mut instruction.changes {
        grow(&mut change.from_box_px);
        grow(&mut change.to_box_px);
    }
}

impl Worker for InstructWorker {
    type In = FramePair;
    type Out = Draft;

    fn process(&mut self, pair: FramePair, out: &mut Outbox<'_, Draft>) -> Result<(), ItemError> {
        let written = if self.stage.is_remote {
            out.wait(|| self.written(&pair))?
        } else {
            self.written(&pair)?
        };
        let mut reject = |reason: &str, words: String| {
            let mut detail = pair_detail(
                &pair.scene,
                pair.from.at.pts.0,
                pair.to.at.pts.0,
                &pair.scores,
            );
            detail["words"] = words.into();
            out.reject(Rejection {
                reason: reason.to_owned(),
                score: None,
                detail,
            });
        };
        match written {
            Written::NoClearEdit(words) => reject("no_clear_edit", words),
            Written::Refused(words) => reject("refused", words),
            Written::Instruction(instruction) => {
                out.emit(Draft {
                    pair,
                    instruction,
                    judgement: None,
                });
            }
        }
        Ok(())
    }
}
