//! Instructions from measurements alone, without any weights: plain, but true.

use crate::core::{BoxPx, Change, Instruction};
use crate::vision::ChangeReport;

/// What rows name as the writer.
pub const WRITER: &str = "template";

/// More separate regions than this are not one edit.
const MAX_REGIONS: u32 = 4;
/// More changes than this make no clear sentence.
const MAX_CHANGES: usize = 2;
/// More of the frame than this is another picture.
const MAX_CHANGED_RATIO: f32 = 0.45;
/// A later change below this share of the largest one is left out of the sentence.
const MINOR_SHARE: f32 = 0.15;
/// Up to this mean distance from its mean colour a region has one colour.
const ONE_COLOR_SPREAD: f32 = 16.0;
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
    if report.region_count > MAX_REGIONS || report.changed_ratio > MAX_CHANGED_RATIO {
        return None;
    }
    let places = Places {
        width: report.width_px as f32,
        height: report.height_px as f32,
    };
    let parts: Vec<String> = named_changes(report)?
        .into_iter()
        .map(|change| places.clause(change))
        .collect::<Option<_>>()?;
    let sentence = parts.join(" and ");
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

/// The changes worth a clause; none when there are too many or one of them is unclear.
fn named_changes(report: &ChangeReport) -> Option<Vec<&Change>> {
    let largest = report
        .changes
        .first()
        .map_or(0.0, |change| number(change, "area_ratio"));
    let named: Vec<&Change> = report
        .changes
        .iter()
        .filter(|change| {
            change.kind == "lighting" || number(change, "area_ratio") >= MINOR_SHARE * largest
        })
        .collect();
    let is_clear = |change: &&Change| change.kind != "changed";
    let fits = !named.is_empty() && named.len() <= MAX_CHANGES && named.iter().all(is_clear);
    fits.then_some(named)
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
            _ => return None,
        };
        Some(text)
    }

    fn placed(&self, change: &Change) -> Option<String> {
        Some(format!(
            "{} {}",
            self.object(change, "from"),
            self.at(change.from_box_px?)
        ))
    }

    fn moved(&self, change: &Change) -> Option<String> {
        let (from, to) = (change.from_box_px?, change.to_box_px?);
        let placed = self.placed(change)?;
        let (before, after) = (self.name(from), self.name(to));
        let shift = number(change, "shift_ratio");
        if before != after && shift >= SLIGHT_SHIFT {
            return Some(format!("move the {placed} to the {after} of the frame"));
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
        let share = place.map_or(0.0, |place| {
            place.area() / (self.width * self.height).max(1.0)
        });
        let size = match share {
            s if s < 0.015 => "small ",
            s if s > 0.15 => "large ",
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
    if chroma < 10.0 {
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
mod tests {
    use super::*;

    fn place(x: f32, y: f32, side: f32) -> BoxPx {
        BoxPx {
            x0: x,
            y0: y,
            x1: x + side,
            y1: y + side,
        }
    }

    fn change(
        kind: &str,
        from: Option<BoxPx>,
        to: Option<BoxPx>,
        numbers: &[(&str, f32)],
    ) -> Change {
        Change {
            kind: kind.to_owned(),
            from_box_px: from,
            to_box_px: to,
            numbers: numbers.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
        }
    }

    fn report(changes: Vec<Change>) -> ChangeReport {
        ChangeReport {
            width_px: 300,
            height_px: 300,
            region_count: changes.len() as u32,
            changes,
            changed_ratio: 0.05,
            largest_region_ratio: 1.0,
            lighting_gain: 1.0,
            lighting_offset: 0.0,
            noise_level: 1.0,
            camera_shift_ratio: 0.0,
        }
    }

    fn sentence(changes: Vec<Change>) -> Option<String> {
        template_instruction(&report(changes), 600, 600).map(|one| one.text)
    }

    const RED: [(&str, f32); 4] = [
        ("to_l", 45.0),
        ("to_a", 60.0),
        ("to_b", 40.0),
        ("to_color_spread", 5.0),
    ];
    const DARK: [(&str, f32); 4] = [
        ("from_l", 30.0),
        ("from_a", 2.0),
        ("from_b", 3.0),
        ("from_color_spread", 5.0),
    ];

    #[test]
    fn each_kind_has_a_sentence() {
        let (left, bottom_right) = (place(10.0, 130.0, 30.0), place(230.0, 230.0, 60.0));
        let said = |one: Change| sentence(vec![one]).unwrap();
        assert_eq!(
            said(change("entered", None, Some(bottom_right), &RED)),
            "Add a red object at the bottom right."
        );
        assert_eq!(
            said(change("left", Some(left), None, &DARK)),
            "Remove the small dark object at the left."
        );
        let mut far = DARK.to_vec();
        far.push(("shift_ratio", 0.3));
        let to = place(135.0, 135.0, 30.0);
        assert_eq!(
            said(change("moved", Some(left), Some(to), &far)),
            "Move the small dark object at the left to the center of the frame."
        );
        far.extend([("shift_ratio", 0.04), ("direction_degrees", 91.0)]);
        assert_eq!(
            said(change("moved", Some(left), Some(left), &far)),
            "Move the small dark object at the left slightly up."
        );
        assert_eq!(
            said(change(
                "lighting",
                None,
                None,
                &[("luma_shift_levels", -30.0)]
            )),
            "Darken the scene."
        );
        let both: Vec<_> = RED
            .into_iter()
            .chain([
                ("from_l", 40.0),
                ("from_a", 10.0),
                ("from_b", -50.0),
                ("from_color_spread", 3.0),
            ])
            .collect();
        assert_eq!(
            said(change("recolored", Some(to), Some(to), &both)),
            "Change the color of the object in the center from blue to red."
        );
        assert_eq!(
            said(change("grew", Some(to), Some(to), &[])),
            "Make the small object in the center larger."
        );
    }

    #[test]
    fn a_colour_is_named_only_where_there_is_one() {
        let mixed = [
            ("to_l", 45.0),
            ("to_a", 60.0),
            ("to_b", 40.0),
            ("to_color_spread", 30.0),
        ];
        let text = sentence(vec![change(
            "entered",
            None,
            Some(place(0.0, 0.0, 60.0)),
            &mixed,
        )]);
        assert_eq!(text.unwrap(), "Add an object at the top left.");
    }

    #[test]
    fn what_is_unclear_has_no_sentence() {
        let unclear = change(
            "changed",
            Some(place(0.0, 0.0, 60.0)),
            None,
            &[("area_ratio", 0.1)],
        );
        assert_eq!(sentence(vec![unclear]), None);
        assert_eq!(sentence(vec![]), None);
        let one = change(
            "left",
            Some(place(0.0, 0.0, 60.0)),
            None,
            &[("area_ratio", 0.1)],
        );
        assert_eq!(sentence(vec![one.clone(); 3]), None);
        let mut diffuse = report(vec![one.clone()]);
        diffuse.changed_ratio = 0.6;
        assert!(template_instruction(&diffuse, 300, 300).is_none());
        let mut many = report(vec![one]);
        many.region_count = 9;
        assert!(template_instruction(&many, 300, 300).is_none());
    }

    #[test]
    fn boxes_are_scaled_to_the_frame() {
        let one = change("left", Some(place(10.0, 130.0, 30.0)), None, &DARK);
        let written = template_instruction(&report(vec![one]), 600, 900).unwrap();
        let found = written.changes[0].from_box_px.unwrap();
        assert_eq!((found.x0, found.y1), (20.0, 480.0));
        assert_eq!(written.writer, "template");
    }
}
