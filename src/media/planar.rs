//! Small pictures of planar frames without a full-size colour conversion.
//!
//! Each plane is averaged to the small size on its own, and only what is left is converted to RGB.
//! Next to decoding this is the main cost of looking at every frame, so it reads no more than
//! [`MAX_ROWS`] of the rows that fall into one small row, but all their columns. All sums are of whole numbers, so every processor gives the same pixels.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;

use super::libav::{Area, Colors, chroma_steps};

/// Rows of a plane that are averaged into one row, at most: of Y, of U and of V.
const MAX_ROWS: [usize; 3] = [2, 1, 1];
/// Brightness is averaged in whole pixels, which is good enough when it shrinks at least so much.
const MIN_SHRINK: u32 = 2;
/// Fixed-point one of the colour conversion.
const ONE: f64 = 65536.0;

/// Formats with one plane each for Y, U and V, and the bits of a sample.
const PLANAR: [(Pixel, u32); 9] = [
    (Pixel::YUV420P, 8),
    (Pixel::YUV422P, 8),
    (Pixel::YUV444P, 8),
    (Pixel::YUVJ420P, 8),
    (Pixel::YUVJ422P, 8),
    (Pixel::YUVJ444P, 8),
    (Pixel::YUV420P10LE, 10),
    (Pixel::YUV422P10LE, 10),
    (Pixel::YUV444P10LE, 10),
];

/// Averages planes; keeps its buffers from frame to frame.
#[derive(Default)]
pub(super) struct PlaneShrinker {
    sums: Vec<u16>,
    small: [Vec<u8>; 3],
}

impl PlaneShrinker {
    /// The part `area` of a frame at `width` x `height`: RGB, rows without padding. None where it
    /// does not apply: another format, or a plane that shrinks too little.
    pub(super) fn rgb(
        &mut self,
        frame: &frame::Video,
        colors: Colors,
        area: Area,
        (width, height): (u32, u32),
    ) -> Option<Vec<u8>> {
        let (_, bits) = PLANAR
            .into_iter()
            .find(|(format, _)| *format == frame.format())?;
        let (step_x, step_y) = chroma_steps(frame.format());
        let is_small = area.width < width * MIN_SHRINK.max(step_x)
            || area.height < height * MIN_SHRINK.max(step_y);
        if is_small || frame.planes() < 3 {
            return None;
        }
        for (number, max_rows) in MAX_ROWS.into_iter().enumerate() {
            let (by_x, by_y) = if number == 0 {
                (1, 1)
            } else {
                (step_x, step_y)
            };
            // A picture stored upside down has a negative stride.
            i32::try_from(frame.stride(number)).ok()?;
            let plane = Plane {
                bytes: frame.data(number),
                stride_bytes: frame.stride(number),
                bits,
                max_rows,
                x: (area.x / by_x) as usize,
                y: (area.y / by_y) as usize,
                width: area.width.div_ceil(by_x) as usize,
                height: area.height.div_ceil(by_y) as usize,
            };
            let small = &mut self.small[number];
            small.resize(width as usize * height as usize, 0);
            for (row, target) in small.chunks_exact_mut(width as usize).enumerate() {
                plane.add_rows(row, height as usize, &mut self.sums)?;
                plane.average(&self.sums, target);
            }
        }
        Some(to_rgb(&self.small, colors))
    }
}

struct Plane<'a> {
    bytes: &'a [u8],
    stride_bytes: usize,
    bits: u32,
    max_rows: usize,
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Plane<'_> {
    /// The one or two source rows that stand for a small row; none outside.
    fn sources(&self, row: usize, rows: usize) -> Option<[&[u8]; 2]> {
        let sample_bytes = if self.bits > 8 { 2 } else { 1 };
        let (first, end) = (row * self.height / rows, (row + 1) * self.height / rows);
        let inside = (end - first).max(1);
        let count = inside.min(self.max_rows);
        let source = |n: usize| {
            // Evenly spread, each in the middle of its share.
            let y = self.y + first + (2 * n + 1) * inside / (2 * count);
            let start = y * self.stride_bytes + self.x * sample_bytes;
            self.bytes.get(start..start + self.width * sample_bytes)
        };
        Some([source(0)?, source(count - 1)?])
    }

    /// Sums, column by column, of two source rows that stand for one small row; a single one
    /// counts twice.
    fn add_rows(&self, row: usize, rows: usize, sums: &mut Vec<u16>) -> Option<()> {
        let [a, b] = self.sources(row, rows)?;
        sums.resize(self.width, 0);
        if self.bits == 8 {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum = u16::from(*a) + u16::from(*b);
            }
        } else {
            let value = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
            let pairs = a.chunks_exact(2).zip(b.chunks_exact(2));
            for (sum, (a, b)) in sums.iter_mut().zip(pairs) {
                *sum = value(a) + value(b);
            }
        }
        Some(())
    }

    /// Means of the sums of two rows, as 8 bit. All windows have the same width, so that the
    /// compiler can unroll them; of a window of 7.5 columns seven are taken.
    fn average(&self, sums: &[u16], target: &mut [u8]) {
        let columns = self.width / target.len();
        match columns {
            1 => self.average_of::<1>(sums, target),
            2 => self.average_of::<2>(sums, target),
            3 => self.average_of::<3>(sums, target),
            4 => self.average_of::<4>(sums, target),
            5 => self.average_of::<5>(sums, target),
            6 => self.average_of::<6>(sums, target),
            7 => self.average_of::<7>(sums, target),
            8..12 => self.average_of::<8>(sums, target),
            12..16 => self.average_of::<12>(sums, target),
            _ => self.average_of::<16>(sums, target),
        }
    }

    fn average_of<const COLUMNS: usize>(&self, sums: &[u16], target: &mut [u8]) {
        // Fixed-point steps and a reciprocal: no division inside the loop.
        let step = ((self.width as u64) << 16) / target.len() as u64;
        let scale = (COLUMNS * 2) << (self.bits - 8);
        let reciprocal = (1_u32 << 20).div_ceil(scale as u32);
        for (n, value) in (0_u64..).zip(target.iter_mut()) {
            let at = ((n * step) >> 16) as usize;
            let Some(window) = sums.get(at..at + COLUMNS) else {
                continue;
            };
            let total: u32 = window.iter().map(|sum| u32::from(*sum)).sum();
            *value = (((total + scale as u32 / 2) * reciprocal) >> 20).min(255) as u8;
        }
    }
}

/// Planes of Y, U and V of the same size to RGB, 8 bit, full range.
fn to_rgb(planes: &[Vec<u8>; 3], colors: Colors) -> Vec<u8> {
    let (kr, kb) = match colors.matrix {
        1 => (0.2126, 0.0722),
        4 => (0.30, 0.11),
        7 => (0.212, 0.087),
        9 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    let kg = 1.0 - kr - kb;
    let (luma, chroma, black) = if colors.is_full_range {
        (1.0, 1.0, 0)
    } else {
        (255.0 / 219.0, 255.0 / 224.0, 16)
    };
    let fixed = |factor: f64| (factor * ONE).round() as i32;
    let y_gain = fixed(luma);
    let r_v = fixed(chroma * 2.0 * (1.0 - kr));
    let b_u = fixed(chroma * 2.0 * (1.0 - kb));
    let g_u = fixed(chroma * 2.0 * (1.0 - kb) * kb / kg);
    let g_v = fixed(chroma * 2.0 * (1.0 - kr) * kr / kg);
    let mut rgb = vec![0; planes[0].len() * 3];
    let [ys, us, vs] = planes;
    for (((pixel, y), u), v) in rgb.chunks_exact_mut(3).zip(ys).zip(us).zip(vs) {
        let y = (i32::from(*y) - black) * y_gain + (1 << 15);
        let (u, v) = (i32::from(*u) - 128, i32::from(*v) - 128);
        let byte = |value: i32| (value >> 16).clamp(0, 255) as u8;
        pixel[0] = byte(y + r_v * v);
        pixel[1] = byte(y - g_u * u - g_v * v);
        pixel[2] = byte(y + b_u * u);
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED_601: Colors = Colors {
        matrix: 5,
        is_full_range: false,
    };

    /// A frame whose brightness rises from left to right and whose colours rise downwards.
    fn ramp(format: Pixel, width: u32, height: u32) -> frame::Video {
        let mut frame = frame::Video::new(format, width, height);
        let wide = format == Pixel::YUV420P10LE;
        for number in 0..3 {
            let stride = frame.stride(number);
            let columns = frame.plane_width(number) as usize;
            let rows = frame.plane_height(number) as usize;
            for (y, row) in frame.data_mut(number).chunks_mut(stride).enumerate() {
                for x in 0..columns {
                    let value = if number == 0 {
                        16 + x * 219 / columns
                    } else {
                        64 + y * 128 / rows
                    };
                    if wide {
                        let value = (value as u16) << 2;
                        row[2 * x..2 * x + 2].copy_from_slice(&value.to_le_bytes());
                    } else {
                        row[x] = value as u8;
                    }
                }
            }
        }
        frame
    }

    fn whole(width: u32, height: u32) -> Area {
        Area {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    #[test]
    fn small_pictures_equal_swscale_within_rounding() {
        use crate::media::libav::{Scaler, ScalerKey};
        for (width, height) in [(1920, 1080), (854, 480), (1280, 534)] {
            let frame = ramp(Pixel::YUV420P, width, height);
            let size = (256, 256 * height / width);
            let found = PlaneShrinker::default()
                .rgb(&frame, LIMITED_601, whole(width, height), size)
                .unwrap();
            let mut scaler = Scaler::new(ScalerKey {
                source: (Pixel::YUV420P, width, height),
                colors: LIMITED_601,
                target: (Pixel::RGB24, size.0, size.1),
            })
            .unwrap();
            let expected = scaler.run(&frame, 0, 0).unwrap();
            for (y, row) in found.chunks_exact(size.0 as usize * 3).enumerate() {
                let expected = &expected.data(0)[y * expected.stride(0)..][..row.len()];
                for (x, (a, b)) in row.iter().zip(expected).enumerate() {
                    assert!(a.abs_diff(*b) <= 4, "{width}: {x} {y}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn ten_bits_give_the_picture_of_eight() {
        let mut shrinker = PlaneShrinker::default();
        let mut small = |format| {
            let frame = ramp(format, 640, 360);
            shrinker
                .rgb(&frame, LIMITED_601, whole(640, 360), (128, 72))
                .unwrap()
        };
        assert_eq!(small(Pixel::YUV420P), small(Pixel::YUV420P10LE));
    }

    #[test]
    fn white_and_black_are_exact_and_other_cases_are_left_to_others() {
        let mut frame = frame::Video::new(Pixel::YUV420P, 640, 360);
        for (value, expected) in [(235, 255), (16, 0)] {
            frame.data_mut(0).fill(value);
            frame.data_mut(1).fill(128);
            frame.data_mut(2).fill(128);
            let small = PlaneShrinker::default()
                .rgb(&frame, LIMITED_601, whole(640, 360), (64, 36))
                .unwrap();
            assert!(small.iter().all(|byte| *byte == expected));
        }
        let none = |format, size| {
            let frame = frame::Video::new(format, 640, 360);
            let mut shrinker = PlaneShrinker::default();
            shrinker.rgb(&frame, LIMITED_601, whole(640, 360), size)
        };
        assert!(none(Pixel::YUV420P, (512, 288)).is_none());
        assert!(none(Pixel::RGB24, (64, 36)).is_none());
    }
}
