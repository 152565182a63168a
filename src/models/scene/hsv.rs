//! 8-bit RGB to HSV, bit for bit as OpenCV's `COLOR_RGB2HSV`.

use crate::core::Rgb8;

const SHIFT: i32 = 12;

/// Planes of hue (0..180), saturation and value (0..=255), one byte a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hsv {
    pub(super) planes: [Vec<u8>; 3],
}

/// Reciprocals in fixed point: `full_scale / i`, ties to even.
fn table(full_scale: f64) -> [i32; 256] {
    let mut table = [0; 256];
    for (i, entry) in table.iter_mut().enumerate().skip(1) {
        *entry = (full_scale * f64::from(1 << SHIFT) / i as f64).round_ties_even() as i32;
    }
    table
}

impl Hsv {
    pub(super) fn new(image: &Rgb8) -> Self {
        let (saturation, hue) = (table(255.0), table(180.0 / 6.0));
        let pixels = image.data().len() / 3;
        let mut planes = [0; 3].map(|_: u8| Vec::with_capacity(pixels));
        for pixel in image.data().chunks_exact(3) {
            let hsv = convert([pixel[0], pixel[1], pixel[2]], &saturation, &hue);
            for (plane, value) in planes.iter_mut().zip(hsv) {
                plane.push(value);
            }
        }
        Self { planes }
    }

    /// Mean absolute difference of each plane; 0 for pictures of other sizes.
    pub(super) fn differences(&self, other: &Self) -> [f64; 3] {
        let mut means = [0.0; 3];
        for (mean, (a, b)) in means.iter_mut().zip(self.planes.iter().zip(&other.planes)) {
            let sum: u64 = a
                .iter()
                .zip(b)
                .map(|(a, b)| u64::from(a.abs_diff(*b)))
                .sum();
            *mean = sum as f64 / a.len().max(1) as f64;
        }
        means
    }
}

fn convert(rgb: [u8; 3], saturation: &[i32; 256], hue: &[i32; 256]) -> [u8; 3] {
    let [r, g, b] = rgb.map(i32::from);
    let value = r.max(g).max(b);
    let span = value - r.min(g).min(b);
    let fixed = |factor: i32, reciprocal: i32| (factor * reciprocal + (1 << (SHIFT - 1))) >> SHIFT;
    let sector = if value == r {
        g - b
    } else if value == g {
        b - r + 2 * span
    } else {
        r - g + 4 * span
    };
    let angle = fixed(sector, hue[span as usize]);
    let angle = if angle < 0 { angle + 180 } else { angle };
    [
        angle as u8,
        fixed(span, saturation[value as usize]) as u8,
        value as u8,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_match_the_reference() {
        // cv2.cvtColor(…, COLOR_RGB2HSV)
        let known: [([u8; 3], [u8; 3]); 6] = [
            ([255, 0, 0], [0, 255, 255]),
            ([0, 255, 0], [60, 255, 255]),
            ([0, 0, 255], [120, 255, 255]),
            ([128, 128, 128], [0, 0, 128]),
            ([10, 20, 30], [105, 170, 30]),
            ([200, 13, 90], [168, 238, 200]),
        ];
        for (rgb, hsv) in known {
            let image = Hsv::new(&Rgb8::from_fn(1, 1, |_, _| rgb));
            assert_eq!(image.planes.map(|plane| plane[0]), hsv, "{rgb:?}");
        }
    }

    #[test]
    fn every_fourth_level_sums_to_the_reference() {
        // Sums of the three planes over r, g, b in 0, 4, 8 … 252, by cv2.
        let image = Rgb8::from_fn(64 * 64, 64, |x, y| {
            [(x / 64 * 4) as u8, (x % 64 * 4) as u8, (y * 4) as u8]
        });
        let sums = Hsv::new(&image)
            .planes
            .map(|plane| plane.iter().map(|v| u64::from(*v)).sum::<u64>());
        assert_eq!(sums, REFERENCE_SUMS);
    }

    const REFERENCE_SUMS: [u64; 3] = [23_409_512, 45_088_452, 49_803_264];
}
