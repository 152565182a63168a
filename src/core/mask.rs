//! Binary masks and their run-length form.

use serde::{Deserialize, Serialize};

/// Most pixels of a mask that is read.
const MAX_AREA_PX: u64 = 1 << 28;

/// A binary picture, row by row, one bool a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    bits: Vec<bool>,
}

impl Mask {
    /// An empty mask.
    pub fn empty(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            bits: vec![false; width as usize * height as usize],
        }
    }
    /// A mask from `bit(x, y)`.
    pub fn from_fn(width: u32, height: u32, mut bit: impl FnMut(u32, u32) -> bool) -> Self {
        let mut mask = Self::empty(width, height);
        for y in 0..height {
            for x in 0..width {
                mask.bits[(y * width + x) as usize] = bit(x, y);
            }
        }
        mask
    }
    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }
    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }
    /// Whether a pixel is set; outside is not.
    pub fn get(&self, x: u32, y: u32) -> bool {
        x < self.width && y < self.height && self.bits[(y * self.width + x) as usize]
    }
    /// Sets one pixel; outside is ignored.
    pub fn set(&mut self, x: u32, y: u32, bit: bool) {
        if x < self.width && y < self.height {
            self.bits[(y * self.width + x) as usize] = bit;
        }
    }
    /// Number of set pixels.
    pub fn area_px(&self) -> u64 {
        self.bits.iter().filter(|bit| **bit).count() as u64
    }
    /// Run-length form.
    pub fn to_rle(&self) -> Rle {
        let mut counts = Vec::new();
        let (mut run, mut current) = (0_u32, false);
        for x in 0..self.width {
            for y in 0..self.height {
                let bit = self.bits[(y * self.width + x) as usize];
                if bit == current {
                    run += 1;
                } else {
                    counts.push(run);
                    (run, current) = (1, bit);
                }
            }
        }
        counts.push(run);
        Rle {
            width: self.width,
            height: self.height,
            counts,
        }
    }
}

/// Uncompressed COCO run lengths: column-major, starting with a run of zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rle {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Lengths of alternating runs of zeros and ones.
    pub counts: Vec<u32>,
}

impl Rle {
    /// Back to pixels; none where the runs do not fill the picture, or it is absurdly large.
    pub fn to_mask(&self) -> Option<Mask> {
        let total = u64::from(self.width) * u64::from(self.height);
        let filled: u64 = self.counts.iter().map(|run| u64::from(*run)).sum();
        if filled != total || total > MAX_AREA_PX {
            return None;
        }
        let mut mask = Mask::empty(self.width, self.height);
        let mut at = 0_u64;
        for (n, run) in self.counts.iter().enumerate() {
            let end = at + u64::from(*run);
            if n % 2 == 1 {
                for k in at..end {
                    let (x, y) = (k / u64::from(self.height), k % u64::from(self.height));
                    mask.set(x as u32, y as u32, true);
                }
            }
            at = end;
        }
        Some(mask)
    }

    /// The compressed text form that `pycocotools` reads as `counts` (the LEB-like base-48 coding).
    pub fn to_coco_string(&self) -> String {
        let mut text = String::new();
        for (n, count) in self.counts.iter().enumerate() {
            let mut value = i64::from(*count);
            if n > 2 {
                value -= i64::from(self.counts[n - 2]);
            }
            loop {
                let mut digit = (value & 0x1f) as u8;
                value >>= 5;
                let more = if digit & 0x10 == 0 {
                    value != 0
                } else {
                    value != -1
                };
                if more {
                    digit |= 0x20;
                }
                text.push((digit + 48) as char);
                if !more {
                    break;
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coco_text_matches_the_reference() {
        // pycocotools 2.0: encode(asfortranarray([[0,1,1],[0,1,0]])) -> size [2,3], counts b'231'
        let mask = Mask::from_fn(3, 2, |x, y| x == 1 || (x == 2 && y == 0));
        assert_eq!(mask.to_rle().counts, [2, 3, 1]);
        assert_eq!(mask.to_rle().to_coco_string(), "231");
    }

    proptest! {
        #[test]
        fn rle_and_mask_are_one(width in 1_u32..12, height in 1_u32..12, seed in any::<u64>()) {
            let mask = Mask::from_fn(width, height, |x, y| (seed >> ((x * 5 + y * 3) % 64)) & 1 == 1);
            prop_assert_eq!(mask.to_rle().to_mask(), Some(mask));
        }
    }

    mod prop {
        use super::*;
        use crate::core::testing::damaged;

        proptest! {
            #[test]
            fn any_run_lengths_are_pixels_or_refused(
                bytes in damaged(br#"{"width":9,"height":4,"counts":[3,30,2,1]}"#.to_vec()),
                (width, height) in prop_oneof![(0_u32..9, 0_u32..9), any::<(u32, u32)>()],
                counts in proptest::collection::vec(any::<u32>(), 0..9),
            ) {
                let read = serde_json::from_slice::<Rle>(&bytes).ok();
                for rle in [Some(Rle { width, height, counts }), read].into_iter().flatten() {
                    let _ = rle.to_coco_string();
                    if let Some(mask) = rle.to_mask() {
                        prop_assert_eq!(mask.to_rle().to_mask(), Some(mask));
                    }
                }
            }
        }
    }
}
