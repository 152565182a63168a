//! Names for regions in which something stayed: another colour, place, size, pose, or less clear.

use super::super::heat_map::lab_distance;
use super::Aligned;
use super::classify::{MIN_OUTLINE, Seen, base_numbers, structure};
use super::numbers::{put, put_mean_color, put_shift};
use super::regions::bounds;
use super::substance::Substance;
use crate::core::{BoxPx, Change};

/// Luma patterns that correlate this well are the same structure.
const SAME_STRUCTURE: f32 = 0.75;
/// Flow must explain at least this share of a region's difference before it is called a move.
const FLOW_EXPLAINS: f32 = 0.55;
/// A region this much larger or smaller in area grew or shrank.
const GROWTH: f32 = 1.3;
/// An object that moves across the view keeps its size this well.
const MOVE_GROWTH: f32 = 1.2;
/// Beyond this the flow did not follow one object.
const MAX_GROWTH: f32 = 2.0;
/// An object moved when its centre moved this share of the diagonal.
const MIN_SHIFT: f32 = 0.02;
/// And this share of its own length: otherwise only its parts moved.
const MIN_OWN_SHIFT: f32 = 0.08;
/// A region tells its own colours from those around it in at least this share of its pixels.
const MIN_CLEAR: f32 = 0.2;
/// The same thing has colours that overlap this much.
const SAME_COLORS: f32 = 0.45;
/// Another thing has colours that overlap no more than this.
const OTHER_COLORS: f32 = 0.35;
/// Between this and its inverse as much of a thing is seen before as after.
const SAME_MASS: f32 = 1.6;
/// Beyond this much more of a thing is seen, whatever its light.
const OTHER_MASS: f32 = 2.0;
/// Where less of its box changed, and nothing of its structure stayed, several things moved.
const MIN_FILL: f32 = 0.25;

/// Something is there in both frames: another colour, another place or size, or just different.
pub(super) fn present_twice(
    aligned: &Aligned,
    one: &Seen,
    flow: &[[f32; 2]],
    own: Option<Substance>,
) -> Change {
    let mut numbers = base_numbers(aligned, one);
    let likeness = structure(aligned, &one.region.pixels);
    put(&mut numbers, "structure_likeness", likeness);
    let mut change = Change {
        kind: "changed".to_owned(),
        from_box_px: Some(one.region.place),
        to_box_px: Some(one.region.place),
        numbers,
    };
    let hue = |lab: [f32; 3]| [0.0, lab[1], lab[2]];
    let hue_distance = lab_distance(hue(one.before), hue(one.after));
    if likeness >= SAME_STRUCTURE {
        let kind = if hue_distance >= 12.0 {
            "recolored"
        } else {
            "shaded"
        };
        kind.clone_into(&mut change.kind);
        return change;
    }
    // Flow follows plain walls as gladly as objects; without an outline there is none to follow.
    let has_outline = one.outline[0].min(one.outline[1]) >= MIN_OUTLINE;
    let drift = has_outline.then(|| drift(aligned, one, flow)).flatten();
    if let Some(own) = own {
        put_substance(&mut change, &own, aligned);
        if own.clear_ratio >= MIN_CLEAR {
            name_by_substance(&mut change, &own, aligned, drift.as_ref());
            return change;
        }
    }
    if let Some(drift) = drift {
        drift.describe(&mut change, aligned);
    }
    change
}

fn put_substance(change: &mut Change, own: &Substance, aligned: &Aligned) {
    let numbers = &mut change.numbers;
    put(numbers, "color_likeness", own.likeness);
    put(numbers, "clear_ratio", own.clear_ratio);
    put(numbers, "part_count", own.part_count as f32);
    put(numbers, "size_ratio", own.mass[1] / own.mass[0].max(1.0));
    let [from, to] = own.center;
    put_shift(numbers, aligned, to[0] - from[0], to[1] - from[1]);
    if own.clear_ratio >= MIN_CLEAR {
        put_mean_color(numbers, "from", own.color[0], own.spread[0]);
        put_mean_color(numbers, "to", own.color[1], own.spread[1]);
    }
}

/// Names a change of a thing whose colours are known.
fn name_by_substance(
    change: &mut Change,
    own: &Substance,
    aligned: &Aligned,
    drift: Option<&Drift>,
) {
    let Some(place) = change.from_box_px else {
        return;
    };
    let growth = own.mass[1] / own.mass[0].max(1.0);
    let [from, to] = own.center;
    let shift = [to[0] - from[0], to[1] - from[1]];
    let far = shift[0].hypot(shift[1]);
    let length = (place.x1 - place.x0).max(place.y1 - place.y0).max(1.0);
    let diagonal = (aligned.width as f32).hypot(aligned.height as f32);
    let is_shift = far >= MIN_SHIFT * diagonal && far >= MIN_OWN_SHIFT * length;
    // Flow and colours have to agree on where it went.
    let agrees = drift.is_none_or(|drift| {
        let along = drift.shift[0] * shift[0] + drift.shift[1] * shift[1];
        along >= 0.5 * far * drift.shift[0].hypot(drift.shift[1])
    });
    let number = |name: &str| change.numbers.get(name).copied().unwrap_or(0.0);
    let fill =
        number("area_ratio") * (aligned.width * aligned.height) as f32 / place.area().max(1.0);
    let is_scattered = fill < MIN_FILL && number("structure_likeness") < 0.0;
    let grew_by = growth.max(1.0 / growth.max(1e-3));
    let kind = if own.likeness < OTHER_COLORS {
        "replaced"
    } else if own.likeness < SAME_COLORS {
        "changed"
    } else if is_scattered || own.part_count > 1 {
        "rearranged"
    } else if grew_by <= OTHER_MASS && is_shift && agrees {
        "moved"
    } else if grew_by <= SAME_MASS {
        "reposed"
    } else if grew_by <= OTHER_MASS {
        "changed"
    } else if growth > 1.0 {
        "appeared_more"
    } else {
        "appeared_less"
    };
    if matches!(kind, "moved" | "reposed") {
        change.from_box_px = Some(own.place[0].intersect(&place));
        change.to_box_px = Some(own.place[1].intersect(&place));
    }
    kind.clone_into(&mut change.kind);
}

/// A coherent motion inside a region.
struct Drift {
    shift: [f32; 2],
    growth: f32,
    moving: Vec<usize>,
    explained: f32,
}

fn drift(aligned: &Aligned, one: &Seen, flow: &[[f32; 2]]) -> Option<Drift> {
    let long = |n: &&usize| flow.get(**n).is_some_and(|[x, y]| x.hypot(*y) >= 2.0);
    let moving: Vec<usize> = one.region.pixels.iter().filter(long).copied().collect();
    if moving.len() * 4 < one.region.pixels.len() {
        return None;
    }
    let median = |axis: usize| {
        let mut values: Vec<f32> = moving.iter().map(|n| flow[*n][axis]).collect();
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    let shift = [median(0), median(1)];
    let length = shift[0].hypot(shift[1]);
    let follows = |n: &usize| {
        let [x, y] = flow[*n];
        (x - shift[0]).hypot(y - shift[1]) <= 0.5 * length + 1.0
    };
    let together = moving.iter().filter(|n| follows(n)).count();
    let growth = growth(aligned.width, &moving, flow);
    let (mut plain, mut carried) = (0.0, 0.0);
    for n in &moving {
        let (x, y) = ((n % aligned.width) as f32, (n / aligned.width) as f32);
        let tx = (x + flow[*n][0])
            .round()
            .clamp(0.0, aligned.width as f32 - 1.0) as usize;
        let ty = (y + flow[*n][1])
            .round()
            .clamp(0.0, aligned.height as f32 - 1.0) as usize;
        plain += lab_distance(aligned.from_lab[*n], aligned.to_lab[*n]);
        carried += lab_distance(
            aligned.from_lab[*n],
            aligned.to_lab[ty * aligned.width + tx],
        );
    }
    let explained = 1.0 - carried / plain.max(1e-3);
    let is_coherent = together * 2 >= moving.len() || growth.max(1.0 / growth) >= GROWTH;
    let is_rigid = (1.0 / MAX_GROWTH..=MAX_GROWTH).contains(&growth);
    (is_coherent && is_rigid && explained >= FLOW_EXPLAINS).then_some(Drift {
        shift,
        growth,
        moving,
        explained,
    })
}

/// Area after over area before of a cloud of flow vectors, from its spread along both axes.
fn growth(width: usize, moving: &[usize], flow: &[[f32; 2]]) -> f32 {
    let spread = |place: &dyn Fn(usize) -> f32| {
        let mean = moving.iter().map(|n| place(*n)).sum::<f32>() / moving.len() as f32;
        let square = |n: &usize| (place(*n) - mean).powi(2);
        (moving.iter().map(square).sum::<f32>() / moving.len() as f32).sqrt()
    };
    let x = |n: usize| (n % width) as f32;
    let y = |n: usize| (n / width) as f32;
    let before = spread(&x) * spread(&y);
    let after = spread(&|n| x(n) + flow[n][0]) * spread(&|n| y(n) + flow[n][1]);
    (after / before.max(1e-3)).clamp(0.01, 100.0)
}

impl Drift {
    fn describe(&self, change: &mut Change, aligned: &Aligned) {
        let diagonal = (aligned.width as f32).hypot(aligned.height as f32);
        let far = self.shift[0].hypot(self.shift[1]) / diagonal;
        let from = bounds(&self.moving, aligned.width);
        let mut to = from;
        (to.x0, to.x1) = (to.x0 + self.shift[0], to.x1 + self.shift[0]);
        (to.y0, to.y1) = (to.y0 + self.shift[1], to.y1 + self.shift[1]);
        let frame = BoxPx {
            x0: 0.0,
            y0: 0.0,
            x1: aligned.width as f32,
            y1: aligned.height as f32,
        };
        put(&mut change.numbers, "flow_explains_ratio", self.explained);
        put(&mut change.numbers, "size_ratio", self.growth);
        put_shift(&mut change.numbers, aligned, self.shift[0], self.shift[1]);
        change.from_box_px = Some(from);
        change.to_box_px = Some(to.intersect(&frame));
        if far >= MIN_SHIFT && self.growth.max(1.0 / self.growth) <= MOVE_GROWTH {
            "moved".clone_into(&mut change.kind);
        } else if self.growth >= GROWTH {
            "grew".clone_into(&mut change.kind);
        } else if self.growth <= 1.0 / GROWTH {
            "shrank".clone_into(&mut change.kind);
        }
    }
}
