//! What a changed region is made of: the colours that its surroundings do not have.
//!
//! Where an object overlaps the place it moved from, one region holds both places and no outline
//! tells them apart. Its colours do: they are common inside and rare around it, in both frames.

use super::super::heat_map::lab_distance;
use super::Aligned;
use super::regions::Region;
use crate::core::BoxPx;

/// Lightness cells and cells of either colour axis of a colour histogram.
const CELLS: [usize; 3] = [12, 10, 10];
/// Width of the surroundings as a share of the longer side of the region's box.
const RING_SHARE: f32 = 0.3;
/// The surroundings are at least this wide, pixels.
const MIN_RING_PX: f32 = 12.0;
/// Fewer pixels than this tell nothing about the surroundings.
const MIN_RING_AREA: usize = 150;
/// Colours with more weight than this hardly occur around the region.
const CLEAR_WEIGHT: f32 = 0.6;
/// A column with less than this share of the fullest column's mass separates two things.
const GAP_SHARE: f32 = 0.12;
/// A thing has at least this share of the whole mass.
const PART_SHARE: f32 = 0.2;

/// The thing in a region, as either frame shows it.
pub(super) struct Substance {
    /// Pixels that have its colours, weighted by how surely they are its own.
    pub(super) mass: [f32; 2],
    /// Centre of that mass, pixels.
    pub(super) center: [[f32; 2]; 2],
    /// Box around most of that mass.
    pub(super) place: [BoxPx; 2],
    /// Mean Lab colour.
    pub(super) color: [[f32; 3]; 2],
    /// Mean distance from the mean colour.
    pub(super) spread: [f32; 2],
    /// Overlap of its colours in both frames, 0–1.
    pub(super) likeness: f32,
    /// Share of the region's pixels, in both frames, that have its colours.
    pub(super) clear_ratio: f32,
    /// Things side by side, in the frame that shows fewer.
    pub(super) part_count: u32,
}

/// A pixel rectangle: columns and rows.
type Window = (std::ops::Range<usize>, std::ops::Range<usize>);

/// Tells a region's own colours from those around it; none where there is no around.
/// `is_changed` marks the pixels of all regions.
pub(super) fn substance(
    aligned: &Aligned,
    region: &Region,
    is_changed: &[bool],
) -> Option<Substance> {
    let labs = [&aligned.from_lab, &aligned.to_lab];
    let inner = window(region, aligned, 0.0);
    let place = region.place;
    let longer = (place.x1 - place.x0).max(place.y1 - place.y0);
    let outer = window(region, aligned, (longer * RING_SHARE).max(MIN_RING_PX));
    let mut around = Vec::new();
    for y in outer.1.clone() {
        for x in outer.0.clone() {
            let n = y * aligned.width + x;
            let is_inside = inner.0.contains(&x) && inner.1.contains(&y);
            if !is_inside && !is_changed[n] && aligned.is_seen[n] {
                around.push(n);
            }
        }
    }
    if around.len() < MIN_RING_AREA {
        return None;
    }
    let ring = histogram(labs[0], &around);
    let own: Vec<f32> = histogram(labs[0], &region.pixels)
        .iter()
        .zip(histogram(labs[1], &region.pixels))
        .map(|(a, b)| (a + b) / 2.0)
        .collect();
    // Half of what an object leaves and covers is background: only a clear majority is its own.
    let weight: Vec<f32> = own
        .iter()
        .zip(&ring)
        .map(|(own, ring)| ((2.0 * own / (own + ring).max(1e-6)) - 1.0).max(0.0))
        .collect();
    let box_pixels: Vec<usize> = inner
        .1
        .clone()
        .flat_map(|y| inner.0.clone().map(move |x| y * aligned.width + x))
        .collect();
    let sides = labs.map(|lab| side(lab, &box_pixels, &weight, aligned.width));
    let clear: f32 = labs
        .iter()
        .map(|lab| {
            region
                .pixels
                .iter()
                .map(|n| weight[cell(lab[*n])])
                .sum::<f32>()
        })
        .sum();
    let parts = labs.map(|lab| parts(lab, &inner, &weight, aligned.width));
    Some(Substance {
        mass: [sides[0].mass, sides[1].mass],
        center: [sides[0].center, sides[1].center],
        place: [sides[0].place, sides[1].place],
        color: [sides[0].color, sides[1].color],
        spread: [sides[0].spread, sides[1].spread],
        likeness: sides[0]
            .shares
            .iter()
            .zip(&sides[1].shares)
            .map(|(a, b)| a.min(*b))
            .sum(),
        clear_ratio: clear / (2.0 * region.pixels.len().max(1) as f32),
        part_count: parts[0].min(parts[1]),
    })
}

/// One frame's share of a [`Substance`].
struct Side {
    mass: f32,
    center: [f32; 2],
    place: BoxPx,
    color: [f32; 3],
    spread: f32,
    shares: Vec<f32>,
}

fn side(lab: &[[f32; 3]], pixels: &[usize], weight: &[f32], width: usize) -> Side {
    let (mut mass, mut center, mut color) = (0.0_f32, [0.0_f32; 2], [0.0_f32; 3]);
    let mut squares = [0.0_f64; 2];
    let mut shares = vec![0.0; weight.len()];
    for n in pixels {
        let at = cell(lab[*n]);
        let own = weight[at];
        mass += own;
        shares[at] += own;
        center[0] += own * (n % width) as f32;
        center[1] += own * (n / width) as f32;
        squares[0] += f64::from(own) * ((n % width) as f64).powi(2);
        squares[1] += f64::from(own) * ((n / width) as f64).powi(2);
        for (sum, value) in color.iter_mut().zip(lab[*n]) {
            *sum += own * value;
        }
    }
    let whole = mass.max(1e-3);
    let color = color.map(|sum| sum / whole);
    let strays: f32 = pixels
        .iter()
        .map(|n| weight[cell(lab[*n])] * lab_distance(lab[*n], color))
        .sum();
    let center = center.map(|sum| sum / whole);
    // An even block reaches 1.73 standard deviations from its middle.
    let reach = |axis: usize| {
        let square = (squares[axis] / f64::from(whole)) as f32;
        1.8 * (square - center[axis].powi(2)).max(1.0).sqrt()
    };
    let place = BoxPx {
        x0: center[0] - reach(0),
        y0: center[1] - reach(1),
        x1: center[0] + reach(0),
        y1: center[1] + reach(1),
    };
    Side {
        mass,
        center,
        place,
        color,
        spread: strays / whole,
        shares: shares.iter().map(|share| share / whole).collect(),
    }
}

/// Things that stand side by side: runs of columns with mass between columns without.
fn parts(lab: &[[f32; 3]], inner: &Window, weight: &[f32], width: usize) -> u32 {
    let column = |x: usize| -> f32 {
        let rows = inner.1.clone();
        let clear = |y: &usize| weight[cell(lab[*y * width + x])] > CLEAR_WEIGHT;
        rows.filter(clear).count() as f32
    };
    let columns: Vec<f32> = inner.0.clone().map(column).collect();
    let fullest = columns.iter().copied().fold(0.0, f32::max);
    let whole: f32 = columns.iter().sum();
    columns
        .split(|mass| *mass < GAP_SHARE * fullest)
        .filter(|run| run.iter().sum::<f32>() >= PART_SHARE * whole.max(1e-3))
        .count() as u32
}

fn window(region: &Region, aligned: &Aligned, margin_px: f32) -> Window {
    let span = |low: f32, high: f32, side: usize| {
        let start = (low - margin_px).max(0.0) as usize;
        start..((high + margin_px) as usize).min(side)
    };
    let place = region.place;
    (
        span(place.x0, place.x1, aligned.width),
        span(place.y0, place.y1, aligned.height),
    )
}

fn histogram(lab: &[[f32; 3]], pixels: &[usize]) -> Vec<f32> {
    let mut shares = vec![0.0; CELLS.iter().product()];
    let one = 1.0 / pixels.len().max(1) as f32;
    for n in pixels {
        shares[cell(lab[*n])] += one;
    }
    shares
}

fn cell([l, a, b]: [f32; 3]) -> usize {
    let bin = |value: f32, low: f32, high: f32, cells: usize| {
        (((value - low) / (high - low) * cells as f32).max(0.0) as usize).min(cells - 1)
    };
    let [ls, hues, _] = CELLS;
    (bin(l, 0.0, 100.0, ls) * hues + bin(a, -60.0, 60.0, hues)) * hues + bin(b, -60.0, 60.0, hues)
}
