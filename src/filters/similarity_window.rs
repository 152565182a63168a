//! How alike two frames are to an image embedder.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ErrorKind, ItemError, PairCandidate, Range, Score};
use crate::models::Embedder;

/// Registration. Calibrated for the EfficientNet-Lite0 embedding: frames of one clip have .87 to
/// .99, also where a person walks in (.58), and frames of different clips at most .43.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "similarity_window",
    unit: "cosine",
    about: "similarity of the frames' embeddings; low is another scene, very high is no change",
    default: Range::within(0.5, 0.998),
    cost: Cost::Embed,
    build: |models| {
        Ok(Box::new(SimilarityWindow {
            embedder: models.embedder()?,
        }))
    },
};

struct SimilarityWindow {
    embedder: Box<dyn Embedder>,
}

impl Filter<PairCandidate> for SimilarityWindow {
    fn measure(&mut self, pair: &PairCandidate, _: &mut FilterContext) -> Result<Score, ItemError> {
        let images = [
            pair.from_frame().image.clone(),
            pair.to_frame().image.clone(),
        ];
        let vectors = self.embedder.embed(&images)?;
        let [from, to] = vectors.as_slice() else {
            return Err(ItemError::new(
                ErrorKind::Model,
                format!("the embedder gave {} vectors for 2 pictures", vectors.len()),
            ));
        };
        Ok(from.iter().zip(to).map(|(a, b)| a * b).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;
    use crate::core::Rgb8;

    /// Gives the first picture `[1, 0]` and the second a vector at the wanted cosine.
    struct Fake(f32);

    impl Embedder for Fake {
        fn dim(&self) -> usize {
            2
        }
        fn embed(&mut self, images: &[Rgb8]) -> Result<Vec<Vec<f32>>, ItemError> {
            let all = vec![vec![1.0, 0.0], vec![self.0, (1.0 - self.0 * self.0).sqrt()]];
            Ok(all.into_iter().take(images.len()).collect())
        }
    }

    #[test]
    fn both_ends_are_dropped() {
        let pair = SceneMaker::new(vec![picture(0), picture(1)]).pair();
        for (cosine, kept) in [(0.3, false), (0.9, true), (1.0, false)] {
            let embedder = Box::new(Fake(cosine));
            let score = SimilarityWindow { embedder }
                .measure(&pair, &mut FilterContext::default())
                .unwrap();
            assert_eq!(DEF.default.keeps(score), kept, "{cosine}");
        }
    }
}
