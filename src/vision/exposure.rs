//! How much of a picture is clipped to black or white.

use crate::core::Rgb8;

/// At or below this luma a pixel shows nothing any more.
const BLACK_LUMA: u8 = 6;
/// At or above this luma a pixel shows nothing any more.
const WHITE_LUMA: u8 = 250;

/// Brightness of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Share of pixels with a luma of at most 6.
    pub dark_ratio: f32,
    /// Share of pixels with a luma of at least 250.
    pub bright_ratio: f32,
    /// Mean luma, 0–255.
    pub mean_luma: f32,
}

/// Measures the brightness of a picture of any size.
pub fn exposure(image: &Rgb8) -> Exposure {
    let luma = image.luma();
    let count = luma.len().max(1) as f32;
    let (mut dark, mut bright, mut sum) = (0_u32, 0_u32, 0_u64);
    for value in luma {
        dark += u32::from(value <= BLACK_LUMA);
        bright += u32::from(value >= WHITE_LUMA);
        sum += u64::from(value);
    }
    Exposure {
        dark_ratio: dark as f32 / count,
        bright_ratio: bright as f32 / count,
        mean_luma: (sum as f64 / f64::from(count)) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipped_parts_are_counted() {
        let image = Rgb8::from_fn(10, 10, |x, _| match x {
            0..2 => [0; 3],
            2..5 => [255; 3],
            _ => [128; 3],
        });
        let measured = exposure(&image);
        assert!((measured.dark_ratio - 0.2).abs() < 1e-6);
        assert!((measured.bright_ratio - 0.3).abs() < 1e-6);
        assert!((measured.mean_luma - (0.3 * 255.0 + 64.0)).abs() < 0.1);
    }
}
