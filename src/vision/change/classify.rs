//! Names for changed regions.
//!
//! An object shows an edge along its outline; where it is gone, the background runs on without one.
//! So the frame with the stronger outline is the one that has the object.

use std::collections::BTreeMap;

use super::super::flow::flow_field;
use super::super::heat_map::lab_distance;
use super::Aligned;
use super::numbers::{put, put_area, put_color, put_shift};
use super::persist::present_twice;
use super::regions::{self, Region};
use super::substance::substance;
use crate::core::{Change, ItemError};

/// Outline this many times stronger in one frame than in the other: the object is in that one.
const OUTLINE_RATIO: f32 = 2.2;
/// A weaker outline than this, in Lab, is no object's.
pub(super) const MIN_OUTLINE: f32 = 8.0;
/// Colour histograms that overlap this much may be the same object.
const SAME_OBJECT: f32 = 0.6;
/// The background differs more from place to place than one object.
const SAME_GROUND: f32 = 0.35;
/// Colour histograms that overlap no more than this are not the same object.
const OTHER_OBJECT: f32 = 0.3;
const BINS: usize = 6;

#[derive(Clone, Copy, PartialEq)]
enum Presence {
    Before,
    After,
    Both,
}

/// A region and what either frame shows in it.
pub(super) struct Seen {
    pub(super) region: Region,
    presence: Presence,
    pub(super) outline: [f32; 2],
    pub(super) before: [f32; 3],
    pub(super) after: [f32; 3],
    histograms: [Vec<f32>; 2],
}

/// One change for each region, or for two that are the places an object left and went to.
pub(super) fn name_regions(
    aligned: &Aligned,
    regions: Vec<Region>,
) -> Result<Vec<Change>, ItemError> {
    let mut is_changed = vec![false; aligned.from_lab.len()];
    for n in regions.iter().flat_map(|region| &region.pixels) {
        is_changed[*n] = true;
    }
    let mut seen: Vec<Option<Seen>> = regions
        .into_iter()
        .map(|region| Some(look(aligned, region)))
        .collect();
    join_exchanges(aligned, &mut seen);
    let mut changes = Vec::new();
    for (left, entered) in moves(&seen) {
        if let (Some(left), Some(entered)) = (seen[left].take(), seen[entered].take()) {
            changes.push(moved(aligned, &left, &entered));
        }
    }
    let mut flow = None;
    for one in seen.into_iter().flatten() {
        let change = match one.presence {
            Presence::Before | Presence::After => present_once(aligned, &one),
            Presence::Both => {
                if flow.is_none() {
                    flow = Some(flow_field(&aligned.from, &aligned.to)?);
                }
                let own = substance(aligned, &one.region, &is_changed);
                present_twice(aligned, &one, flow.as_deref().unwrap_or_default(), own)
            }
        };
        changes.push(change);
    }
    let area = |change: &Change| change.numbers.get("area_ratio").copied().unwrap_or(0.0);
    changes.sort_by(|a, b| area(b).total_cmp(&area(a)));
    Ok(changes)
}

fn look(aligned: &Aligned, region: Region) -> Seen {
    let outline = [
        outline_strength(&aligned.from_lab, &region, aligned),
        outline_strength(&aligned.to_lab, &region, aligned),
    ];
    let presence = if outline[0] > MIN_OUTLINE.max(OUTLINE_RATIO * outline[1]) {
        Presence::Before
    } else if outline[1] > MIN_OUTLINE.max(OUTLINE_RATIO * outline[0]) {
        Presence::After
    } else {
        Presence::Both
    };
    Seen {
        presence,
        outline,
        before: mean_lab(&aligned.from_lab, &region.pixels),
        after: mean_lab(&aligned.to_lab, &region.pixels),
        histograms: [
            histogram(&aligned.from_lab, &region.pixels),
            histogram(&aligned.to_lab, &region.pixels),
        ],
        region,
    }
}

/// Mean Lab step from just inside to just outside the region's outline, where that is in the frame.
fn outline_strength(lab: &[[f32; 3]], region: &Region, aligned: &Aligned) -> f32 {
    let (width, height) = (aligned.width as i64, aligned.height as i64);
    let mut inside = vec![false; lab.len()];
    for n in &region.pixels {
        inside[*n] = true;
    }
    let (mut sum, mut count) = (0.0, 0_u32);
    for n in &region.pixels {
        let (x, y) = (*n as i64 % width, *n as i64 / width);
        for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
            let (bx, by) = (x + dx, y + dy);
            if bx < 0 || by < 0 || bx >= width || by >= height {
                continue;
            }
            if inside[(by * width + bx) as usize] {
                continue;
            }
            // The outline is known to a pixel or two: compare from 3 px within to 3 px without.
            let at =
                |x: i64, y: i64| (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)) as usize;
            let (within, without) = (at(x - 3 * dx, y - 3 * dy), at(x + 3 * dx, y + 3 * dy));
            sum += lab_distance(lab[within], lab[without]);
            count += 1;
        }
    }
    sum / count.max(1) as f32
}

/// Correlation of the two frames' lightness inside the region.
pub(super) fn structure(aligned: &Aligned, pixels: &[usize]) -> f32 {
    let mean = |lab: &[[f32; 3]]| {
        pixels.iter().map(|n| lab[*n][0]).sum::<f32>() / pixels.len().max(1) as f32
    };
    let (ma, mb) = (mean(&aligned.from_lab), mean(&aligned.to_lab));
    let [mut ab, mut aa, mut bb] = [0.0_f32; 3];
    for n in pixels {
        let (a, b) = (aligned.from_lab[*n][0] - ma, aligned.to_lab[*n][0] - mb);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let count = pixels.len().max(1) as f32;
    if aa / count < 9.0 || bb / count < 9.0 {
        return 0.0;
    }
    ab / (aa * bb).sqrt()
}

fn mean_lab(lab: &[[f32; 3]], pixels: &[usize]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for n in pixels {
        for (total, value) in sum.iter_mut().zip(lab[*n]) {
            *total += value;
        }
    }
    sum.map(|total| total / pixels.len().max(1) as f32)
}

/// Share of pixels in each cell of a coarse Lab cube.
fn histogram(lab: &[[f32; 3]], pixels: &[usize]) -> Vec<f32> {
    let mut counts = vec![0.0; BINS * BINS * BINS];
    let bin = |value: f32, low: f32, high: f32| {
        (((value - low) / (high - low) * BINS as f32).max(0.0) as usize).min(BINS - 1)
    };
    for n in pixels {
        let [l, a, b] = lab[*n];
        let cell = (bin(l, 0.0, 100.0) * BINS + bin(a, -60.0, 60.0)) * BINS + bin(b, -60.0, 60.0);
        counts[cell] += 1.0 / pixels.len() as f32;
    }
    counts
}

fn overlap(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x.min(*y)).sum()
}

/// Joins the two ends of a plain object that moved by less than its length: its middle looks the
/// same in both frames, and what one end lost the other one won.
fn join_exchanges(aligned: &Aligned, seen: &mut Vec<Option<Seen>>) {
    let mut first = 0;
    while first < seen.len() {
        let partner = (first + 1..seen.len()).find(|second| {
            let (Some(a), Some(b)) = (&seen[first], &seen[*second]) else {
                return false;
            };
            is_exchange(a, b)
        });
        if let Some(second) = partner
            && let (Some(a), Some(b)) = (seen[first].take(), seen[second].take())
        {
            let joined = regions::join(a.region, b.region, aligned.width);
            let mut one = look(aligned, joined);
            one.presence = Presence::Both;
            seen[first] = Some(one);
        }
        first += 1;
    }
    seen.retain(Option::is_some);
}

fn is_exchange(a: &Seen, b: &Seen) -> bool {
    let sizes = [a, b].map(|one| {
        let place = one.region.place;
        (place.x1 - place.x0).max(place.y1 - place.y0)
    });
    let [before, after] = [&a.histograms, &b.histograms];
    regions::gap(&a.region.place, &b.region.place) <= sizes[0].min(sizes[1])
        && sizes[0].max(sizes[1]) <= 1.5 * sizes[0].min(sizes[1])
        && overlap(&before[0], &after[1]) >= SAME_OBJECT
        && overlap(&before[1], &after[0]) >= SAME_GROUND
        && overlap(&before[0], &before[1]) <= OTHER_OBJECT
}

/// Pairs of (place left, place entered) that hold the same object, best matches first.
fn moves(seen: &[Option<Seen>]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (l, left) in seen.iter().enumerate() {
        for (e, entered) in seen.iter().enumerate() {
            let (Some(left), Some(entered)) = (left, entered) else {
                continue;
            };
            if left.presence != Presence::Before || entered.presence != Presence::After {
                continue;
            }
            let (a, b) = (
                left.region.pixels.len() as f32,
                entered.region.pixels.len() as f32,
            );
            let likeness = overlap(&left.histograms[0], &entered.histograms[1]);
            if likeness >= SAME_OBJECT && a.max(b) <= 1.8 * a.min(b) {
                found.push((likeness, l, e));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut used = std::collections::BTreeSet::new();
    found.retain(|(_, l, e)| {
        let is_free = !used.contains(l) && !used.contains(e);
        if is_free {
            used.extend([*l, *e]);
        }
        is_free
    });
    found.into_iter().map(|(_, l, e)| (l, e)).collect()
}

fn moved(aligned: &Aligned, left: &Seen, entered: &Seen) -> Change {
    let (from, to) = (left.region.place, entered.region.place);
    let mut numbers = BTreeMap::new();
    put_color(
        &mut numbers,
        "from",
        left.before,
        &left.region,
        &aligned.from_lab,
    );
    put_color(
        &mut numbers,
        "to",
        entered.after,
        &entered.region,
        &aligned.to_lab,
    );
    let likeness = overlap(&left.histograms[0], &entered.histograms[1]);
    put(&mut numbers, "color_likeness", likeness);
    let (a, b) = (left.region.pixels.len(), entered.region.pixels.len());
    put_area(&mut numbers, aligned, a.max(b));
    put(&mut numbers, "size_ratio", b as f32 / a.max(1) as f32);
    let ((ax, ay), (bx, by)) = (from.center(), to.center());
    put_shift(&mut numbers, aligned, bx - ax, by - ay);
    Change {
        kind: "moved".to_owned(),
        from_box_px: Some(from),
        to_box_px: Some(to),
        numbers,
    }
}

fn present_once(aligned: &Aligned, one: &Seen) -> Change {
    let mut numbers = base_numbers(aligned, one);
    let is_before = one.presence == Presence::Before;
    let (strong, weak) = if is_before {
        (one.outline[0], one.outline[1])
    } else {
        (one.outline[1], one.outline[0])
    };
    put(&mut numbers, "outline_ratio", strong / weak.max(0.1));
    Change {
        kind: if is_before { "left" } else { "entered" }.to_owned(),
        from_box_px: is_before.then_some(one.region.place),
        to_box_px: (!is_before).then_some(one.region.place),
        numbers,
    }
}

/// Numbers that every region has.
pub(super) fn base_numbers(aligned: &Aligned, one: &Seen) -> BTreeMap<String, f32> {
    let mut numbers = BTreeMap::new();
    put_area(&mut numbers, aligned, one.region.pixels.len());
    put_color(
        &mut numbers,
        "from",
        one.before,
        &one.region,
        &aligned.from_lab,
    );
    put_color(&mut numbers, "to", one.after, &one.region, &aligned.to_lab);
    put(
        &mut numbers,
        "color_distance",
        lab_distance(one.before, one.after),
    );
    numbers
}
