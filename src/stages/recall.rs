//! What an earlier run measured of a video, taken instead of another pass over it.

use std::sync::Arc;

use super::cut_source::FoundCuts;
use super::recorder::MEASURED;
use super::split::Split;
use crate::core::{
    Fingerprint, Hasher, Key, Ranges, Rgb8, SampledFrame, Scene, SceneRecord, SceneSamples, Scores,
    Trace, Video, VideoId, VideoRecord,
};
use crate::engine::{Memo, Stage as _};

/// How the numbers of an earlier run are used.
#[derive(Clone)]
pub struct Recall {
    /// What filters measure with: the program's version, their models.
    pub identity: String,
    /// What pairs are proposed by.
    pub proposal: Fingerprint,
    /// The filters of scenes.
    pub scene: Ranges,
    /// The filters of pairs.
    pub pair: Ranges,
    /// Whether a failing filter rejects.
    pub rejects: bool,
}

impl Recall {
    fn suits(&self, record: &VideoRecord) -> bool {
        record.suffices(&self.scene, &self.pair, self.rejects)
    }
}

/// What is remembered of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing.
    Nothing,
    /// Where its cuts are.
    Cuts,
    /// Everything that was measured; it need not be decoded to be judged again.
    Measurements,
}

impl Split {
    /// Where the cuts of a video are remembered.
    pub(super) fn cuts_key(&self, video: &VideoId) -> Key {
        let hash = self
            .cuts_fingerprint()
            .str(&self.source_identity)
            .str(video.as_str());
        Key::from_hash(hash.finish())
    }

    /// Where the numbers of a video are remembered.
    pub(super) fn measured_key(&self, video: &VideoId) -> Option<(Memo, Key)> {
        let (memo, recall) = self.memo.as_ref().zip(self.recall.as_ref())?;
        let hash = Hasher::new("measured")
            .str(self.fingerprint().as_str())
            .str(&self.source_identity)
            .str(&recall.identity)
            .str(recall.proposal.as_str())
            .str(video.as_str());
        Some((memo.clone(), Key::from_hash(hash.finish())))
    }

    /// What an earlier run measured of a video, if it is enough for these ranges.
    pub(super) fn recalled(&self, video: &VideoId) -> Option<VideoRecord> {
        let (memo, key) = self.measured_key(video)?;
        let recall = self.recall.as_ref()?;
        memo.get_if(MEASURED, &key, |record| recall.suits(record))
    }

    /// What is remembered of a video, for a look ahead.
    pub fn remembered(&self, video: &VideoId) -> Remembered {
        if let Some((memo, key)) = self.measured_key(video)
            && let Some(recall) = &self.recall
            && let Some(record) = memo.peek::<VideoRecord>(MEASURED, &key)
            && recall.suits(&record)
        {
            return Remembered::Measurements;
        }
        let cuts = self
            .memo
            .as_ref()
            .and_then(|memo| memo.peek::<FoundCuts>("split", &self.cuts_key(video)));
        cuts.map_or(Remembered::Nothing, |_| Remembered::Cuts)
    }
}

/// A scene as an earlier run saw it; its samples have no pixels, as nobody looks at them.
pub(super) fn recalled_scene(video: &Arc<Video>, index: u32, record: SceneRecord) -> Scene {
    let nothing = Rgb8::from_fn(1, 1, |_, _| [0; 3]);
    let frames = record.samples.iter().map(|at| SampledFrame {
        index: at.index,
        pts: at.pts,
        image: nothing.clone(),
        next: None,
        small: nothing.clone(),
    });
    let samples = SceneSamples {
        frames: frames.collect(),
        permit: None,
    };
    Scene {
        id: Scene::id_of(&video.id, record.pts),
        video: Arc::clone(video),
        index,
        frames: record.frames,
        pts: record.pts,
        cut_score: record.cut_score,
        stats: record.stats.clone(),
        samples: Arc::new(samples),
        scores: Scores::default(),
        trace: Trace::Recorded(Arc::new(record)),
    }
}
