//! What becomes of the items of one manifest row under other ranges.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::{Value, json};

use super::Moves;
use crate::config::{Config, JudgeBackend};
use crate::core::{End, FatalError, Funnel, ItemPath, Range, Score, Scores};
use crate::filters::{FilterDef, PAIR_FILTERS, SCENE_FILTERS};
use crate::io::{
    DuplicateIndex, DuplicateVerdict, KeptHash, KeptRow, Leave, RejectLine, RejectRow, RowRecord,
    sort_rejects,
};
use crate::pipelines::edit_pairs::bound;
use crate::stages::judge::too_few_points;
use crate::stages::screen::first_out_of_range;

const SCENES: &str = "screen_scenes";
const PAIRS: &str = "screen_pairs";
const JUDGE: &str = "judge";
const DUPLICATE: &str = "duplicate";

/// What is kept about a scene that is rejected.
const OF_SCENE: [&str; 8] = [
    "video_id",
    "video_uri",
    "scene_id",
    "scene_index",
    "scene_start_pts",
    "scene_end_pts",
    "time_base_num",
    "time_base_den",
];
/// What is kept of a later end, and not of a pair that is rejected by a filter.
const OF_LATER_ENDS: [&str; 3] = ["words", "sample_id", "hashes"];

/// A row of the old data set.
pub(super) struct RowIn {
    pub(super) row: u64,
    pub(super) path: ItemPath,
    pub(super) record: RowRecord,
    pub(super) hash: KeptHash,
}

/// What became of a manifest row.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) kept: Vec<KeptRow>,
    pub(super) hashes: Vec<KeptHash>,
    pub(super) rejects: Vec<RejectRow>,
    pub(super) funnel: Funnel,
    pub(super) moves: Moves,
}

type Ranges = Vec<(&'static str, Range)>;

/// What decides, in the order in which a run decides.
pub(super) struct Rules {
    scene: Ranges,
    pair: Ranges,
    min_points: Option<Score>,
}

fn ranges<T>(config: &Config, defs: &'static [FilterDef<T>]) -> Ranges {
    let bound = bound(config, defs).into_iter();
    bound.map(|bound| (bound.def.name, bound.range)).collect()
}

/// The first stored score that is out of its range.
fn first_out(ranges: &Ranges, scores: &Scores) -> Option<(&'static str, Score)> {
    let measured = ranges
        .iter()
        .filter_map(|(name, range)| Some(((*name, scores.get(name)?), Some(*range))));
    let found = first_out_of_range(measured, |(_, score)| Ok::<_, Infallible>(*score));
    let Ok(found) = found;
    found.map(|((name, _), score)| (name, score))
}

/// Something that ended in the old data set.
enum Item {
    Row(Box<RowIn>),
    Line(RejectLine),
}

impl Item {
    fn path(&self) -> &ItemPath {
        match self {
            Self::Row(row) => &row.path,
            Self::Line(line) => &line.path,
        }
    }

    fn scores(&self) -> Scores {
        match self {
            Self::Row(row) => row.record.scores.clone(),
            Self::Line(line) => stored_scores(line),
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::Row(row) => row.record.detail(),
            Self::Line(line) => line.detail.clone(),
        }
    }

    fn points(&self) -> Vec<(String, Score)> {
        match self {
            Self::Row(row) => row.record.points.clone(),
            Self::Line(line) => {
                let points = line.detail.get("judgement").and_then(|j| j.get("points"));
                serde_json::from_value(points.cloned().unwrap_or_default()).unwrap_or_default()
            }
        }
    }

    /// Whether a filter of this stage ended it.
    fn was_rejected_by(&self, stage: &str) -> bool {
        match self {
            Self::Row(_) => false,
            Self::Line(line) => line.outcome == Leave::Rejected && line.stage == stage,
        }
    }

    fn is_failure(&self) -> bool {
        matches!(self, Self::Line(line) if line.outcome == Leave::Failed)
    }
}

/// The scores of a reject. JSON has no number for one that is none: the filter that rejected for it
/// says which.
fn stored_scores(line: &RejectLine) -> Scores {
    let mut scores = Scores::default();
    let stored = line.detail.get("scores").and_then(Value::as_object);
    for (name, value) in stored.into_iter().flatten() {
        if let Some(score) = value.as_f64() {
            scores.set(name, score as Score);
        } else if filter_of(line) == name {
            scores.set(name, Score::NAN);
        }
    }
    scores
}

/// The reason without its stage.
fn filter_of(line: &RejectLine) -> &str {
    let reason = line.reason.strip_prefix(&line.stage);
    reason
        .and_then(|reason| reason.strip_prefix('/'))
        .unwrap_or(&line.reason)
}

/// Where items of the chain's stages are in a path.
struct Depths<'a> {
    stages: &'a [&'a str],
}

impl Depths<'_> {
    /// Numbers in the path of what ended in a stage.
    fn of(&self, stage: &str) -> Result<usize, FatalError> {
        let at = self.stages.iter().position(|known| *known == stage);
        at.map(|at| at + 2).ok_or_else(|| {
            FatalError::Refused(format!(
                "the run has no stage {stage}; it was made by another version, make it again"
            ))
        })
    }
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            scene: ranges(config, SCENE_FILTERS),
            pair: ranges(config, PAIR_FILTERS),
            min_points: (config.judge.backend != JudgeBackend::None).then_some(config.judge.min),
        }
    }

    /// Decides about everything that descends from one manifest row.
    pub(super) fn root(
        &self,
        stages: &[&str],
        rows: Vec<RowIn>,
        lines: Vec<RejectRow>,
        duplicates: &mut DuplicateIndex,
    ) -> Result<Decided, FatalError> {
        let depths = Depths { stages };
        let at_scene = depths.of(SCENES)?;
        let uri = rows.first().map(|row| row.record.video_uri.clone());
        let uri = uri.or_else(|| lines.first().map(|line| line.uri.clone()));
        let mut root = Root {
            depths,
            duplicates,
            decided: Decided::default(),
            kept_paths: Vec::new(),
            lines: Vec::new(),
        };
        root.decided.moves.rows_before = rows.len() as u64;
        let rows = rows.into_iter().map(|row| Item::Row(Box::new(row)));
        let mut items: Vec<Item> = rows
            .chain(lines.into_iter().map(|row| Item::Line(row.line)))
            .collect();
        items.sort_by(|a, b| a.path().cmp(b.path()));
        let mut scenes: BTreeMap<ItemPath, Vec<Item>> = BTreeMap::new();
        for item in items {
            if item.path().numbers().len() < at_scene {
                root.keep(item);
            } else {
                let scene = item.path().ancestor(at_scene);
                scenes.entry(scene).or_default().push(item);
            }
        }
        for (path, items) in scenes {
            self.scene(&path, items, &mut root)?;
        }
        root.finish(&uri.unwrap_or_default())
    }

    fn scene(
        &self,
        path: &ItemPath,
        items: Vec<Item>,
        root: &mut Root<'_>,
    ) -> Result<(), FatalError> {
        // Every descendant of a scene carries the scene's scores, but for failures.
        let measured = items.iter().find(|item| !item.is_failure());
        let found = measured.and_then(|item| {
            let (name, score) = first_out(&self.scene, &item.scores())?;
            Some((name, score, item.detail()))
        });
        let Some((name, score, detail)) = found else {
            for item in items {
                if item.was_rejected_by(SCENES) {
                    root.undecided(item);
                } else {
                    self.pair(item, root)?;
                }
            }
            return Ok(());
        };
        let reason = format!("{SCENES}/{name}");
        let is_same = |item: &Item| matches!(item, Item::Line(line) if line.reason == reason);
        if items.len() == 1 && items.iter().all(is_same) {
            for item in items {
                root.keep(item);
            }
            return Ok(());
        }
        let rows = items.iter().filter(|item| matches!(item, Item::Row(_)));
        let rows = rows.count() as u64;
        if rows > 0 {
            *root
                .decided
                .moves
                .rejected
                .entry(reason.clone())
                .or_default() += rows;
        }
        let mut kept = json!({});
        for key in OF_SCENE {
            kept[key] = detail.get(key).cloned().unwrap_or_default();
        }
        let all = detail.get("scores").and_then(Value::as_object);
        let of_scene = |name: &str| self.scene.iter().any(|(known, _)| *known == name);
        let scores = all.into_iter().flatten();
        let scores: serde_json::Map<String, Value> = scores
            .filter(|(name, _)| of_scene(name))
            .map(|(name, score)| (name.clone(), score.clone()))
            .collect();
        kept["scores"] = scores.into();
        root.lines
            .push(rejection(path.clone(), SCENES, reason, score, kept));
        Ok(())
    }

    fn pair(&self, item: Item, root: &mut Root<'_>) -> Result<(), FatalError> {
        let at_pair = root.depths.of(PAIRS)?;
        if item.is_failure() || item.path().numbers().len() < at_pair {
            root.keep(item);
            return Ok(());
        }
        if let Some((name, score)) = first_out(&self.pair, &item.scores()) {
            root.reject(item, PAIRS, name, score)?;
        } else if item.was_rejected_by(PAIRS) {
            root.undecided(item);
        } else if let Some((axis, points)) = self
            .min_points
            .and_then(|min| too_few_points(&item.points(), min))
        {
            root.reject(item, JUDGE, &axis, points)?;
        } else if item.was_rejected_by(JUDGE) && !item.points().is_empty() {
            root.undecided(item);
        } else {
            root.compare(item);
        }
        Ok(())
    }
}

/// One manifest row while it is decided about.
struct Root<'a> {
    depths: Depths<'a>,
    duplicates: &'a mut DuplicateIndex,
    decided: Decided,
    kept_paths: Vec<ItemPath>,
    lines: Vec<RejectLine>,
}

impl Root<'_> {
    /// Leaves something as it is; a row is compared with the rows before it.
    fn keep(&mut self, item: Item) {
        match item {
            Item::Line(line) => self.lines.push(line),
            Item::Row(_) => self.compare(item),
        }
    }

    /// The new ranges would keep it, but what comes after was never done.
    fn undecided(&mut self, item: Item) {
        if let Item::Line(line) = &item {
            let name = match line.stage.as_str() {
                JUDGE => JUDGE,
                _ => filter_of(line),
            };
            let count = self.decided.moves.undecided.entry(name.to_owned());
            *count.or_default() += 1;
        }
        self.keep(item);
    }

    fn reject(
        &mut self,
        item: Item,
        stage: &str,
        name: &str,
        score: Score,
    ) -> Result<(), FatalError> {
        let reason = format!("{stage}/{name}");
        match &item {
            Item::Line(line) if line.stage == stage && line.reason == reason => {
                self.keep(item);
                return Ok(());
            }
            Item::Line(_) => {}
            Item::Row(_) => {
                let count = self.decided.moves.rejected.entry(reason.clone());
                *count.or_default() += 1;
            }
        }
        let path = item.path().ancestor(self.depths.of(stage)?);
        let mut detail = item.detail();
        if let Some(detail) = detail.as_object_mut() {
            for key in OF_LATER_ENDS {
                detail.remove(key);
            }
            if let Some(Value::Object(scores)) = detail.get_mut("scores") {
                scores.remove(DUPLICATE);
            }
        }
        self.lines
            .push(rejection(path, stage, reason, score, detail));
        Ok(())
    }

    /// Compares a row, or a duplicate, with the rows before it that stay.
    fn compare(&mut self, item: Item) {
        match item {
            Item::Row(row) => match self.duplicates.judge(row.hash) {
                DuplicateVerdict::Kept { nearest_bits } => {
                    self.decided.kept.push(KeptRow {
                        row: row.row,
                        nearest_bits,
                    });
                    self.decided.hashes.push(row.hash);
                    self.kept_paths.push(row.path);
                }
                DuplicateVerdict::Duplicate {
                    distance_bits,
                    reason,
                } => {
                    let reason = format!("{DUPLICATE}/{reason}");
                    let count = self.decided.moves.rejected.entry(reason.clone());
                    *count.or_default() += 1;
                    let detail = row.record.duplicate_detail(distance_bits, &row.hash);
                    let score = distance_bits as Score;
                    self.lines
                        .push(rejection(row.path, DUPLICATE, reason, score, detail));
                }
            },
            Item::Line(mut line) => {
                let hash = line.detail.get("hashes").and_then(Value::as_str);
                if line.stage == DUPLICATE
                    && let Some(hash) = hash.and_then(KeptHash::parse)
                {
                    match self.duplicates.look(&hash) {
                        // Its picture is gone, so it stays what it was.
                        DuplicateVerdict::Kept { .. } => self.decided.moves.freed_duplicates += 1,
                        DuplicateVerdict::Duplicate {
                            distance_bits,
                            reason,
                        } => {
                            line.reason = format!("{DUPLICATE}/{reason}");
                            line.score = Some(distance_bits as Score);
                            line.detail["scores"][DUPLICATE] = json!(distance_bits);
                        }
                    }
                }
                self.lines.push(line);
            }
        }
    }

    fn finish(self, uri: &str) -> Result<Decided, FatalError> {
        let Self {
            depths,
            mut decided,
            kept_paths,
            mut lines,
            ..
        } = self;
        sort_rejects(&mut lines);
        let kept = kept_paths.iter().map(End::kept);
        let ends: Vec<End<'_>> = kept.chain(lines.iter().map(RejectLine::end)).collect();
        decided.funnel = Funnel::of_ends(depths.stages, &ends).map_err(|what| {
            FatalError::Refused(format!("{uri}: {what}; see `framewright verify`"))
        })?;
        let row = |line| RejectRow {
            uri: uri.to_owned(),
            line,
        };
        decided.rejects = lines.into_iter().map(row).collect();
        Ok(decided)
    }
}

fn rejection(
    path: ItemPath,
    stage: &str,
    reason: String,
    score: Score,
    detail: Value,
) -> RejectLine {
    RejectLine {
        path,
        outcome: Leave::Rejected,
        stage: stage.to_owned(),
        reason,
        score: Some(score).filter(|score| score.is_finite()),
        message: String::new(),
        detail,
    }
}

#[cfg(test)]
mod tests;
