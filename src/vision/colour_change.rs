//! How much the colours of a picture changed since the one before, channel by channel.

use opencv::core::{self, Mat, MatTraitConst, MatTraitConstManual, Scalar, Size};
use opencv::imgproc;

use super::mat::{failed, rgb_mat};
use crate::core::{ItemError, Rgb8};

/// Part of the median that Canny's two limits lie below and above it.
const SIGMA: f64 = 1.0 / 3.0;

/// Whether outlines are compared, and how thick they are made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlines {
    /// Not compared: they cost more than all else.
    Off,
    /// As thick as suits the size of the picture: 5 pixels at 256 by 144.
    Auto,
    /// So many pixels thick, an odd number of at least 3.
    Px(u32),
}

impl Outlines {
    fn thickness_px(self, width: i32, height: i32) -> i32 {
        match self {
            Self::Px(side) => side as i32,
            Self::Off | Self::Auto => {
                let side = (f64::from(width) * f64::from(height)).sqrt() / 192.0;
                (4 + side.round_ties_even() as i32) | 1
            }
        }
    }
}

/// Mean absolute difference of each channel to the picture before, 0–255.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColourDifference {
    /// Hue, on OpenCV's scale of 0–180, without regard to its being a circle.
    pub hue: f64,
    /// Saturation.
    pub saturation: f64,
    /// Value: the largest of red, green and blue.
    pub value: f64,
    /// Pixels that are edges in one picture only count 255; 0 when outlines are off.
    pub edges: f64,
}

/// Compares each picture with the one before; its buffers live as long as it does.
#[derive(Debug)]
pub struct ColourChange {
    outlines: Outlines,
    now: Planes,
    before: Planes,
    has_before: bool,
    difference: Mat,
    value: Mat,
    edges: Mat,
    kernel: (i32, Mat),
}

#[derive(Debug, Default)]
struct Planes {
    hsv: Mat,
    outlines: Mat,
}

impl ColourChange {
    /// Nothing seen yet.
    pub fn new(outlines: Outlines) -> Self {
        Self {
            outlines,
            now: Planes::default(),
            before: Planes::default(),
            has_before: false,
            difference: Mat::default(),
            value: Mat::default(),
            edges: Mat::default(),
            kernel: (0, Mat::default()),
        }
    }

    /// Forgets the last picture: the next one is the first.
    pub fn reset(&mut self) {
        self.has_before = false;
    }

    /// Takes the next picture. Zeros for the first one and for one of another size.
    ///
    /// # Errors
    /// When OpenCV refuses the picture.
    pub fn next(&mut self, image: &Rgb8) -> Result<ColourDifference, ItemError> {
        std::mem::swap(&mut self.now, &mut self.before);
        let rgb = rgb_mat(image)?;
        imgproc::cvt_color_def(&rgb, &mut self.now.hsv, imgproc::COLOR_RGB2HSV)
            .map_err(failed("converting to hsv"))?;
        if self.outlines != Outlines::Off {
            self.draw_outlines()?;
        }
        let is_comparable = self.has_before && same_size(&self.now.hsv, &self.before.hsv);
        self.has_before = true;
        if !is_comparable {
            return Ok(ColourDifference::default());
        }
        let pixels = f64::from(image.width()) * f64::from(image.height());
        let sums = self.sums(|planes| &planes.hsv)?;
        let edges = if self.outlines == Outlines::Off {
            0.0
        } else {
            self.sums(|planes| &planes.outlines)?[0]
        };
        Ok(ColourDifference {
            hue: sums[0] / pixels,
            saturation: sums[1] / pixels,
            value: sums[2] / pixels,
            edges: edges / pixels,
        })
    }

    /// Sums over all pixels of what changed in each channel.
    fn sums(&mut self, plane: fn(&Planes) -> &Mat) -> Result<Scalar, ItemError> {
        let (now, before) = (plane(&self.now), plane(&self.before));
        core::absdiff(now, before, &mut self.difference).map_err(failed("comparing colours"))?;
        core::sum_elems(&self.difference).map_err(failed("comparing colours"))
    }

    /// Canny's edges of the value plane, thickened so that small shifts keep most of them in place.
    fn draw_outlines(&mut self) -> Result<(), ItemError> {
        let what = "drawing outlines";
        let hsv = &self.now.hsv;
        core::extract_channel(hsv, &mut self.value, 2).map_err(failed(what))?;
        let middle = median(self.value.data_bytes().map_err(failed(what))?);
        let low = ((1.0 - SIGMA) * middle).max(0.0).trunc();
        let high = ((1.0 + SIGMA) * middle).min(255.0).trunc();
        imgproc::canny_def(&self.value, &mut self.edges, low, high).map_err(failed(what))?;
        let side = self.outlines.thickness_px(hsv.cols(), hsv.rows());
        if self.kernel.0 != side {
            let square = imgproc::get_structuring_element_def(
                imgproc::MORPH_RECT,
                Size::new(side.max(1), side.max(1)),
            );
            self.kernel = (side, square.map_err(failed(what))?);
        }
        imgproc::dilate_def(&self.edges, &mut self.now.outlines, &self.kernel.1)
            .map_err(failed(what))
    }
}

fn same_size(a: &Mat, b: &Mat) -> bool {
    (a.cols(), a.rows()) == (b.cols(), b.rows())
}

/// The middle value; the mean of the two middle ones of an even number.
fn median(values: &[u8]) -> f64 {
    let mut counts = [0_usize; 256];
    for value in values {
        counts[usize::from(*value)] += 1;
    }
    let at = |rank: usize| {
        let mut seen = 0;
        let value = counts.iter().position(|count| {
            seen += count;
            seen > rank
        });
        value.unwrap_or(0) as f64
    };
    let count = values.len();
    f64::midpoint(at(count.saturating_sub(1) / 2), at(count / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenCV's own tables for 8-bit HSV, so that a change of its arithmetic is seen.
    fn reference(rgb: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = rgb.map(i32::from);
        let value = r.max(g).max(b);
        let span = value - r.min(g).min(b);
        let fixed = |factor: i32, full_scale: f64, by: i32| {
            let reciprocal = if by == 0 {
                0
            } else {
                (full_scale * 4096.0 / f64::from(by)).round_ties_even() as i32
            };
            (factor * reciprocal + 2048) >> 12
        };
        let sector = if value == r {
            g - b
        } else if value == g {
            b - r + 2 * span
        } else {
            r - g + 4 * span
        };
        let angle = fixed(sector, 30.0, span);
        let angle = if angle < 0 { angle + 180 } else { angle };
        [angle, fixed(span, 255.0, value), value].map(|v| v as u8)
    }

    #[test]
    fn colours_match_the_reference() {
        let mut change = ColourChange::new(Outlines::Off);
        let black = Rgb8::from_fn(32, 18, |_, _| [0; 3]);
        for level in 0..48_u32 {
            // Many colours of each hue, and greys.
            let image = Rgb8::from_fn(32, 18, |x, y| {
                [
                    (x * 8 + level) as u8,
                    (y * 14 + level) as u8,
                    (level * 5) as u8,
                ]
            });
            change.next(&black).unwrap();
            let found = change.next(&image).unwrap();
            let mut sums = [0_u32; 3];
            for pixel in image.data().chunks_exact(3) {
                let hsv = reference([pixel[0], pixel[1], pixel[2]]);
                for (sum, value) in sums.iter_mut().zip(hsv) {
                    *sum += u32::from(value);
                }
            }
            let expected = sums.map(|sum| f64::from(sum) / f64::from(32 * 18));
            assert_eq!([found.hue, found.saturation, found.value], expected);
        }
    }

    #[test]
    fn outlines_change_where_an_edge_moves() {
        let step = |at: u32| Rgb8::from_fn(64, 36, move |x, _| [if x < at { 60 } else { 180 }; 3]);
        let mut change = ColourChange::new(Outlines::Auto);
        assert_eq!(change.next(&step(20)).unwrap(), ColourDifference::default());
        assert_eq!(change.next(&step(20)).unwrap().edges, 0.0);
        // Two bars of 5 by 36 pixels, in one picture each.
        let moved = change.next(&step(40)).unwrap().edges;
        assert!((moved - 255.0 * 10.0 / 64.0).abs() < 1e-9, "{moved}");
        // Another size and a new beginning compare with nothing.
        let other = Rgb8::from_fn(8, 8, |_, _| [9; 3]);
        assert_eq!(change.next(&other).unwrap(), ColourDifference::default());
        change.reset();
        assert_eq!(change.next(&step(1)).unwrap(), ColourDifference::default());
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between() {
        assert_eq!(median(&[4, 1, 3]), 3.0);
        assert_eq!(median(&[4, 1, 3, 2]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
