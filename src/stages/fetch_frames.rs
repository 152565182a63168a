//! fetch_frames: the full-resolution frames of a pair that survived, exact by pts.

use std::sync::Arc;

use super::unchanged::check_unchanged;
use crate::core::{
    ByteBudget, FatalError, Fingerprint, Frame, FramePair, FrameRef, Hasher, ItemError,
    PairCandidate, SampledFrame, Scene, SceneSamples, Trace, VideoId,
};
use crate::engine::{Outbox, Stage, Worker};
use crate::media::{FrameReader, OpenOptions};

/// The stage.
#[derive(Clone)]
pub struct FetchFrames {
    /// Threads of one decoder.
    pub decode_threads: usize,
    /// Threads of the stage.
    pub workers: usize,
    /// Bytes that full-resolution frames may take.
    pub budget: Arc<ByteBudget>,
}

impl Stage for FetchFrames {
    type In = PairCandidate;
    type Out = FramePair;
    type Worker = FetchWorker;

    fn name(&self) -> &'static str {
        "fetch_frames"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_hash(Hasher::new("fetch_frames").int(1).finish())
    }
    fn open(&self) -> Result<FetchWorker, FatalError> {
        Ok(FetchWorker {
            stage: self.clone(),
            reader: None,
        })
    }
}

/// One thread's open file: pairs of one video mostly come together.
pub struct FetchWorker {
    stage: FetchFrames,
    reader: Option<(VideoId, FrameReader)>,
}

impl Worker for FetchWorker {
    type In = PairCandidate;
    type Out = FramePair;

    fn process(
        &mut self,
        pair: PairCandidate,
        out: &mut Outbox<'_, FramePair>,
    ) -> Result<(), ItemError> {
        let video = Arc::clone(&pair.scene.video);
        self.fetch(pair, out)
            .map_err(|error| error.without_path(video.file.path()))
    }
}

impl FetchWorker {
    fn fetch(
        &mut self,
        pair: PairCandidate,
        out: &mut Outbox<'_, FramePair>,
    ) -> Result<(), ItemError> {
        let video = &pair.scene.video;
        let bytes = u64::from(video.info.width) * u64::from(video.info.height) * 3;
        let permit = out.wait(|| self.stage.budget.acquire(bytes * 2));
        let options = OpenOptions {
            decode_threads: self.stage.decode_threads,
            deadline: out.context().deadline,
        };
        let mut reader = match self.reader.take() {
            Some((id, mut reader)) if id == video.id => {
                reader.set_deadline(out.context().deadline);
                reader
            }
            _ => {
                check_unchanged(&video.file)?;
                FrameReader::open(video.file.path(), &video.info, &options)?
            }
        };
        let mut fetch = |sampled: &SampledFrame| -> Result<Frame, ItemError> {
            let at = FrameRef {
                pts: sampled.pts,
                index: sampled.index,
            };
            Ok(Frame {
                at,
                image: reader.frame(at)?,
            })
        };
        let both =
            fetch(pair.from_frame()).and_then(|from| fetch(pair.to_frame()).map(|to| (from, to)));
        check_unchanged(&video.file)?;
        let (from, to) = both?;
        self.reader = Some((video.id.clone(), reader));
        let samples = Arc::new(SceneSamples {
            frames: Vec::new(),
            permit: None,
        });
        let scene = Arc::new(Scene {
            samples,
            trace: Trace::None,
            ..Scene::clone(&pair.scene)
        });
        out.emit(FramePair {
            scene,
            from,
            to,
            scores: pair.scores,
            permit,
        });
        Ok(())
    }
}
