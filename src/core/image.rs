//! The one pixel type that crosses module borders.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{ErrorKind, ItemError};

/// Pixels, height x width x 3, 8 bit, sRGB, full range, rows without padding. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Rgb8 {
    width: u32,
    height: u32,
    data: Arc<Vec<u8>>,
}

impl Rgb8 {
    /// Wraps `width * height * 3` bytes.
    ///
    /// # Errors
    /// When the length does not fit or a side is 0.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, ItemError> {
        let expected = width as usize * height as usize * 3;
        if expected == 0 || data.len() != expected {
            return Err(ItemError::new(
                ErrorKind::Bug,
                format!(
                    "{} bytes for a {width}x{height} picture, expected {expected}",
                    data.len()
                ),
            ));
        }
        Ok(Self {
            width,
            height,
            data: Arc::new(data),
        })
    }

    /// A picture made pixel by pixel from `color(x, y)`; sides of 0 become 1.
    pub fn from_fn(width: u32, height: u32, mut color: impl FnMut(u32, u32) -> [u8; 3]) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        let mut data = Vec::with_capacity(width as usize * height as usize * 3);
        for y in 0..height {
            for x in 0..width {
                data.extend_from_slice(&color(x, y));
            }
        }
        Self {
            width,
            height,
            data: Arc::new(data),
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }
    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }
    /// All bytes, row by row, RGB.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
    /// One row's bytes.
    pub fn row(&self, y: u32) -> &[u8] {
        let stride = self.width as usize * 3;
        &self.data[y as usize * stride..(y as usize + 1) * stride]
    }
    /// One pixel.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y as usize * self.width as usize + x as usize) * 3;
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }
    /// Length of the diagonal in pixels.
    pub fn diagonal_px(&self) -> f32 {
        (self.width as f32).hypot(self.height as f32)
    }
    /// BT.601 luma, one byte a pixel, as OpenCV and PySceneDetect compute it.
    pub fn luma(&self) -> Vec<u8> {
        self.data
            .chunks_exact(3)
            .map(|p| {
                let sum = 4899 * u32::from(p[0]) + 9617 * u32::from(p[1]) + 1868 * u32::from(p[2]);
                ((sum + 8192) >> 14) as u8
            })
            .collect()
    }
    /// The part from `(x, y)` of the given size, cut to the picture; never empty.
    #[must_use]
    pub fn crop(&self, x: u32, y: u32, width: u32, height: u32) -> Self {
        let x = x.min(self.width - 1);
        let y = y.min(self.height - 1);
        let width = width.clamp(1, self.width - x);
        let height = height.clamp(1, self.height - y);
        let mut data = Vec::with_capacity(width as usize * height as usize * 3);
        for row in y..y + height {
            data.extend_from_slice(
                &self.row(row)[x as usize * 3..(x as usize + width as usize) * 3],
            );
        }
        Self {
            width,
            height,
            data: Arc::new(data),
        }
    }
}

impl std::fmt::Debug for Rgb8 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rgb8({}x{})", self.width, self.height)
    }
}

/// How a picture's size follows from the display size of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SizeRule {
    /// Exactly so, without regard to the aspect ratio.
    Exact {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// At most this wide, aspect ratio kept, never enlarged.
    MaxWidth(u32),
    /// The longer side at most this long, aspect ratio kept, never enlarged.
    MaxSide(u32),
    /// At most this many pixels in all, aspect ratio kept, never enlarged.
    MaxPixels(u64),
}

impl SizeRule {
    /// The picture of each frame that detectors and pair proposals look at: as small as
    /// PySceneDetect makes it.
    pub const LOW_RES: Self = Self::MaxSide(256);

    /// `(width, height)` for a source of that size; both at least 1.
    pub fn apply(self, width: u32, height: u32) -> (u32, u32) {
        let scaled = |factor: f64| {
            let side = |n: u32| ((f64::from(n) * factor).round() as u32).max(1);
            (side(width), side(height))
        };
        match self {
            Self::Exact { width, height } => (width.max(1), height.max(1)),
            Self::MaxWidth(max) if width > max => scaled(f64::from(max) / f64::from(width)),
            Self::MaxSide(max) if width.max(height) > max => {
                scaled(f64::from(max) / f64::from(width.max(height)))
            }
            Self::MaxPixels(max) if u64::from(width) * u64::from(height) > max => {
                scaled((max as f64 / (f64::from(width) * f64::from(height))).sqrt())
            }
            _ => (width.max(1), height.max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_aspect_and_never_grow() {
        assert_eq!(SizeRule::MaxWidth(256).apply(1920, 1080), (256, 144));
        assert_eq!(SizeRule::MaxSide(512).apply(100, 50), (100, 50));
        assert_eq!(SizeRule::MaxSide(10).apply(1000, 1), (10, 1));
        assert_eq!(SizeRule::MaxPixels(100).apply(20, 20), (10, 10));
    }

    #[test]
    fn a_wrong_length_is_refused() {
        assert!(Rgb8::new(2, 2, vec![0; 11]).is_err());
        assert!(Rgb8::new(0, 2, vec![]).is_err());
    }

    #[test]
    fn crops_stay_inside() {
        let image = Rgb8::from_fn(4, 3, |x, y| [x as u8, y as u8, 0]);
        let part = image.crop(2, 1, 9, 9);
        assert_eq!(
            (part.width(), part.height(), part.pixel(1, 1)),
            (2, 2, [3, 2, 0])
        );
    }
}
