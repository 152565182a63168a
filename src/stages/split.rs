//! split: one low-resolution pass over a video that feeds every consumer.
//!
//! Each frame is decoded once. The detector sees it at its own size; two consecutive small
//! pictures give brightness and stillness; frames on the sampling grid are kept for the filters.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::cut_source::{CutSource, FoundCuts, Replay};
use super::recall::{Recall, recalled_scene};
use super::recorder::VideoRecorder;
use super::scene_builder::{BuiltScene, FrameNotes, SceneBuilder};
use super::unchanged::check_unchanged;
use crate::core::{
    ByteBudget, DamageReason, DamageSummary, ErrorKind, FatalError, Fingerprint, FrameIndex,
    FrameRef, FrameScore, Hasher, ItemError, Proposal, Pts, Rgb8, SampledFrame, Scene, SceneRecord,
    SceneSamples, Score, Scores, SizeRule, Span, Trace, Video,
};
use crate::engine::{Memo, Outbox, Rejection, Stage, Worker};
use crate::media::{LowResReader, OpenOptions};
use crate::models::{Cut, Detections, SceneDetector};

/// Bump when the same video gives other scenes, statistics or samples.
const LOGIC_VERSION: i64 = 2;

/// Frames after which an item counts as getting on.
const FRAMES_PER_SIGN_OF_LIFE: u64 = 64;

/// Makes a detector for one worker.
pub type DetectorFactory =
    Arc<dyn Fn() -> Result<Box<dyn SceneDetector>, FatalError> + Send + Sync>;

/// The stage.
#[derive(Clone)]
pub struct Split {
    /// Makes the detector.
    pub detector: DetectorFactory,
    /// What the pictures depend on besides the file's bytes.
    pub source_identity: String,
    /// Everything the detector's cuts depend on: name, settings, weights.
    pub detector_identity: String,
    /// Cuts sooner than this after the last one are ignored, seconds, unless the detector means
    /// them.
    pub min_scene_secs: f64,
    /// Taken off both ends of a scene, seconds.
    pub trim_secs: f64,
    /// Frames kept per second.
    pub samples_per_sec: f64,
    /// Most frames kept per scene.
    pub max_samples: usize,
    /// Longer side of a kept frame, pixels.
    pub sample_max_side_px: u32,
    /// Threads of one decoder.
    pub decode_threads: usize,
    /// Whether frames are left out that cannot be at a cut.
    pub fast: bool,
    /// Videos at once.
    pub workers: usize,
    /// Whether brightness and stillness are measured, for filters; without it they are 0.
    pub measures: bool,
    /// Whether the detector's score of every frame is kept for the summary.
    pub keep_scores: bool,
    /// Remembers cuts, the costly part.
    pub memo: Option<Memo>,
    /// What decides whether a video that was measured before can do without another pass.
    pub recall: Option<Recall>,
    /// Bytes that sampled frames may take.
    pub budget: Arc<ByteBudget>,
}

impl Split {
    pub(super) fn cuts_fingerprint(&self) -> Hasher {
        Hasher::new("split")
            .int(LOGIC_VERSION)
            .str(&self.detector_identity)
            .int(i64::from(self.fast))
    }
}

impl Stage for Split {
    type In = Arc<Video>;
    type Out = Scene;
    type Worker = SplitWorker;

    fn name(&self) -> &'static str {
        "split"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        let hash = self
            .cuts_fingerprint()
            .json(&(self.min_scene_secs, self.trim_secs, self.samples_per_sec))
            .int(self.max_samples as i64)
            .int(i64::from(self.sample_max_side_px));
        Fingerprint::from_hash(hash.finish())
    }
    fn open(&self) -> Result<SplitWorker, FatalError> {
        Ok(SplitWorker {
            stage: self.clone(),
            detector: (self.detector)()?,
        })
    }
}

/// One thread's detector.
pub struct SplitWorker {
    stage: Split,
    detector: Box<dyn SceneDetector>,
}

/// What one pass found besides scenes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SplitSummary {
    /// Frames of the video: those that were decoded, and with `fast` those left out.
    pub frames: u64,
    /// What was damaged, if anything.
    pub damage: Option<DamageSummary>,
    /// The detector's score of every frame, if they are kept; none from a memo.
    pub scores: Vec<FrameScore>,
}

impl Worker for SplitWorker {
    type In = Arc<Video>;
    type Out = Scene;

    fn process(&mut self, video: Arc<Video>, out: &mut Outbox<'_, Scene>) -> Result<(), ItemError> {
        let summary = self
            .split(&video, out)
            .map_err(|error| error.without_path(video.file.path()))?;
        if let Some(damage) = summary.damage.filter(|damage| damage.is_loss) {
            let what = format!("{} frames were decoded: {}", summary.frames, damage.text);
            let error = ItemError::new(ErrorKind::Corrupt, what);
            out.fail(match damage.reasons.first() {
                Some(reason) => error.because(*reason),
                None => error,
            });
        } else if out.delivered() == 0 {
            let detail = serde_json::json!({
                "video_id": video.id, "video_uri": video.entry.uri,
            });
            out.reject(Rejection {
                reason: "no_scene".into(),
                score: None,
                detail,
            });
        }
        Ok(())
    }
}

impl SplitWorker {
    /// Goes over a video once, emitting its scenes.
    ///
    /// # Errors
    /// When no frame can be decoded or the time is up; scenes emitted before stay.
    pub fn split(
        &mut self,
        video: &Arc<Video>,
        out: &mut Outbox<'_, Scene>,
    ) -> Result<SplitSummary, ItemError> {
        if let Some(record) = self.stage.recalled(&video.id) {
            for (index, scene) in record.scenes.into_iter().enumerate() {
                out.emit(recalled_scene(video, index as u32, scene));
            }
            return Ok(SplitSummary::default());
        }
        let key = self.stage.cuts_key(&video.id);
        let known: Option<FoundCuts> = self
            .stage
            .memo
            .as_ref()
            .and_then(|memo| memo.get("split", &key));
        let is_known = known.is_some();
        let keeps_short_scenes = self.detector.keeps_short_scenes();
        let mut source = match known {
            Some(found) => CutSource::Replay(Replay {
                cuts: found.cuts.into_iter(),
            }),
            None => CutSource::Detector {
                detector: &mut *self.detector,
                found: Detections::default(),
                last: None,
                undecided: VecDeque::new(),
            },
        };
        let mut pass = Pass::new(&self.stage, video);
        if keeps_short_scenes {
            pass.min_scene_secs = 0.0;
        }
        let recorder = pass.recorder.clone();
        let result = pass.run(&mut source, out);
        // Neither cuts nor a fault of other bytes may be taken for those of the hash.
        let result = check_unchanged(&video.file).and(result);
        match result {
            Ok((found, summary)) => {
                let has_loss = summary.damage.as_ref().is_some_and(|damage| damage.is_loss);
                if let Some(recorder) = recorder.filter(|_| !has_loss) {
                    recorder.split_done();
                }
                if let (Some(memo), false) = (&self.stage.memo, is_known || has_loss) {
                    memo.put("split", &key, &found)
                        .unwrap_or_else(|error| tracing::warn!("not remembered: {error}"));
                }
                Ok(summary)
            }
            Err(error) => {
                // The detector may hold frames of this video; it must not cut the next by them.
                self.detector.finish(&mut Detections::default())?;
                Err(error)
            }
        }
    }
}

/// The state of one pass over one video.
struct Pass<'a> {
    stage: &'a Split,
    video: &'a Arc<Video>,
    min_scene_secs: f64,
    builder: SceneBuilder,
    scenes: u32,
    all_cuts: Vec<(u32, u32, f32)>,
    /// Times of frames that an undecided cut may start at; for the smallest scene length.
    recent_pts: VecDeque<(FrameIndex, Pts)>,
    /// Frames among them before which there is no hard cut.
    cut_free: BTreeSet<FrameIndex>,
    last_start: Option<Pts>,
    recorder: Option<Arc<VideoRecorder>>,
}

impl<'a> Pass<'a> {
    fn new(stage: &'a Split, video: &'a Arc<Video>) -> Self {
        Self {
            stage,
            video,
            min_scene_secs: stage.min_scene_secs,
            builder: SceneBuilder::new(stage.max_samples),
            scenes: 0,
            all_cuts: Vec::new(),
            recent_pts: VecDeque::new(),
            cut_free: BTreeSet::new(),
            last_start: None,
            recorder: stage
                .measured_key(&video.id)
                .map(|(memo, key)| VideoRecorder::new(memo, key)),
        }
    }

    fn run(
        mut self,
        source: &mut CutSource<'_>,
        out: &mut Outbox<'_, Scene>,
    ) -> Result<(FoundCuts, SplitSummary), ItemError> {
        let options = OpenOptions {
            decode_threads: self.stage.decode_threads,
            deadline: out.context().deadline,
        };
        let info = &self.video.info;
        let path = self.video.file.path();
        let mut reader = if self.stage.fast {
            LowResReader::open_fast(path, info, &options)?
        } else {
            LowResReader::open(path, info, &options)?
        };
        let base = info.time_base;
        let grid_ticks = base.ticks(1.0 / self.stage.samples_per_sec).max(1);
        let mut next_grid: Option<i64> = None;
        let mut before: Option<Vec<u8>> = None;
        let (mut cuts, mut scores, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let (mut kept_pts, mut kept_scores) = (Vec::new(), Vec::new());
        let mut end_pts = Pts(0);
        let mut frames = 0_u64;
        let mut last_step = 1;
        let mut last_index: Option<FrameIndex> = None;

        while let Some(stamp) = reader.next_frame()? {
            frames += 1;
            if frames.is_multiple_of(FRAMES_PER_SIGN_OF_LIFE) {
                out.progress();
                reader.set_deadline(out.context().deadline);
            }
            let small = reader.picture(SizeRule::LOW_RES)?;
            let luma = if self.stage.measures {
                small.luma()
            } else {
                Vec::new()
            };
            // With frames left out the one before may be far away.
            let follows = last_index.is_none_or(|last| last.0 + 1 == stamp.index.0);
            last_index = Some(stamp.index);
            if !follows {
                before = None;
            }
            if follows && let Some(sample) = self.builder.newest_sample() {
                sample.next = Some((stamp.pts, small.clone()));
            }
            // A frame that the decoder had to make up is nobody's training target.
            let is_on_grid = !stamp.is_damaged && next_grid.is_none_or(|due| stamp.pts.0 >= due);
            let sample = if is_on_grid {
                let first = next_grid.unwrap_or(stamp.pts.0);
                next_grid = Some(first + ((stamp.pts.0 - first) / grid_ticks + 1) * grid_ticks);
                let image = reader.picture(SizeRule::MaxSide(self.stage.sample_max_side_px))?;
                Some(SampledFrame {
                    index: stamp.index,
                    pts: stamp.pts,
                    image,
                    next: None,
                    small,
                })
            } else {
                None
            };
            self.builder.frame(FrameNotes {
                index: stamp.index,
                pts: stamp.pts,
                luma_mean: mean(&luma),
                luma_delta: before
                    .as_deref()
                    .map(|before| mean_difference(before, &luma)),
                sample,
            });
            before = Some(luma);
            self.recent_pts.push_back((stamp.index, stamp.pts));
            if !stamp.may_follow_cut {
                self.cut_free.insert(stamp.index);
            }
            // The video's start counts as a cut, however late the detector tells of the first one.
            self.last_start.get_or_insert(stamp.pts);
            if frames > 1 && follows {
                last_step = stamp.pts.0 - end_pts.0;
            }
            end_pts = stamp.pts;
            if stamp.duration_ticks > 0 {
                last_step = stamp.duration_ticks;
            }

            let decided = source.frame(stamp.index, &mut reader, &mut cuts, &mut scores)?;
            if self.stage.keep_scores {
                kept_pts.push((stamp.index, stamp.pts));
                kept_scores.append(&mut scores);
            }
            scores.clear();
            self.take_cuts(&mut cuts);
            self.builder.settle(decided, &mut done);
            self.forget_before(decided);
            for scene in done.drain(..) {
                self.emit(scene, out);
                reader.set_deadline(out.context().deadline);
            }
        }
        if frames == 0 {
            let what = format!("no frame could be decoded: {}", reader.damage());
            return Err(ItemError::new(ErrorKind::Corrupt, what).because(DamageReason::NoFrame));
        }
        source.finish(&mut cuts, &mut scores)?;
        if self.stage.keep_scores {
            kept_scores.append(&mut scores);
        }
        self.take_cuts(&mut cuts);
        let counted = reader.counted();
        // Frames left out at the end of the video are shown as long as the last one was.
        let left_out = counted.saturating_sub(u64::from(last_index.map_or(0, |last| last.0)) + 1);
        let end_pts = Pts(end_pts.0 + last_step.max(1) * (1 + left_out as i64));
        self.builder
            .finish(FrameIndex(counted as u32), end_pts, &mut done);
        for scene in done.drain(..) {
            self.emit(scene, out);
        }
        let damage = reader.damage().summary();
        Ok((
            FoundCuts {
                cuts: self.all_cuts,
            },
            SplitSummary {
                frames: counted,
                damage,
                scores: with_times(&kept_pts, &kept_scores),
            },
        ))
    }

    /// Passes cuts on, except those too soon after the last one.
    fn take_cuts(&mut self, cuts: &mut Vec<Cut>) {
        let base = self.video.info.time_base;
        for cut in cuts.drain(..) {
            if cut.scene_end == cut.scene_start && self.cut_free.contains(&cut.scene_end) {
                continue;
            }
            self.all_cuts
                .push((cut.scene_end.0, cut.scene_start.0, cut.score));
            let at = self
                .recent_pts
                .iter()
                .find(|(index, _)| *index >= cut.scene_start)
                .or(self.recent_pts.back())
                .map(|(_, pts)| *pts);
            let Some(at) = at else { continue };
            let since = self.last_start.map(|last| base.secs_of(at.0 - last.0));
            if since.is_none_or(|secs| secs >= self.min_scene_secs) {
                self.last_start = Some(at);
                self.builder.cut(cut);
            }
        }
    }

    fn forget_before(&mut self, decided: FrameIndex) {
        while self.recent_pts.len() > 1
            && self
                .recent_pts
                .front()
                .is_some_and(|(index, _)| *index < decided)
        {
            self.recent_pts.pop_front();
        }
        self.cut_free = self.cut_free.split_off(&decided);
    }

    fn emit(&mut self, built: BuiltScene, out: &mut Outbox<'_, Scene>) {
        let base = self.video.info.time_base;
        let trim = base.ticks(self.stage.trim_secs);
        let (start, end) = (
            Pts(built.pts.start().0 + trim),
            Pts(built.pts.end().0 - trim),
        );
        let pts = if start < end {
            Span::between(start, end)
        } else {
            Span::new(start, 0)
        };
        let frames: Vec<SampledFrame> = built
            .samples
            .into_iter()
            .filter(|frame| pts.contains(frame.pts))
            .collect();
        let bytes = |image: &Rgb8| image.data().len() as u64;
        let total = frames
            .iter()
            .map(|f| bytes(&f.image) + bytes(&f.small) + f.next.as_ref().map_or(0, |n| bytes(&n.1)))
            .sum();
        let permit = Some(out.wait(|| self.stage.budget.acquire(total)));
        if let Some(recorder) = &self.recorder {
            let refs = frames.iter().map(|frame| FrameRef {
                pts: frame.pts,
                index: frame.index,
            });
            recorder.begin(SceneRecord {
                frames: built.frames,
                pts,
                cut_score: built.cut_score,
                stats: built.stats.clone(),
                samples: refs.collect(),
                scores: Scores::default(),
                proposal: Proposal::NotAsked,
            });
        }
        let recorder = self.recorder.clone();
        let scene = Scene {
            id: Scene::id_of(&self.video.id, pts),
            video: Arc::clone(self.video),
            index: self.scenes,
            frames: built.frames,
            pts,
            cut_score: built.cut_score,
            stats: built.stats,
            samples: Arc::new(SceneSamples { frames, permit }),
            scores: Scores::default(),
            trace: recorder.map_or(Trace::None, |recorder| Trace::Recording(recorder)),
        };
        self.scenes += 1;
        out.emit(scene);
    }
}

/// Scores of frames with the frames' times.
fn with_times(pts: &[(FrameIndex, Pts)], scores: &[(FrameIndex, Score)]) -> Vec<FrameScore> {
    let known = scores.iter().filter_map(|(index, score)| {
        let at = pts.binary_search_by_key(index, |(index, _)| *index).ok()?;
        let (_, pts) = *pts.get(at)?;
        Some(FrameScore {
            index: *index,
            pts,
            score: *score,
        })
    });
    known.collect()
}

fn mean(luma: &[u8]) -> f32 {
    let sum: u64 = luma.iter().map(|value| u64::from(*value)).sum();
    sum as f32 / luma.len().max(1) as f32
}

fn mean_difference(a: &[u8], b: &[u8]) -> f32 {
    if a.len() != b.len() {
        return 255.0;
    }
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f32 / a.len().max(1) as f32
}
