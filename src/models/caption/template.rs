//! Instructions from measurements alone, without any weights: plain, but true.

use crate::core::{BoxPx, Change, Instruction};
use crate::vision::ChangeReport;

/// What rows name as the writer.
pub const WRITER: &str = "template";

/// More changes than this make no clear sentence.
const MAX_CHANGES: usize = 3;
/// More of the frame than this is another picture.
const MAX_CHANGED_RATIO: f32 = 0.45;
/// A later change below this share of the largest one is left out of the sentence.
const MINOR_SHARE: f32 = 0.2;
/// Changes this near, as a share of the longer side, may be parts of one.
const NEAR_SHARE: f32 = 0.06;
/// A sentence covers at least this share of what changed.
const MIN_COVERED: f32 = 0.7;
/// Up to this mean distance from its mean colour a region has one colour.
const ONE_COLOR_SPREAD: f32 = 16.0;
/// A region that tells its own colours from those around it in this share of its pixels shows one
/// subject.
const CLEAR_SUBJECT: f32 = 0.6;
/// An object that moves less than this share of the diagonal moves slightly.
const SLIGHT_SHIFT: f32 = 0.08;

/// One English sentence that names what measurably changed, or none where that is not clear.
///
/// The report's boxes are scaled to a frame of `frame_width_px` x `frame_height_px`.
pub fn template_instruction(
    report: &ChangeReport,
    frame_width_px: u32,
    frame_height_px: u32,
) -> Option<Instruction> {
    if report.changed_ratio > MAX_CHANGED_RATIO {
        return None;
    }
    let places = Places {
        width: report.width_px as f32,
        height: report.height_px as f32,
    };
    let (reposed, others): (Vec<&Change>, Vec<&Change>) = named_changes(report)?
        .into_iter()
        .partition(|change| change.kind == "reposed");
    let mut parts: Vec<String> = Vec::new();
    if reposed.len() > 1 {
        let subjects: Option<Vec<_>> = reposed.iter().map(|one| places.subject(one)).collect();
        let subjects: Vec<_> = subjects?.iter().map(|one| format!("the {one}")).collect();
        parts.push(format!("change the poses of {}", joined(&subjects)));
    }
    let single = if reposed.len() == 1 { &*reposed } else { &[] };
    for change in single.iter().chain(&others) {
        let part = places.clause(change)?;
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let sentence = joined(&parts);
    let mut letters = sentence.chars();
    let text = format!("{}{}.", letters.next()?.to_uppercase(), letters.as_str());
    let x = frame_width_px as f32 / report.width_px.max(1) as f32;
    let y = frame_height_px as f32 / report.height_px.max(1) as f32;
    let scaled = |change: &Change| Change {
        from_box_px: change.from_box_px.map(|place| place.scale(x, y)),
        to_box_px: change.to_box_px.map(|place| place.scale(x, y)),
        ..change.clone()
    };
    Some(Instruction {
        text,
        writer: WRITER.to_owned(),
        from_caption: None,
        to_caption: None,
        changes: report.changes.iter().map(scaled).collect(),
        prompt: None,
    })
}

/// The changes worth a clause; none when there are too many, when they leave much of what changed
/// untold, or when one of them is unclear.
fn named_changes(report: &ChangeReport) -> Option<Vec<&Change>> {
    let area = |change: &Change| number(change, "area_ratio");
    let is_told = |change: &&Change| !matches!(change.kind.as_str(), "shaded" | "lighting");
    let told: Vec<&Change> = report.changes.iter().filter(is_told).collect();
    let whole: f32 = report.changes.iter().map(area).sum();
    let largest = told.iter().map(|change| area(change)).fold(0.0, f32::max);
    let mut named: Vec<&Change> = told
        .into_iter()
        .filter(|change| area(change) >= MINOR_SHARE * largest)
        .collect();
    let covered: f32 = named.iter().map(|change| area(change)).sum();
    if covered < MIN_COVERED * whole {
        return None;
    }
    let near = NEAR_SHARE * report.width_px.max(report.height_px) as f32;
    // The limbs of one body: the largest part speaks for it.
    if let Some(first) = named.first().copied()
        && matches!(first.kind.as_str(), "reposed" | "rearranged")
    {
        let is_limb = |one: &Change| one.kind == "reposed" || one.kind == "moved";
        let mut place = 0;
        named.retain(|one| {
            place += 1;
            place == 1 || !(is_limb(one) && gap(first, one) <= near)
        });
    }
    // What seems to come or go next to another change may well be a part of it.
    let comes_or_goes = |one: &Change| one.kind == "entered" || one.kind == "left";
    let is_doubtful = named.iter().enumerate().any(|(n, one)| {
        let mut others = named.iter().enumerate().filter(|(other, _)| *other != n);
        comes_or_goes(one) && others.any(|(_, other)| gap(one, other) <= near)
    });
    if is_doubtful {
        return None;
    }
    named.extend(report.changes.iter().filter(|one| one.kind == "lighting"));
    let is_clear = |change: &&Change| change.kind != "changed";
    let fits = !named.is_empty() && named.len() <= MAX_CHANGES && named.iter().all(is_clear);
    fits.then_some(named)
}

/// `a`, `a and b`, `a, b and c`.
fn joined(parts: &[String]) -> String {
    match parts {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}

/// Pixels between the boxes of two changes along the axis on which they are further apart.
fn gap(a: &Change, b: &Change) -> f32 {
    let boxes = |change: &Change| [change.from_box_px, change.to_box_px].into_iter().flatten();
    let mut least = f32::INFINITY;
    for a in boxes(a) {
        for b in boxes(b) {
            let x = (a.x0 - b.x1).max(b.x0 - a.x1);
            let y = (a.y0 - b.y1).max(b.y0 - a.y1);
            least = least.min(x.max(y));
        }
    }
    least
}

fn number(change: &Change, name: &str) -> f32 {
    change.numbers.get(name).copied().unwrap_or(0.0)
}

/// Words for where things are.
struct Places {
    width: f32,
    height: f32,
}

impl Places {
    fn clause(&self, change: &Change) -> Option<String> {
        let text = match change.kind.as_str() {
            "lighting" if number(change, "luma_shift_levels") > 0.0 => {
                "brighten the scene".to_owned()
            }
            "lighting" => "darken the scene".to_owned(),
            "entered" => {
                let object = self.object(change, "to");
                format!(
                    "add {} {object} {}",
                    article(&object),
                    self.at(change.to_box_px?)
                )
            }
            "left" => {
                let object = self.object(change, "from");
                format!("remove the {object} {}", self.at(change.from_box_px?))
            }
            "moved" => self.moved(change)?,
            "grew" => format!("make the {} larger", self.placed(change)?),
            "shrank" => format!("make the {} smaller", self.placed(change)?),
            "recolored" => {
                let (from, to) = (color(change, "from")?, color(change, "to")?);
                if from == to {
                    return None;
                }
                let place = self.at(change.from_box_px?);
                format!("change the color of the object {place} from {from} to {to}")
            }
            "reposed" => self.reposed(change)?,
            "rearranged" => {
                let place = self.at(change.from_box_px?);
                match self.turn(change) {
                    0 => format!("show what is {place} in other positions"),
                    _ => format!("change the positions of what is {place}"),
                }
            }
            "appeared_more" => {
                let side = self.border(change, 1.0)?;
                let object = self.object(change, "to");
                format!("bring the {object} further into the frame from the {side}")
            }
            "appeared_less" => {
                let side = self.border(change, -1.0)?;
                let object = self.object(change, "from");
                format!("move the {object} further out of the frame at the {side}")
            }
            "replaced" => {
                if color(change, "from")? == color(change, "to")? {
                    return None;
                }
                let (from, to) = (self.object(change, "from"), self.object(change, "to"));
                let place = self.at(change.from_box_px?);
                format!("replace the {from} {place} with {} {to}", article(&to))
            }
            _ => return None,
        };
        Some(text)
    }

    fn placed(&self, change: &Change) -> Option<String> {
        self.placed_as(change, "from")
    }

    /// `red object at the left`, as it looks on one side of the change.
    fn placed_as(&self, change: &Change, side: &str) -> Option<String> {
        let place = if side == "from" {
            change.from_box_px?
        } else {
            change.to_box_px?
        };
        Some(format!("{} {}", self.object(change, side), self.at(place)))
    }

    /// The one side of the frame that a region touches, if its object came from there (`inward`
    /// is 1) or went there (-1).
    fn border(&self, change: &Change, inward: f32) -> Option<&'static str> {
        let place = change.to_box_px.or(change.from_box_px)?;
        let (sin, cos) = number(change, "direction_degrees").to_radians().sin_cos();
        let sides = [
            (place.x0 <= self.width * 0.006, "left", cos),
            (place.x1 >= self.width * 0.994, "right", -cos),
            (place.y1 >= self.height * 0.994, "bottom", sin),
            (place.y0 <= self.height * 0.006, "top", -sin),
        ];
        let mut touched = sides.iter().filter(|(touches, ..)| *touches);
        match (touched.next(), touched.next()) {
            (Some((_, side, into)), None) if into * inward > 0.5 => Some(side),
            _ => None,
        }
    }

    /// Which of three wordings: always the same for the same change.
    fn turn(&self, change: &Change) -> u32 {
        let place = change.from_box_px.unwrap_or_default();
        ((place.x0 + place.y1) / self.width.max(1.0) * 97.0) as u32 % 3
    }

    fn reposed(&self, change: &Change) -> Option<String> {
        let place = self.at(change.from_box_px?);
        if number(change, "clear_ratio") < CLEAR_SUBJECT {
            // Whether it is one thing or two cannot be told.
            return Some(match self.turn(change) {
                0 => format!("change the pose of what is shown {place}"),
                1 => format!("let what is {place} take another pose"),
                _ => format!("show what is {place} in another pose"),
            });
        }
        let subject = self.subject(change)?;
        Some(match self.turn(change) {
            0 => format!("change the pose of the {subject}"),
            1 => format!("put the {subject} into another pose"),
            _ => format!("give the {subject} a different pose"),
        })
    }

    fn subject(&self, change: &Change) -> Option<String> {
        Some(self.placed(change)?.replacen("object", "subject", 1))
    }

    fn moved(&self, change: &Change) -> Option<String> {
        let (from, to) = (change.from_box_px?, change.to_box_px?);
        let placed = self.placed(change)?;
        let (before, after) = (self.name(from), self.name(to));
        let shift = number(change, "shift_ratio");
        if before != after && shift >= SLIGHT_SHIFT {
            return Some(match self.turn(change) {
                0 => format!("shift the {placed} to the {after} of the frame"),
                _ => format!("move the {placed} to the {after} of the frame"),
            });
        }
        let direction = direction(number(change, "direction_degrees"));
        let slightly = if shift < SLIGHT_SHIFT {
            "slightly "
        } else {
            ""
        };
        Some(format!("move the {placed} {slightly}{direction}"))
    }

    /// `small red object`: words that rest on numbers, and none where they do not.
    fn object(&self, change: &Change, side: &str) -> String {
        let place = if side == "from" {
            change.from_box_px
        } else {
            change.to_box_px
        };
        let frame = (self.width * self.height).max(1.0);
        let share = place.map_or(0.0, |place| place.area() / frame);
        // A box may be wide for its few pixels; what is called large is so by both.
        let changed = number(change, "area_ratio");
        let size = match share {
            s if s < 0.015 => "small ",
            s if s > 0.15 && (changed == 0.0 || changed > 0.03) => "large ",
            _ => "",
        };
        match color(change, side) {
            Some(color) => format!("{size}{color} object"),
            None => format!("{size}object"),
        }
    }

    /// `at the bottom left`, `in the center`.
    fn at(&self, place: BoxPx) -> String {
        match self.name(place) {
            "center" => "in the center".to_owned(),
            name => format!("at the {name}"),
        }
    }

    fn name(&self, place: BoxPx) -> &'static str {
        let (x, y) = place.center();
        let third = |at: f32, side: f32| match at / side.max(1.0) {
            share if share < 0.36 => 0,
            share if share > 0.64 => 2,
            _ => 1,
        };
        match (third(x, self.width), third(y, self.height)) {
            (0, 0) => "top left",
            (1, 0) => "top",
            (2, 0) => "top right",
            (0, 1) => "left",
            (2, 1) => "right",
            (0, 2) => "bottom left",
            (1, 2) => "bottom",
            (2, 2) => "bottom right",
            _ => "center",
        }
    }
}

fn article(words: &str) -> &'static str {
    if words.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

fn direction(degrees: f32) -> &'static str {
    const NAMES: [&str; 8] = [
        "to the right",
        "up and to the right",
        "up",
        "up and to the left",
        "to the left",
        "down and to the left",
        "down",
        "down and to the right",
    ];
    NAMES[((degrees / 45.0).round() as usize) % 8]
}

/// The colour's name where the region has one colour that people would agree on.
fn color(change: &Change, side: &str) -> Option<&'static str> {
    let get = |name: &str| change.numbers.get(&format!("{side}_{name}")).copied();
    let (l, a, b) = (get("l")?, get("a")?, get("b")?);
    if get("color_spread")? > ONE_COLOR_SPREAD {
        return None;
    }
    let chroma = a.hypot(b);
    if chroma < 8.0 {
        return match l {
            l if l < 22.0 => Some("black"),
            l if l < 40.0 => Some("dark"),
            l if l > 88.0 => Some("white"),
            l if l > 68.0 => Some("light"),
            _ => Some("gray"),
        };
    }
    if chroma < 22.0 {
        return if l < 35.0 { Some("dark") } else { None };
    }
    let hue = b.atan2(a).to_degrees().rem_euclid(360.0);
    Some(match hue {
        h if !(15.0..345.0).contains(&h) => {
            if l > 60.0 {
                "pink"
            } else {
                "red"
            }
        }
        h if h < 48.0 => {
            if l > 65.0 {
                "pink"
            } else {
                "red"
            }
        }
        h if h < 80.0 => {
            if l < 55.0 {
                "brown"
            } else {
                "orange"
            }
        }
        h if h < 108.0 => {
            if l < 50.0 {
                "olive"
            } else {
                "yellow"
            }
        }
        h if h < 175.0 => "green",
        h if h < 225.0 => "turquoise",
        h if h < 305.0 => "blue",
        _ => "purple",
    })
}

#[cfg(test)]
mod tests;
