//! A pair measure cheap enough to compare every sampled frame of a scene with every other.

use super::lighting::fit_lighting;
use crate::core::Rgb8;

/// Cells along the longer side; each is made of 2 x 2 samples.
const LONG_CELLS: usize = 32;
/// Cells along the shorter side.
const SHORT_CELLS: usize = 18;
const SAMPLES: usize = LONG_CELLS * SHORT_CELLS * 4;
/// Samples that differ by less than this many of 255 levels are the same whatever the noise.
const MIN_CHANGE_LEVELS: f32 = 11.0;
/// Where more than this differs everywhere, that is the change and not noise.
const MAX_NOISE_LEVELS: f32 = 22.0;
/// How many times the typical difference a real change has.
const NOISE_FACTOR: f32 = 5.0;

/// Luma and two colour differences of a picture on a coarse grid: 28 kB.
#[derive(Clone, Debug)]
pub struct ChangeSketch {
    columns: usize,
    luma: Vec<f32>,
    blue: Vec<f32>,
    red: Vec<f32>,
}

/// What differs between two sketches after overall brightness and contrast were evened out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SketchDifference {
    /// Share of the cells of a 32 x 18 grid (18 x 32 upright) that changed beyond noise.
    pub changed_ratio: f32,
    /// Share of the changed cells that lie in their largest 8-connected group; 0 if none changed.
    pub largest_component_ratio: f32,
    /// Share of the grid's outermost cells that changed: near 1 when the camera moved.
    pub border_changed_ratio: f32,
    /// Mean absolute luma difference of the whole grid, 0–255.
    pub mean_abs: f32,
}

impl ChangeSketch {
    /// The sketch of a picture of any size; 128 px on the longer side are enough.
    pub fn new(image: &Rgb8) -> Self {
        let (columns, rows) = if image.width() >= image.height() {
            (LONG_CELLS * 2, SHORT_CELLS * 2)
        } else {
            (SHORT_CELLS * 2, LONG_CELLS * 2)
        };
        let mut sketch = Self {
            columns,
            luma: Vec::with_capacity(SAMPLES),
            blue: Vec::with_capacity(SAMPLES),
            red: Vec::with_capacity(SAMPLES),
        };
        for row in 0..rows {
            let (y0, y1) = part(image.height(), row, rows);
            for column in 0..columns {
                let (x0, x1) = part(image.width(), column, columns);
                sketch.push(mean_color(image, [x0, x1], [y0, y1]));
            }
        }
        sketch
    }

    fn push(&mut self, [r, g, b]: [f32; 3]) {
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        self.luma.push(luma);
        self.blue.push(b - luma);
        self.red.push(r - luma);
    }
}

/// The pixels of part `n` of `parts` equal ones; at least one pixel.
fn part(pixels: u32, n: usize, parts: usize) -> (u32, u32) {
    let edge = |n: usize| (n as u64 * u64::from(pixels) / parts as u64) as u32;
    let start = edge(n).min(pixels - 1);
    (start, edge(n + 1).clamp(start + 1, pixels))
}

fn mean_color(image: &Rgb8, [x0, x1]: [u32; 2], [y0, y1]: [u32; 2]) -> [f32; 3] {
    let mut sum = [0_u32; 3];
    for y in y0..y1 {
        let row = &image.row(y)[x0 as usize * 3..x1 as usize * 3];
        for pixel in row.chunks_exact(3) {
            for (total, value) in sum.iter_mut().zip(pixel) {
                *total += u32::from(*value);
            }
        }
    }
    let count = ((x1 - x0) * (y1 - y0)) as f32;
    sum.map(|total| total as f32 / count)
}

/// Compares two sketches; upright against lying pictures count as wholly changed.
pub fn sketch_difference(from: &ChangeSketch, to: &ChangeSketch) -> SketchDifference {
    if from.columns != to.columns {
        return SketchDifference {
            changed_ratio: 1.0,
            largest_component_ratio: 1.0,
            border_changed_ratio: 1.0,
            mean_abs: 255.0,
        };
    }
    let thinned = |luma: &[f32]| -> Vec<f32> {
        let third = luma.chunks_exact(3).map(|three| three[1]);
        third.collect()
    };
    let (gain, offset) = fit_lighting(&thinned(&from.luma), &thinned(&to.luma));
    let difference: Vec<f32> = (0..from.luma.len())
        .map(|n| {
            let luma = (from.luma[n] * gain + offset - to.luma[n]).abs();
            let blue = (from.blue[n] * gain - to.blue[n]).abs();
            let red = (from.red[n] * gain - to.red[n]).abs();
            luma.max(blue).max(red)
        })
        .collect();
    let noise = NOISE_FACTOR * lower_quartile(&difference);
    let threshold = noise.clamp(MIN_CHANGE_LEVELS, MAX_NOISE_LEVELS);
    let cells = changed_cells(&difference, from.columns, threshold);
    let mean_abs = from
        .luma
        .iter()
        .zip(&to.luma)
        .map(|(a, b)| (a - b).abs())
        .sum::<f32>()
        / from.luma.len() as f32;
    summary(&cells, from.columns / 2, mean_abs)
}

/// A quarter of the values lie below; in steps of 1/4 level, by counting.
fn lower_quartile(values: &[f32]) -> f32 {
    let mut counts = [0_u16; 1024];
    for value in values {
        counts[((value * 4.0) as usize).min(1023)] += 1;
    }
    let wanted = values.len() / 4;
    let mut seen = 0;
    for (n, count) in counts.iter().enumerate() {
        seen += usize::from(*count);
        if seen > wanted {
            return n as f32 / 4.0;
        }
    }
    255.0
}

fn changed_cells(difference: &[f32], columns: usize, threshold: f32) -> Vec<bool> {
    let mut cells = Vec::with_capacity(difference.len() / 4);
    for rows in difference.chunks_exact(columns * 2) {
        let (upper, lower) = rows.split_at(columns);
        for (a, b) in upper.chunks_exact(2).zip(lower.chunks_exact(2)) {
            let four = [a[0], a[1], b[0], b[1]];
            let over = four.iter().filter(|value| **value > threshold).count();
            cells.push(over >= 2 || four.iter().any(|value| *value > 2.5 * threshold));
        }
    }
    cells
}

fn summary(cells: &[bool], columns: usize, mean_abs: f32) -> SketchDifference {
    let rows = cells.len() / columns;
    let changed = cells.iter().filter(|cell| **cell).count();
    let on_border = |n: usize| {
        let (x, y) = (n % columns, n / columns);
        x == 0 || y == 0 || x + 1 == columns || y + 1 == rows
    };
    let border = (0..cells.len()).filter(|n| on_border(*n)).count();
    let border_changed = (0..cells.len())
        .filter(|n| cells[*n] && on_border(*n))
        .count();
    let largest = largest_group(cells, columns);
    SketchDifference {
        changed_ratio: changed as f32 / cells.len() as f32,
        largest_component_ratio: largest as f32 / changed.max(1) as f32,
        border_changed_ratio: border_changed as f32 / border.max(1) as f32,
        mean_abs,
    }
}

/// Cells in the largest 8-connected group.
fn largest_group(cells: &[bool], columns: usize) -> usize {
    let rows = cells.len() / columns;
    let mut open = cells.to_vec();
    let mut stack = Vec::new();
    let mut largest = 0;
    for start in 0..open.len() {
        if !open[start] {
            continue;
        }
        open[start] = false;
        stack.push(start);
        let mut size = 0;
        while let Some(at) = stack.pop() {
            size += 1;
            let (x, y) = (at % columns, at / columns);
            for ny in y.saturating_sub(1)..=(y + 1).min(rows - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(columns - 1) {
                    let next = ny * columns + nx;
                    if open[next] {
                        open[next] = false;
                        stack.push(next);
                    }
                }
            }
        }
        largest = largest.max(size);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(square: Option<(u32, u32)>, shift: u32, gain: f32) -> Rgb8 {
        Rgb8::from_fn(128, 72, |x, y| {
            let (bx, by) = ((x + shift) as f32, y as f32);
            let mut value = 110.0 + 50.0 * (bx * 0.31).sin() + 40.0 * (by * 0.23 + bx * 0.07).sin();
            if let Some((sx, sy)) = square
                && (sx..sx + 20).contains(&x)
                && (sy..sy + 20).contains(&y)
            {
                value = 20.0;
            }
            [(value * gain).clamp(0.0, 255.0) as u8; 3]
        })
    }

    fn compare(a: &Rgb8, b: &Rgb8) -> SketchDifference {
        sketch_difference(&ChangeSketch::new(a), &ChangeSketch::new(b))
    }

    #[test]
    fn one_new_object_is_one_small_group() {
        let result = compare(&scene(None, 0, 1.0), &scene(Some((50, 30)), 0, 1.0));
        let area = 400.0 / (128.0 * 72.0);
        assert!((result.changed_ratio - area).abs() < 0.02, "{result:?}");
        assert_eq!(result.largest_component_ratio, 1.0);
        assert_eq!(result.border_changed_ratio, 0.0);
    }

    #[test]
    fn a_moved_object_is_two_groups() {
        let result = compare(
            &scene(Some((10, 20)), 0, 1.0),
            &scene(Some((80, 40)), 0, 1.0),
        );
        assert!(
            (result.largest_component_ratio - 0.5).abs() < 0.15,
            "{result:?}"
        );
    }

    #[test]
    fn brightness_is_evened_out_and_a_pan_reaches_the_border() {
        let darker = compare(&scene(None, 0, 1.0), &scene(None, 0, 0.8));
        assert!(
            darker.changed_ratio < 0.02 && darker.mean_abs > 15.0,
            "{darker:?}"
        );
        let pan = compare(&scene(None, 0, 1.0), &scene(None, 9, 1.0));
        assert!(
            pan.border_changed_ratio > 0.6 && pan.changed_ratio > 0.6,
            "{pan:?}"
        );
    }

    #[test]
    fn one_pixel_and_upright_pictures_work() {
        let dot = Rgb8::from_fn(1, 1, |_, _| [3; 3]);
        assert_eq!(compare(&dot, &dot).changed_ratio, 0.0);
        let upright = Rgb8::from_fn(9, 16, |_, _| [3; 3]);
        assert_eq!(compare(&upright, &dot).changed_ratio, 1.0);
    }

    #[test]
    fn a_pair_takes_microseconds() {
        let (a, b) = (
            ChangeSketch::new(&scene(None, 0, 1.0)),
            ChangeSketch::new(&scene(None, 9, 1.0)),
        );
        let start = std::time::Instant::now();
        for _ in 0..200 {
            std::hint::black_box(sketch_difference(&a, &b));
        }
        let each = start.elapsed().as_micros() / 200;
        println!("{each} us per pair");
        assert!(each < 2000, "{each} us per pair");
    }
}
