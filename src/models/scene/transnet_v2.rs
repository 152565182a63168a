//! TransNet V2 — finds cuts between scenes, gradual ones too.
//!
//! Source   soCzech/TransNetV2 · Paper arXiv:2008.04838 · Licence MIT · Card
//!          `models/transnet_v2/card.toml`
//! Input    `frames`  u8  [batch, 100, 27, 48, 3]   RGB 0–255, no letterbox
//! Output   `single`  f32 [batch, 100]              probability of a transition's middle
//!          `all`     f32 [batch, 100]              probability of belonging to a transition
//! Before   windows of 100 frames, step 50; first frame 25 times in front, last frame behind
//! After    keep outputs 25..75; a frame whose `single` is above the threshold makes a cut; the run
//!          of frames around it that `all` marks is its transition and belongs to no scene. At a
//!          hard cut the network marks one frame, the last before it
//! Parity   max |Δ| <= 1e-5 against the golden windows

use ndarray::{ArrayD, IxDyn};

use super::windows::{MARGIN, STEP, WINDOW, Windows};
use crate::core::{ErrorKind, FatalError, FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Cut, Detections, ModelStore, SceneDetector};
use crate::runtime::{Input, Session, SessionOptions};

/// Name of the card.
const NAME: &str = "transnet_v2";
const WIDTH: usize = 48;
const HEIGHT: usize = 27;
const FRAME_BYTES: usize = WIDTH * HEIGHT * 3;

/// Settings of [`TransNetV2`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransNetOptions {
    /// A frame above this probability belongs to a cut; 0–1.
    pub threshold: Score,
    /// A frame next to a cut whose `all` is above this is part of its transition; 0–1.
    pub mixed_threshold: Score,
    /// Windows in one run of the network, at least 1. More are faster on wide machines and report
    /// later.
    pub batch_windows: usize,
    /// Two cuts at most this many frames apart with a plain frame between them are one: a fade
    /// through black or white. 0 keeps both.
    pub merge_frames: u32,
    /// A frame is plain when its brightness deviates by at most this; 0–255.
    pub plain_deviation: Score,
}

impl Default for TransNetOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            mixed_threshold: 0.2,
            batch_windows: 1,
            merge_frames: 30,
            plain_deviation: 4.0,
        }
    }
}

/// Finds hard and gradual cuts with a network.
#[derive(Debug)]
pub struct TransNetV2 {
    session: Session,
    options: TransNetOptions,
    state: State,
}

#[derive(Debug)]
struct State {
    windows: Windows,
    /// Whether each frame that has no score yet is plain, oldest first.
    plain: std::collections::VecDeque<bool>,
    cuts: CutFinder,
}

impl State {
    fn new(options: TransNetOptions) -> Self {
        Self {
            windows: Windows::new(FRAME_BYTES),
            plain: std::collections::VecDeque::new(),
            cuts: CutFinder::new(options),
        }
    }
}

impl TransNetV2 {
    /// Loads the network.
    ///
    /// # Errors
    /// As [`ModelStore::load`].
    pub fn open(
        store: &ModelStore,
        session: SessionOptions,
        options: TransNetOptions,
    ) -> Result<Self, FatalError> {
        let (session, _) = store.load(NAME, session)?;
        Ok(Self {
            session,
            options,
            state: State::new(options),
        })
    }

    fn run_windows(&mut self, count: usize, out: &mut Detections) -> Result<(), ItemError> {
        let (bytes, first, frames) = self.state.windows.take(count);
        let count = bytes.len() / (WINDOW * FRAME_BYTES);
        let [single, all] = probabilities(&mut self.session, bytes, count)?;
        for n in 0..frames {
            let at = [n / STEP, MARGIN + n % STEP];
            let frame = (first + n) as u32;
            out.scores.push((FrameIndex(frame), single[at]));
            let plain = self.state.plain.pop_front().unwrap_or(false);
            let cut = self.state.cuts.next(frame, [single[at], all[at]], plain);
            out.cuts.extend(cut);
        }
        Ok(())
    }
}

/// Runs `count` windows; `single` and `all`, each as `[count, 100]`.
fn probabilities(
    session: &mut Session,
    bytes: Vec<u8>,
    count: usize,
) -> Result<[ndarray::Array2<f32>; 2], ItemError> {
    let wrong = |error: ndarray::ShapeError| ItemError::new(ErrorKind::Bug, error.to_string());
    let shape = IxDyn(&[count, WINDOW, HEIGHT, WIDTH, 3]);
    let frames = ArrayD::from_shape_vec(shape, bytes).map_err(wrong)?; // [count, 100, 27, 48, 3]
    let mut outputs = session.run(vec![("frames", Input::U8(frames))], &["single", "all"])?;
    let mut next = || {
        let output = outputs.remove(0); // [count, 100]
        if output.shape() != [count, WINDOW] {
            let what = format!("{NAME} gave {:?} for {count} windows", output.shape());
            return Err(ItemError::new(ErrorKind::Model, what));
        }
        if output.iter().any(|p| !p.is_finite()) {
            let what = format!("{NAME} gave no number");
            return Err(ItemError::new(ErrorKind::Model, what));
        }
        output.into_dimensionality().map_err(wrong)
    };
    Ok([next()?, next()?])
}

impl SceneDetector for TransNetV2 {
    fn name(&self) -> &'static str {
        NAME
    }
    fn input(&self) -> SizeRule {
        SizeRule::Exact {
            width: WIDTH as u32,
            height: HEIGHT as u32,
        }
    }
    fn latency_frames(&self) -> u32 {
        let windows = self.options.batch_windows.max(1) - 1;
        (WINDOW - MARGIN + STEP * windows) as u32 + self.options.merge_frames
    }

    fn keeps_short_scenes(&self) -> bool {
        true
    }
    fn needs_every_frame(&self) -> bool {
        true
    }

    fn push(
        &mut self,
        _index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        if (image.width() as usize, image.height() as usize) != (WIDTH, HEIGHT) {
            let what = format!("{NAME} wants {WIDTH}x{HEIGHT} frames, got {image:?}");
            return Err(ItemError::new(ErrorKind::Bug, what));
        }
        self.state.windows.push(image.data());
        let plain = luma_deviation(image) <= f64::from(self.options.plain_deviation);
        self.state.plain.push_back(plain);
        let batch = self.options.batch_windows.max(1);
        if self.state.windows.ready() >= batch {
            self.run_windows(batch, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Detections) -> Result<(), ItemError> {
        self.state.windows.pad_end();
        let mut result = Ok(());
        while result.is_ok() && self.state.windows.ready() > 0 {
            result = self.run_windows(self.options.batch_windows.max(1), out);
        }
        out.cuts.extend(self.state.cuts.finish());
        self.state = State::new(self.options);
        result
    }
}

/// Standard deviation of the brightness, 0–255.
fn luma_deviation(image: &Rgb8) -> f64 {
    let luma = image.luma();
    let n = luma.len().max(1) as f64;
    let mean = luma.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let squares: f64 = luma.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    (squares / n).sqrt()
}

/// Turns probabilities into cuts, frame by frame.
#[derive(Debug)]
struct CutFinder {
    options: TransNetOptions,
    /// The marked frames that go on.
    run: Option<MarkedRun>,
    /// A finished cut that the next one may still join.
    held: Option<Cut>,
    /// Whether a plain frame came at or after the held cut.
    plain_since: bool,
}

/// Neighbouring frames that `single` or `all` marks.
#[derive(Clone, Copy, Debug)]
struct MarkedRun {
    first: u32,
    /// The frame with the highest `single`, and that.
    peak: (u32, Score),
}

impl MarkedRun {
    /// The cut that the run means when `after` is the first frame behind it.
    fn cut(&self, after: u32) -> Cut {
        let (peak, score) = self.peak;
        let is_hard = after - self.first <= 2;
        let (end, start) = if is_hard {
            (peak + 1, peak + 1)
        } else {
            (self.first, after)
        };
        Cut {
            scene_end: FrameIndex(end),
            scene_start: FrameIndex(start),
            score,
        }
    }
}

impl CutFinder {
    fn new(options: TransNetOptions) -> Self {
        Self {
            options,
            run: None,
            held: None,
            plain_since: false,
        }
    }

    /// Takes a frame's probabilities `[single, all]`; gives a cut that nothing later can change.
    fn next(&mut self, frame: u32, [single, all]: [Score; 2], plain: bool) -> Option<Cut> {
        self.plain_since |= plain;
        if single > self.options.threshold || all > self.options.mixed_threshold {
            let run = self.run.get_or_insert(MarkedRun {
                first: frame,
                peak: (frame, single),
            });
            if single > run.peak.1 {
                run.peak = (frame, single);
            }
            return None;
        }
        let threshold = self.options.threshold;
        let Some(run) = self.run.take().filter(|run| run.peak.1 > threshold) else {
            let limit = self.options.merge_frames;
            let expired = |cut: &mut Cut| frame > cut.scene_start.0 + limit;
            return self.held.take_if(expired);
        };
        let mut cut = run.cut(frame);
        let before = self.held.take();
        let near = before.filter(|held| {
            self.plain_since && run.first <= held.scene_start.0 + self.options.merge_frames
        });
        if let Some(held) = near {
            cut.scene_end = held.scene_end;
            cut.score = cut.score.max(held.score);
        }
        self.held = Some(cut);
        self.plain_since = plain;
        if near.is_some() { None } else { before }
    }

    /// Ends the video. A run that reaches the end starts no scene and is no cut.
    fn finish(&mut self) -> Option<Cut> {
        self.run = None;
        self.held.take()
    }
}

#[cfg(test)]
mod tests;
