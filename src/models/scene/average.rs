//! Pictures made much smaller: each pixel the mean of those it covers.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::core::{ErrorKind, ItemError, Rgb8};

/// Averages pictures of one size after the other; keeps its buffers.
#[derive(Default)]
pub(super) struct Averager {
    resizer: Resizer,
}

impl Averager {
    /// The picture at `width` x `height`, without regard to its aspect ratio.
    pub(super) fn shrink(
        &mut self,
        image: &Rgb8,
        width: u32,
        height: u32,
    ) -> Result<Rgb8, ItemError> {
        let failed = |error: &dyn std::fmt::Display| {
            ItemError::new(ErrorKind::Bug, format!("averaging failed: {error}"))
        };
        let source = ImageRef::new(image.width(), image.height(), image.data(), PixelType::U8x3)
            .map_err(|error| failed(&error))?;
        let mut target = Image::new(width, height, PixelType::U8x3);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
        self.resizer
            .resize(&source, &mut target, &options)
            .map_err(|error| failed(&error))?;
        Rgb8::new(width, height, target.into_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers() {
        let image = Rgb8::from_fn(8, 4, |x, _| {
            if x < 4 {
                [0, 100, 200]
            } else {
                [x as u8 * 10; 3]
            }
        });
        let small = Averager::default().shrink(&image, 2, 1).unwrap();
        assert_eq!(small.data(), [0, 100, 200, 55, 55, 55]);
    }
}
