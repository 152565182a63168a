//! Whether a scene holds one picture source only, by another measure than the scene detector's.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, Range, Rgb8, Scene, Score};

/// Steps of each colour channel that are told apart.
const STEPS: usize = 4;

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "scene_purity",
    unit: "share of pixels",
    about: "pixels whose colours two neighbouring sampled frames have in common, at the place in the \
            scene where they are fewest; low: a cut was missed",
    default: Range::at_least(0.2),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(ScenePurity)),
};

struct ScenePurity;

impl Filter<Scene> for ScenePurity {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        let samples = &scene.samples.frames;
        let histograms: Vec<_> = samples
            .iter()
            .map(|frame| histogram(&frame.small))
            .collect();
        let common = histograms.windows(2).map(|pair| common(&pair[0], &pair[1]));
        Ok(common.fold(1.0, Score::min))
    }
}

type Histogram = [f32; STEPS * STEPS * STEPS];

/// Share of the pixels in each cell of the colour cube.
fn histogram(image: &Rgb8) -> Histogram {
    let mut cells = [0_u32; STEPS * STEPS * STEPS];
    for pixel in image.data().chunks_exact(3) {
        let cell = pixel.iter().fold(0, |cell, value| {
            cell * STEPS + usize::from(*value) * STEPS / 256
        });
        cells[cell] += 1;
    }
    let pixels = (image.data().len() / 3).max(1) as f32;
    cells.map(|count| count as f32 / pixels)
}

fn common(a: &Histogram, b: &Histogram) -> Score {
    a.iter().zip(b).map(|(a, b)| a.min(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;

    fn score(frames: Vec<Rgb8>) -> Score {
        let scene = SceneMaker::new(frames).scene();
        ScenePurity
            .measure(&scene, &mut FilterContext::default())
            .unwrap()
    }

    #[test]
    fn another_picture_inside_is_seen_and_motion_is_not() {
        let blue = Rgb8::from_fn(320, 180, |x, _| [10, 20, 150 + (x % 64) as u8]);
        let moving = score(vec![picture(0), picture(20), picture(40)]);
        assert!(moving > 0.8, "{moving}");
        let mixed = score(vec![picture(0), picture(20), blue.clone(), blue]);
        assert!(mixed < 0.2, "{mixed}");
        assert!(DEF.default.keeps(moving) && !DEF.default.keeps(mixed));
    }

    #[test]
    fn a_scene_of_one_sample_is_pure() {
        assert_eq!(score(vec![picture(0)]), 1.0);
    }
}
