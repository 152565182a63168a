//! What was measured of a video: enough to judge it by other ranges without decoding it again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::item::{FrameRef, SceneStats};
use super::score::{Range, Score, Scores};
use super::time::{FrameIndex, Pts, Span};

/// The scenes of a video with all their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoRecord {
    /// In order.
    pub scenes: Vec<SceneRecord>,
}

/// A scene, the frames sampled from it and its pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneRecord {
    /// Frame numbers.
    pub frames: Span<FrameIndex>,
    /// Times.
    pub pts: Span<Pts>,
    /// Score of the cut at the start and at the end.
    pub cut_score: [Option<Score>; 2],
    /// Numbers over all its frames.
    pub stats: SceneStats,
    /// The frames that were sampled.
    pub samples: Vec<FrameRef>,
    /// What scene filters measured; those behind the one that rejected it did not.
    pub scores: Scores,
    /// Its pairs.
    pub proposal: Proposal,
}

/// What was proposed in a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// Nothing: the scene was rejected before.
    NotAsked,
    /// There was no pair.
    Nothing {
        /// Why not.
        reason: String,
        /// The number that was too small.
        score: Option<Score>,
    },
    /// These pairs.
    Pairs(Vec<PairRecord>),
}

/// A pair of sampled frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairRecord {
    /// Position of the earlier one in the scene's samples.
    pub from: usize,
    /// Position of the later one in the scene's samples.
    pub to: usize,
    /// Scene scores and what pair filters measured until one rejected it.
    pub scores: Scores,
}

/// Filters with ranges in the order in which they judge.
pub type Ranges = Vec<(&'static str, Range)>;

/// How ranges decide about something with these scores.
enum Decision {
    Kept,
    Rejected,
    /// The filter that decides did not measure.
    Unknown,
}

fn decide(scores: &Scores, ranges: &Ranges, rejects: bool) -> Decision {
    for (name, range) in ranges {
        match scores.get(name) {
            None => return Decision::Unknown,
            Some(score) if rejects && !range.keeps(score) => return Decision::Rejected,
            Some(_) => {}
        }
    }
    Decision::Kept
}

impl VideoRecord {
    /// Whether every scene and pair can be judged by these ranges; without `rejects` filters only
    /// record, so that all must have measured.
    pub fn suffices(&self, scene: &Ranges, pair: &Ranges, rejects: bool) -> bool {
        self.scenes.iter().all(|record| {
            match (decide(&record.scores, scene, rejects), &record.proposal) {
                (Decision::Unknown, _) | (Decision::Kept, Proposal::NotAsked) => false,
                (Decision::Rejected, _) | (Decision::Kept, Proposal::Nothing { .. }) => true,
                (Decision::Kept, Proposal::Pairs(pairs)) => pairs.iter().all(|record| {
                    !matches!(decide(&record.scores, pair, rejects), Decision::Unknown)
                }),
            }
        })
    }
}

/// Who writes the record of a video while its scenes go through the stages.
pub trait Recorder: std::fmt::Debug + Send + Sync {
    /// The filters of scenes are done with a scene; `goes_on` says that pairs will be asked for.
    fn scene(&self, index: u32, scores: &Scores, goes_on: bool);
    /// Pairs were asked for; their filters have not measured yet.
    fn proposal(&self, index: u32, proposal: Proposal);
    /// The filters of pairs are done with a pair.
    fn pair(&self, index: u32, from: usize, to: usize, scores: &Scores);
}

/// Where the numbers of a scene come from or go to.
#[derive(Clone, Debug, Default)]
pub enum Trace {
    /// They are measured and nobody remembers them.
    #[default]
    None,
    /// They are measured and remembered.
    Recording(Arc<dyn Recorder>),
    /// They were measured before; the scene's samples have no pixels.
    Recorded(Arc<SceneRecord>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(of: &[(&str, f32)]) -> Scores {
        let mut scores = Scores::default();
        for (name, score) in of {
            scores.set(name, *score);
        }
        scores
    }

    fn record(of: &[(&str, f32)], proposal: Proposal) -> VideoRecord {
        VideoRecord {
            scenes: vec![SceneRecord {
                frames: Span::new(FrameIndex(0), 9),
                pts: Span::new(Pts(0), 90),
                cut_score: [None, Some(0.5)],
                stats: SceneStats::default(),
                samples: Vec::new(),
                scores: scores(of),
                proposal,
            }],
        }
    }

    fn pairs(of: &[(&str, f32)]) -> Proposal {
        Proposal::Pairs(vec![PairRecord {
            from: 0,
            to: 1,
            scores: scores(of),
        }])
    }

    #[test]
    fn a_record_suffices_where_no_filter_is_missing_before_the_decision() {
        let scene: Ranges = vec![("a", Range::at_least(1.0)), ("b", Range::at_least(1.0))];
        let pair: Ranges = vec![("c", Range::at_most(1.0)), ("d", Range::at_most(1.0))];
        let suffices = |record: &VideoRecord| record.suffices(&scene, &pair, true);
        // Rejected by its first filter, then and now.
        let early = record(&[("a", 0.5)], Proposal::NotAsked);
        assert!(suffices(&early));
        let looser = vec![("a", Range::at_least(0.1)), scene[1]];
        assert!(!early.suffices(&looser, &pair, true), "b did not measure");
        assert!(
            !early.suffices(&scene, &pair, false),
            "all must have measured"
        );
        // Kept now, but nobody asked for pairs.
        let kept = [("a", 2.0), ("b", 2.0)];
        assert!(!suffices(&record(&kept, Proposal::NotAsked)));
        assert!(suffices(&record(&kept, pairs(&[("c", 2.0)]))));
        assert!(!suffices(&record(&kept, pairs(&[("c", 0.5)]))));
        assert!(suffices(&record(&kept, pairs(&[("c", 0.5), ("d", 9.0)]))));
    }

    #[test]
    fn scores_come_back_to_the_last_bit() {
        let odd = record(
            &[
                ("a", 0.1 + 0.2),
                ("b", f32::MIN_POSITIVE),
                ("c", 1.0e30 / 3.0),
            ],
            pairs(&[("d", -1.0 / 3.0)]),
        );
        let text = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<VideoRecord>(&text).unwrap(), odd);
    }
}
