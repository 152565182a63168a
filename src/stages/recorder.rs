//! Gathers what the stages measure of a video and remembers it once everything is there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::core::{Key, Proposal, Recorder, SceneRecord, Scores, VideoRecord};
use crate::engine::Memo;

/// The memo's folder of records.
pub(super) const MEASURED: &str = "measured";

/// The record of one video in the making. One that stays incomplete, because something failed or the
/// run ended, is not remembered.
#[derive(Debug)]
pub(super) struct VideoRecorder {
    memo: Memo,
    key: Key,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    record: VideoRecord,
    /// Scenes and pairs of which something is still to come.
    open: usize,
    is_split_done: bool,
}

impl VideoRecorder {
    pub(super) fn new(memo: Memo, key: Key) -> Arc<Self> {
        Arc::new(Self {
            memo,
            key,
            state: Mutex::default(),
        })
    }

    /// A scene goes on its way; scenes come in the order of their numbers.
    pub(super) fn begin(&self, scene: SceneRecord) {
        self.change(|state| {
            state.record.scenes.push(scene);
            state.open += 1;
        });
    }

    /// No more scenes will come, and nothing of the video was lost.
    pub(super) fn split_done(&self) {
        self.change(|state| state.is_split_done = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.is_split_done && state.open == 0 {
            self.memo
                .put(MEASURED, &self.key, &state.record)
                .unwrap_or_else(|error| tracing::warn!("not remembered: {error}"));
        }
    }
}

impl Recorder for VideoRecorder {
    fn scene(&self, index: u32, scores: &Scores, goes_on: bool) {
        self.change(|state| {
            if let Some(scene) = state.record.scenes.get_mut(index as usize) {
                scene.scores = scores.clone();
                state.open -= usize::from(!goes_on);
            }
        });
    }

    fn proposal(&self, index: u32, proposal: Proposal) {
        self.change(|state| {
            if let Proposal::Pairs(pairs) = &proposal {
                state.open += pairs.len();
            }
            if let Some(scene) = state.record.scenes.get_mut(index as usize) {
                scene.proposal = proposal;
                state.open -= 1;
            }
        });
    }

    fn pair(&self, index: u32, from: usize, to: usize, scores: &Scores) {
        self.change(|state| {
            let scene = state.record.scenes.get_mut(index as usize);
            let Some(Proposal::Pairs(pairs)) = scene.map(|scene| &mut scene.proposal) else {
                return;
            };
            let mut pairs = pairs.iter_mut();
            if let Some(pair) = pairs.find(|pair| pair.from == from && pair.to == to) {
                pair.scores = scores.clone();
                state.open -= 1;
            }
        });
    }
}
