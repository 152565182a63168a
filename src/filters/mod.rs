//! One file per filter: it measures; a range in the config decides.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;

use crate::core::{ConfigError, ItemError, Range, Score};
use crate::models::Embedder;

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
    pub build: fn(&dyn ModelSource) -> Result<Box<dyn Filter<T>>, ConfigError>,
}
