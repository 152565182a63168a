//! judge: rubric points for a pair with its instruction. Without a judge nothing is invented.

use std::sync::Arc;

use super::screen::pair_detail;
use crate::core::{Draft, FatalError, Fingerprint, Hasher, ItemError, Key, Score, SizeRule};
use crate::engine::{Memo, Outbox, Rejection, Stage, Worker};
use crate::media::resize;
use crate::models::{InstructionJudge, Judged};

/// Makes a judge for one worker.
pub type JudgeFactory =
    Arc<dyn Fn() -> Result<Box<dyn InstructionJudge>, FatalError> + Send + Sync>;

/// The stage. Without a judge every draft passes and its points stay empty.
#[derive(Clone)]
pub struct Judge {
    /// Makes the judge, if there is one.
    pub judge: Option<JudgeFactory>,
    /// Everything the points depend on besides frames and instruction: model, prompt.
    pub judge_identity: String,
    /// Fewest points on every axis; none = points are only recorded.
    pub min_points: Option<Score>,
    /// Longer side of the pictures the judge sees, pixels.
    pub max_side_px: u32,
    /// Threads.
    pub workers: usize,
    /// Remembers answers.
    pub memo: Option<Memo>,
}

impl Judge {
    fn hasher(&self) -> Hasher {
        Hasher::new("judge")
            .int(1)
            .str(&self.judge_identity)
            .int(i64::from(self.max_side_px))
    }
}

impl Stage for Judge {
    type In = Draft;
    type Out = Draft;
    type Worker = JudgeWorker;

    fn name(&self) -> &'static str {
        "judge"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_hash(self.hasher().json(&self.min_points).finish())
    }
    fn open(&self) -> Result<JudgeWorker, FatalError> {
        let judge = self.judge.as_ref().map(|make| make()).transpose()?;
        Ok(JudgeWorker {
            stage: self.clone(),
            judge,
        })
    }
}

/// One thread's judge.
pub struct JudgeWorker {
    stage: Judge,
    judge: Option<Box<dyn InstructionJudge>>,
}

impl JudgeWorker {
    fn judged(&mut self, draft: &Draft) -> Result<Option<Judged>, ItemError> {
        let Some(judge) = &mut self.judge else {
            return Ok(None);
        };
        let pair = &draft.pair;
        let key = Key::from_hash(
            self.stage
                .hasher()
                .str(pair.scene.video.id.as_str())
                .json(&pair.scene.video.info.crop_in_coded)
                .int(pair.from.at.pts.0)
                .int(pair.to.at.pts.0)
                .str(&draft.instruction.text)
                .finish(),
        );
        if let Some(known) = self
            .stage
            .memo
            .as_ref()
            .and_then(|memo| memo.get("judge", &key))
        {
            return Ok(Some(known));
        }
        let rule = SizeRule::MaxSide(self.stage.max_side_px);
        let (from, to) = (
            resize(&pair.from.image, rule)?,
            resize(&pair.to.image, rule)?,
        );
        let judged = judge.judge(&from, &to, &draft.instruction.text)?;
        if let Some(memo) = &self.stage.memo {
            memo.put("judge", &key, &judged)
                .unwrap_or_else(|error| tracing::warn!("not remembered: {error}"));
        }
        Ok(Some(judged))
    }
}

impl Worker for JudgeWorker {
    type In = Draft;
    type Out = Draft;

    fn process(&mut self, mut draft: Draft, out: &mut Outbox<'_, Draft>) -> Result<(), ItemError> {
        // A judge is asked over the network and has time limits of its own.
        let judged = out.wait(|| self.judged(&draft))?;
        let pair = &draft.pair;
        let detail = || {
            pair_detail(
                &pair.scene,
                pair.from.at.pts.0,
                pair.to.at.pts.0,
                &pair.scores,
            )
        };
        match judged {
            None => out.emit(draft),
            Some(Judged::Refused(words)) => {
                let mut detail = detail();
                detail["words"] = words.into();
                out.reject(Rejection {
                    reason: "refused".into(),
                    score: None,
                    detail,
                });
            }
            Some(Judged::Points(judgement)) => {
                let min = self.stage.min_points;
                if let Some((axis, points)) =
                    min.and_then(|min| too_few_points(&judgement.points, min))
                {
                    let mut detail = detail();
                    detail["judgement"] = serde_json::json!(judgement);
                    out.reject(Rejection {
                        reason: axis,
                        score: Some(points),
                        detail,
                    });
                    return Ok(());
                }
                draft.judgement = Some(judgement);
                out.emit(draft);
            }
        }
        Ok(())
    }
}

/// The axis with the fewest points, the first of several, if they are fewer than `min`.
pub fn too_few_points(points: &[(String, Score)], min: Score) -> Option<(String, Score)> {
    let lowest = points.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    lowest.filter(|(_, points)| *points < min).cloned()
}
