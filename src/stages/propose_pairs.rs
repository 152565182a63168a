//! propose_pairs: chooses pairs of sampled frames in which one thing seems to change.

use std::sync::Arc;

use crate::core::{
    ErrorKind, FatalError, Fingerprint, Hasher, ItemError, PairCandidate, PairRecord, Proposal,
    Scene, Score, Scores, Trace,
};
use crate::engine::{Outbox, Rejection, Stage, Worker};
use crate::vision::{ChangeSketch, SketchDifference, sketch_difference};

/// Bump when other pairs are proposed from the same scene.
const LOGIC_VERSION: i64 = 1;

/// The stage.
#[derive(Clone, Debug)]
pub struct ProposePairs {
    /// Smallest time between the two frames, seconds.
    pub min_gap_secs: f64,
    /// Largest time between the two frames, seconds.
    pub max_gap_secs: f64,
    /// Most pairs per scene.
    pub max_per_scene: usize,
}

impl Stage for ProposePairs {
    type In = Scene;
    type Out = PairCandidate;
    type Worker = Self;

    fn name(&self) -> &'static str {
        "propose_pairs"
    }
    fn fingerprint(&self) -> Fingerprint {
        let hash = Hasher::new("propose_pairs")
            .int(LOGIC_VERSION)
            .json(&(self.min_gap_secs, self.max_gap_secs))
            .int(self.max_per_scene as i64);
        Fingerprint::from_hash(hash.finish())
    }
    fn open(&self) -> Result<Self, FatalError> {
        Ok(self.clone())
    }
}

/// A possible pair and how promising it is.
#[derive(Clone, Copy, Debug)]
struct Promising {
    from: usize,
    to: usize,
    promise: f32,
}

impl Worker for ProposePairs {
    type In = Scene;
    type Out = PairCandidate;

    fn process(
        &mut self,
        scene: Scene,
        out: &mut Outbox<'_, PairCandidate>,
    ) -> Result<(), ItemError> {
        let found = match &scene.trace {
            Trace::Recorded(record) => record.proposal.clone(),
            _ => self.propose(&scene),
        };
        if let Trace::Recording(recorder) = &scene.trace {
            recorder.proposal(scene.index, found.clone());
        }
        match found {
            Proposal::Pairs(pairs) => {
                let scores = scene.scores.clone();
                let scene = Arc::new(scene);
                for PairRecord { from, to, .. } in pairs {
                    let scene = Arc::clone(&scene);
                    out.emit(PairCandidate {
                        scene,
                        from,
                        to,
                        scores: scores.clone(),
                    });
                }
                Ok(())
            }
            Proposal::Nothing { reason, score } => {
                let detail = super::screen::scene_detail(&scene, &scene.scores);
                out.reject(Rejection {
                    reason,
                    score,
                    detail,
                });
                Ok(())
            }
            Proposal::NotAsked => {
                let what = "an earlier run proposed no pairs of this scene";
                Err(ItemError::new(ErrorKind::Bug, what))
            }
        }
    }
}

impl ProposePairs {
    fn propose(&self, scene: &Scene) -> Proposal {
        let base = scene.video.info.time_base;
        let times: Vec<f64> = scene
            .samples
            .frames
            .iter()
            .map(|frame| base.secs(frame.pts))
            .collect();
        let sketches: Vec<ChangeSketch> = scene
            .samples
            .frames
            .iter()
            .map(|frame| ChangeSketch::new(&frame.small))
            .collect();
        let mut proposals = Vec::new();
        let mut most_changed: Score = 0.0;
        let mut is_any_gap = false;
        for from in 0..times.len() {
            for to in from + 1..times.len() {
                let gap_secs = times[to] - times[from];
                if gap_secs < self.min_gap_secs || gap_secs > self.max_gap_secs {
                    continue;
                }
                is_any_gap = true;
                let difference = sketch_difference(&sketches[from], &sketches[to]);
                most_changed = most_changed.max(difference.changed_ratio);
                let promise = promise(&difference);
                if promise > 0.0 {
                    proposals.push(Promising { from, to, promise });
                }
            }
        }
        if proposals.is_empty() {
            let (reason, score) = if is_any_gap {
                ("no_change", Some(most_changed))
            } else {
                ("no_gap", None)
            };
            let reason = reason.to_owned();
            return Proposal::Nothing { reason, score };
        }
        let chosen = spread(proposals, &times, self.max_per_scene);
        let pairs = chosen.into_iter().map(|Promising { from, to, .. }| {
            let scores = Scores::default();
            PairRecord { from, to, scores }
        });
        Proposal::Pairs(pairs.collect())
    }
}

/// How much a pair looks like one change before a fixed background; 0 = nothing changed.
fn promise(difference: &SketchDifference) -> f32 {
    // Below half a percent of the frame a change is too small to describe; from 4 % on it is
    // plain to see; above 40 % of the frame the picture is another one.
    let visible = ((difference.changed_ratio - 0.005) / 0.035).clamp(0.0, 1.0);
    let local = ((0.6 - difference.changed_ratio) / 0.2).clamp(0.05, 1.0);
    let still_border = (1.0 - difference.border_changed_ratio).max(0.05);
    visible * local * still_border * (0.25 + 0.75 * difference.largest_component_ratio)
}

/// The most promising pair of each of `count` equal stretches of time, in time order.
fn spread(proposals: Vec<Promising>, times: &[f64], count: usize) -> Vec<Promising> {
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return vec![];
    };
    let stretch_secs = ((last - first) / count as f64).max(f64::EPSILON);
    let mut best: Vec<Option<Promising>> = vec![None; count];
    for proposal in proposals {
        let middle = f64::midpoint(times[proposal.from], times[proposal.to]);
        let at = (((middle - first) / stretch_secs) as usize).min(count - 1);
        if best[at].is_none_or(|known| proposal.promise > known.promise) {
            best[at] = Some(proposal);
        }
    }
    let mut chosen: Vec<Promising> = best.into_iter().flatten().collect();
    chosen.sort_by_key(|proposal| (proposal.from, proposal.to));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(changed: f32, component: f32, border: f32) -> SketchDifference {
        SketchDifference {
            changed_ratio: changed,
            largest_component_ratio: component,
            border_changed_ratio: border,
            mean_abs: 0.0,
        }
    }

    #[test]
    fn one_change_before_a_still_border_promises_most() {
        let one = promise(&difference(0.1, 0.95, 0.0));
        assert!(one > promise(&difference(0.1, 0.3, 0.0)));
        assert!(one > promise(&difference(0.1, 0.95, 0.8)));
        assert!(one > promise(&difference(0.9, 0.95, 0.0)));
        assert_eq!(promise(&difference(0.001, 1.0, 0.0)), 0.0);
    }

    #[test]
    fn pairs_are_spread_over_time() {
        let times: Vec<f64> = (0..10).map(f64::from).collect();
        let all = (0..9)
            .map(|n| Promising {
                from: n,
                to: n + 1,
                promise: 1.0 + n as f32,
            })
            .collect();
        let chosen = spread(all, &times, 3);
        assert_eq!(chosen.iter().map(|p| p.from).collect::<Vec<_>>(), [2, 5, 8]);
    }
}
