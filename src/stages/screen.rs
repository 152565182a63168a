//! screen: runs filters over an item and compares their scores with ranges.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::{
    ConfigError, ErrorKind, FatalError, Fingerprint, Hasher, ItemError, PairCandidate, Proposal,
    Range, Scene, Score, Scores, Trace,
};
use crate::engine::{Outbox, Rejection, Stage, Worker};
use crate::filters::{Filter, FilterContext, FilterDef, ModelSource};

/// Something filters can measure.
pub trait Screened: Send + Sync + Sized + 'static {
    /// Where scores are kept.
    fn scores_mut(&mut self) -> &mut Scores;
    /// What to keep about a rejected one: its place and all its scores.
    fn detail(&self) -> Value;
    /// What an earlier run measured: scores, if it is to be judged by them instead of by pixels.
    fn recorded(&self) -> Option<&Scores>;
    /// Says that all filters that had to be asked have measured.
    fn measured(&self, is_kept: bool);
}

impl Screened for Scene {
    fn scores_mut(&mut self) -> &mut Scores {
        &mut self.scores
    }
    fn detail(&self) -> Value {
        scene_detail(self, &self.scores)
    }
    fn recorded(&self) -> Option<&Scores> {
        match &self.trace {
            Trace::Recorded(record) => Some(&record.scores),
            _ => None,
        }
    }
    fn measured(&self, is_kept: bool) {
        if let Trace::Recording(recorder) = &self.trace {
            recorder.scene(self.index, &self.scores, is_kept);
        }
    }
}

impl Screened for PairCandidate {
    fn scores_mut(&mut self) -> &mut Scores {
        &mut self.scores
    }
    fn detail(&self) -> Value {
        pair_detail(
            &self.scene,
            self.from_frame().pts.0,
            self.to_frame().pts.0,
            &self.scores,
        )
    }
    fn recorded(&self) -> Option<&Scores> {
        let Trace::Recorded(record) = &self.scene.trace else {
            return None;
        };
        let Proposal::Pairs(pairs) = &record.proposal else {
            return None;
        };
        let mut pairs = pairs.iter();
        let pair = pairs.find(|pair| pair.from == self.from && pair.to == self.to);
        pair.map(|pair| &pair.scores)
    }
    fn measured(&self, _is_kept: bool) {
        if let Trace::Recording(recorder) = &self.scene.trace {
            recorder.pair(self.scene.index, self.from, self.to, &self.scores);
        }
    }
}

/// Place and scores of a scene, for the rejects table.
pub(super) fn scene_detail(scene: &Scene, scores: &Scores) -> Value {
    json!({
        "video_id": scene.video.id,
        "video_uri": scene.video.entry.uri,
        "scene_id": scene.id,
        "scene_index": scene.index,
        "scene_start_pts": scene.pts.start().0,
        "scene_end_pts": scene.pts.end().0,
        "time_base_num": scene.video.info.time_base.num,
        "time_base_den": scene.video.info.time_base.den,
        "scores": scores,
    })
}

/// Place and scores of a pair, for the rejects table.
pub(super) fn pair_detail(scene: &Scene, from_pts: i64, to_pts: i64, scores: &Scores) -> Value {
    let mut detail = scene_detail(scene, scores);
    detail["from_pts"] = json!(from_pts);
    detail["to_pts"] = json!(to_pts);
    detail
}

/// A filter with the range that decides.
#[derive(Clone)]
pub struct Bound<T: 'static> {
    /// The filter.
    pub def: &'static FilterDef<T>,
    /// Scores inside are kept.
    pub range: Range,
}

/// The stage; the order of `filters` is the order of measuring.
pub struct Screen<T: 'static> {
    /// `screen_scenes` or `screen_pairs`.
    pub name: &'static str,
    /// Filters with ranges.
    pub filters: Vec<Bound<T>>,
    /// Whether a failing filter rejects; otherwise it only records.
    pub rejects: bool,
    /// Threads.
    pub workers: usize,
    /// Where filters get their models.
    pub models: Arc<dyn ModelSource + Send + Sync>,
}

impl<T: Screened> Stage for Screen<T> {
    type In = T;
    type Out = T;
    type Worker = ScreenWorker<T>;

    fn name(&self) -> &'static str {
        self.name
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Hasher::new(self.name).int(1).int(i64::from(self.rejects));
        for bound in &self.filters {
            hash = hash.str(bound.def.name).json(&bound.range);
        }
        Fingerprint::from_hash(hash.finish())
    }
    fn open(&self) -> Result<ScreenWorker<T>, FatalError> {
        let filters = self
            .filters
            .iter()
            .map(|bound| {
                Ok((
                    bound.def.name,
                    bound.range,
                    (bound.def.build)(&*self.models)?,
                ))
            })
            .collect::<Result<Vec<_>, ConfigError>>()?;
        Ok(ScreenWorker {
            filters,
            rejects: self.rejects,
        })
    }
}

/// One thread's filters.
pub struct ScreenWorker<T> {
    filters: Vec<(&'static str, Range, Box<dyn Filter<T>>)>,
    rejects: bool,
}

impl<T: Screened> Worker for ScreenWorker<T> {
    type In = T;
    type Out = T;

    fn process(&mut self, mut item: T, out: &mut Outbox<'_, T>) -> Result<(), ItemError> {
        let mut context = FilterContext::default();
        let rejects = self.rejects;
        let filters = self.filters.iter_mut().map(|(name, range, filter)| {
            let range = if rejects { Some(*range) } else { None };
            ((*name, filter), range)
        });
        let found = first_out_of_range(filters, |(name, filter)| {
            let score = match item.recorded() {
                Some(scores) => scores.get(name).ok_or_else(|| {
                    ItemError::new(ErrorKind::Bug, "an earlier run did not measure it")
                }),
                None => filter.measure(&item, &mut context),
            };
            let score = score.map_err(|e| e.context(*name))?;
            item.scores_mut().set(name, score);
            Ok::<_, ItemError>(score)
        })?;
        item.measured(found.is_none());
        match found {
            Some(((name, _), score)) => out.reject(Rejection {
                reason: name.to_owned(),
                score: Some(score),
                detail: item.detail(),
            }),
            None => out.emit(item),
        }
        Ok(())
    }
}

/// The one rule by which scores decide: in the order given, the first score that its range does not
/// keep. Scores are asked for one by one, and no further ones after that; without a range a score is
/// only asked for.
///
/// # Errors
/// What `score` gives.
pub fn first_out_of_range<F, E>(
    filters: impl IntoIterator<Item = (F, Option<Range>)>,
    mut score: impl FnMut(&mut F) -> Result<Score, E>,
) -> Result<Option<(F, Score)>, E> {
    for (mut filter, range) in filters {
        let found = score(&mut filter)?;
        if range.is_some_and(|range| !range.keeps(found)) {
            return Ok(Some((filter, found)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_score_out_of_range_decides_and_ends_measuring() {
        let mut asked = Vec::new();
        let filters = [
            ("a", Some(Range::at_most(1.0))),
            ("b", None),
            ("c", Some(Range::at_least(0.5))),
            ("d", Some(Range::at_most(0.0))),
        ];
        let found = first_out_of_range(filters, |name| {
            asked.push(*name);
            Ok::<_, ()>(if *name == "c" { 0.4 } else { 1.0 })
        });
        assert_eq!(found, Ok(Some(("c", 0.4))));
        assert_eq!(asked, ["a", "b", "c"]);
        let found = first_out_of_range([("a", Some(Range::OPEN))], |_| Ok::<_, ()>(Score::NAN));
        assert!(found.unwrap().is_some(), "a score that is none was kept");
    }
}
