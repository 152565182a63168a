use super::*;

fn place(x: f32, y: f32, side: f32) -> BoxPx {
    BoxPx {
        x0: x,
        y0: y,
        x1: x + side,
        y1: y + side,
    }
}

fn change(kind: &str, from: Option<BoxPx>, to: Option<BoxPx>, numbers: &[(&str, f32)]) -> Change {
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
        "Shift the small dark object at the left to the center of the frame."
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
    let mut diffuse = report(vec![one.clone()]);
    diffuse.changed_ratio = 0.6;
    assert!(template_instruction(&diffuse, 300, 300).is_none());
    let at = |n: u8| Some(place(f32::from(n) * 80.0, 0.0, 20.0));
    let many = (0..4).map(|n| change("left", at(n), None, &[("area_ratio", 0.1)]));
    assert_eq!(sentence(many.collect()), None);
    let shade = change("shaded", at(2), at(2), &[("area_ratio", 0.2)]);
    assert_eq!(sentence(vec![one, shade]), None, "most of it stays untold");
}

#[test]
fn something_new_beside_another_change_is_doubtful() {
    let area = [("area_ratio", 0.1)];
    let moved = |x: f32| {
        let there = Some(place(x, 0.0, 60.0));
        change("moved", there, there, &area)
    };
    let new = change("entered", None, Some(place(0.0, 0.0, 60.0)), &area);
    assert_eq!(sentence(vec![moved(62.0), new.clone()]), None);
    assert!(sentence(vec![moved(200.0), new]).is_some());
}

#[test]
fn poses_are_told_once() {
    let pose = |x: f32, clear: f32| {
        let there = Some(place(x, 120.0, 60.0));
        change(
            "reposed",
            there,
            there,
            &[("area_ratio", 0.05), ("clear_ratio", clear)],
        )
    };
    assert_eq!(
        sentence(vec![pose(0.0, 0.8), pose(240.0, 0.8)]).unwrap(),
        "Change the poses of the subject at the left and the subject at the right."
    );
    let limbs = sentence(vec![pose(0.0, 0.8), pose(62.0, 0.8)]).unwrap();
    assert!(
        limbs.ends_with("pose.") && !limbs.contains("and"),
        "{limbs}"
    );
    let vague = sentence(vec![pose(120.0, 0.3)]).unwrap();
    assert!(vague.contains("what is"), "{vague}");
}

#[test]
fn what_comes_in_names_its_side() {
    let there = Some(place(0.0, 120.0, 60.0));
    let numbers = |degrees: f32| [("area_ratio", 0.05), ("direction_degrees", degrees)];
    assert_eq!(
        sentence(vec![change("appeared_more", there, there, &numbers(5.0))]).unwrap(),
        "Bring the object further into the frame from the left."
    );
    let outward = change("appeared_more", there, there, &numbers(180.0));
    assert_eq!(sentence(vec![outward]), None);
}

#[test]
fn boxes_are_scaled_to_the_frame() {
    let one = change("left", Some(place(10.0, 130.0, 30.0)), None, &DARK);
    let written = template_instruction(&report(vec![one]), 600, 900).unwrap();
    let found = written.changes[0].from_box_px.unwrap();
    assert_eq!((found.x0, found.y1), (20.0, 480.0));
    assert_eq!(written.writer, "template");
}
