//! One file per filter: it measures; a range in the config decides.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;

use crate::core::{ConfigError, ItemError, PairCandidate, Range, Scene, Score};
use crate::models::Embedder;
use crate::vision::{ChangeSketch, SketchDifference, Viewpoint, sketch_difference, viewpoint};

mod camera_rotation;
mod camera_shift;
mod camera_zoom;
mod change_focus;
mod changed_area;
mod dark_frames;
mod duration;
mod exposure;
mod gap;
mod homography_inliers;
mod motion;
mod near_identical;
mod resolution;
mod scene_purity;
mod sharpness;
mod similarity_window;
mod static_frames;
mod viewpoint_blocks_16;
mod viewpoint_blocks_8;
mod warp_residual;

#[cfg(test)]
mod testing;

/// Every filter of scenes.
pub static SCENE_FILTERS: &[FilterDef<Scene>] = &[
    duration::DEF,
    resolution::DEF,
    static_frames::DEF,
    dark_frames::DEF,
    exposure::DEF,
    scene_purity::DEF,
    sharpness::DEF,
    motion::DEF,
];

/// Every filter of pairs.
pub static PAIR_FILTERS: &[FilterDef<PairCandidate>] = &[
    gap::DEF,
    viewpoint_blocks_8::DEF,
    viewpoint_blocks_16::DEF,
    camera_rotation::DEF,
    camera_zoom::DEF,
    camera_shift::DEF,
    homography_inliers::DEF,
    warp_residual::DEF,
    changed_area::DEF,
    change_focus::DEF,
    near_identical::DEF,
    similarity_window::DEF,
];

/// The definitions with the cheap ones first; equally dear ones keep the table's order.
pub fn in_cost_order<T>(defs: &'static [FilterDef<T>]) -> Vec<&'static FilterDef<T>> {
    let mut ordered: Vec<_> = defs.iter().collect();
    ordered.sort_by_key(|def| def.cost);
    ordered
}

/// The camera's motion between the pair's frames, measured once for all filters that ask.
fn shared_viewpoint(
    pair: &PairCandidate,
    context: &mut FilterContext,
) -> Result<Viewpoint, ItemError> {
    context.shared(|| viewpoint(&pair.from_frame().image, &pair.to_frame().image))
}

/// The pair's coarse difference, measured once for all filters that ask.
fn shared_sketch_difference(
    pair: &PairCandidate,
    context: &mut FilterContext,
) -> Result<SketchDifference, ItemError> {
    context.shared(|| {
        let from = ChangeSketch::new(&pair.from_frame().image);
        let to = ChangeSketch::new(&pair.to_frame().image);
        Ok(sketch_difference(&from, &to))
    })
}

/// The middle value, the lower one of two; NaN for none, which no range keeps.
fn median(mut values: Vec<Score>) -> Score {
    values.sort_unstable_by(f32::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(Score::NAN)
}

/// Measures one number of an item. Never decides.
pub trait Filter<T> {
    /// The score, in the unit its definition states.
    fn measure(&mut self, item: &T, context: &mut FilterContext) -> Result<Score, ItemError>;
}

/// Values that several filters derive from the same item, computed once. One per item.
#[derive(Default)]
pub struct FilterContext {
    shared: BTreeMap<TypeId, Box<dyn Any>>,
}

impl FilterContext {
    /// The value of that type, made by the first filter that asks.
    pub fn shared<V: Any + Clone>(
        &mut self,
        make: impl FnOnce() -> Result<V, ItemError>,
    ) -> Result<V, ItemError> {
        let key = TypeId::of::<V>();
        if let Some(value) = self
            .shared
            .get(&key)
            .and_then(|any| any.downcast_ref::<V>())
        {
            return Ok(value.clone());
        }
        let value = make()?;
        self.shared.insert(key, Box::new(value.clone()));
        Ok(value)
    }
}

/// What filters may ask for when they are built, inside the worker's thread.
pub trait ModelSource {
    /// The embedder that the config names.
    fn embedder(&self) -> Result<Box<dyn Embedder>, ConfigError>;
}

/// What a filter costs; cheap ones run first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// A number that is already there.
    Stat,
    /// A look at pixels.
    Pixels,
    /// A run of an embedder.
    Embed,
    /// A run of a vision-language model.
    Vlm,
}

/// Makes a filter, with the models it asks for.
pub type BuildFilter<T> = fn(&dyn ModelSource) -> Result<Box<dyn Filter<T>>, ConfigError>;

/// A filter's registration: config key, column, unit, default range.
pub struct FilterDef<T: 'static> {
    /// Config key `[filters.<name>]`, reject reason and column `score_<name>`.
    pub name: &'static str,
    /// Unit of the score.
    pub unit: &'static str,
    /// One line for docs and `config show`.
    pub about: &'static str,
    /// Range when the config names none.
    pub default: Range,
    /// For the order.
    pub cost: Cost,
    /// Makes it.
    pub build: BuildFilter<T>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_cheap_filters_come_first() {
        let mut names = BTreeSet::new();
        for name in SCENE_FILTERS
            .iter()
            .map(|def| def.name)
            .chain(PAIR_FILTERS.iter().map(|def| def.name))
        {
            assert!(names.insert(name), "{name} twice");
        }
        let costs: Vec<_> = in_cost_order(PAIR_FILTERS)
            .iter()
            .map(|def| def.cost)
            .collect();
        assert!(costs.is_sorted());
        assert_eq!(in_cost_order(PAIR_FILTERS)[0].name, "gap");
    }

    #[test]
    fn a_shared_value_is_made_once() {
        let mut context = FilterContext::default();
        let mut made = 0;
        for _ in 0..3 {
            let value: u64 = context
                .shared(|| {
                    made += 1;
                    Ok(41 + made)
                })
                .unwrap();
            assert_eq!(value, 42);
        }
        assert_eq!(made, 1);
    }
}
