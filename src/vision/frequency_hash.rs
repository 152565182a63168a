//! Which of a picture's low frequencies are strong, as bits.

use opencv::core::{self, CV_32F, Mat, MatTraitConst, MatTraitConstManual, MatTraitManual, Size};
use opencv::imgproc;

use super::mat::{failed, rgb_mat};
use crate::core::{ErrorKind, ItemError, Rgb8};

/// Hashes pictures one after the other; its buffers live as long as it does.
///
/// Unlike [`super::perceptual_hash`] its number of bits is free, and it equals PySceneDetect's.
#[derive(Debug)]
pub struct FrequencyHasher {
    side: u32,
    lowpass: u32,
    grey: Mat,
    small: Mat,
    levels: Mat,
    spectrum: Mat,
    kept: Vec<f32>,
    sorted: Vec<f32>,
    bits: Vec<bool>,
}

impl FrequencyHasher {
    /// Keeps `side` frequencies in each direction of a picture scaled to `side * lowpass` pixels.
    ///
    /// # Errors
    /// When `side * lowpass` is odd or 0: there is no fast cosine transform of that size.
    pub fn new(side: u32, lowpass: u32) -> Result<Self, ItemError> {
        let pixels = side * lowpass;
        if pixels == 0 || !pixels.is_multiple_of(2) {
            return Err(ItemError::new(
                ErrorKind::Bug,
                format!("{side} frequencies of {pixels} pixels: the pixels must be even"),
            ));
        }
        Ok(Self {
            side,
            lowpass,
            grey: Mat::default(),
            small: Mat::default(),
            levels: Mat::default(),
            spectrum: Mat::default(),
            kept: Vec::new(),
            sorted: Vec::new(),
            bits: Vec::new(),
        })
    }

    /// The bits of a picture, `side * side` of them: frequencies above their median.
    ///
    /// # Errors
    /// When OpenCV refuses the picture.
    pub fn hash(&mut self, image: &Rgb8) -> Result<&[bool], ItemError> {
        let what = "hashing a picture";
        let rgb = rgb_mat(image)?;
        imgproc::cvt_color_def(&rgb, &mut self.grey, imgproc::COLOR_RGB2GRAY)
            .map_err(failed(what))?;
        let pixels = (self.side * self.lowpass) as i32;
        let size = Size::new(pixels, pixels);
        imgproc::resize(
            &self.grey,
            &mut self.small,
            size,
            0.0,
            0.0,
            imgproc::INTER_AREA,
        )
        .map_err(failed(what))?;
        let bytes = self.small.data_bytes().map_err(failed(what))?;
        let largest = f32::from(bytes.iter().copied().max().unwrap_or(0).max(1));
        self.small
            .convert_to(&mut self.levels, CV_32F, 1.0, 0.0)
            .map_err(failed(what))?;
        let levels = self.levels.data_typed_mut::<f32>();
        for level in levels.map_err(failed(what))? {
            *level /= largest;
        }
        core::dct_def(&self.levels, &mut self.spectrum).map_err(failed(what))?;
        let spectrum = self.spectrum.data_typed::<f32>().map_err(failed(what))?;
        let side = self.side as usize;
        self.kept.clear();
        for row in spectrum.chunks_exact(pixels as usize).take(side) {
            self.kept.extend_from_slice(&row[..side]);
        }
        self.sorted.clone_from(&self.kept);
        let middle = median(&mut self.sorted);
        self.bits.clear();
        self.bits
            .extend(self.kept.iter().map(|strength| *strength > middle));
        Ok(&self.bits)
    }
}

/// The middle value; the mean of the two middle ones of an even number.
fn median(values: &mut [f32]) -> f32 {
    let half = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    let upper = *upper;
    if is_even {
        let lower = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        f32::midpoint(lower, upper)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_bits_are_set_and_brightness_changes_none() {
        let picture = |gain: f32| {
            Rgb8::from_fn(64, 36, move |x, y| {
                [((x * x + y * y * 3) % 200) as f32 * gain; 3].map(|level| level as u8)
            })
        };
        let mut hasher = FrequencyHasher::new(8, 2).unwrap();
        let bright = hasher.hash(&picture(1.0)).unwrap().to_vec();
        assert_eq!(
            (bright.len(), bright.iter().filter(|bit| **bit).count()),
            (64, 32)
        );
        let dark = hasher.hash(&picture(0.5)).unwrap();
        let differ = bright.iter().zip(dark).filter(|(a, b)| a != b).count();
        assert!(differ <= 4, "{differ}");
    }

    #[test]
    fn a_plain_picture_has_one_bit_and_black_has_none() {
        let mut hasher = FrequencyHasher::new(8, 2).unwrap();
        let mut set = |level: u8| {
            let bits = hasher
                .hash(&Rgb8::from_fn(40, 20, |_, _| [level; 3]))
                .unwrap();
            bits.iter().filter(|bit| **bit).count()
        };
        assert_eq!((set(90), set(0)), (1, 0));
    }

    #[test]
    fn odd_sizes_are_refused() {
        assert!(FrequencyHasher::new(7, 1).is_err());
        assert!(FrequencyHasher::new(7, 2).is_ok());
    }

    #[test]
    fn the_middle_is_the_median() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 8.0]), 3.0);
    }
}
