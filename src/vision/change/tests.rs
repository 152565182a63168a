use super::*;
use crate::core::BoxPx;

#[derive(Clone, Copy)]
struct Square {
    x: u32,
    y: u32,
    side: u32,
    color: [u8; 3],
}

fn room(squares: &[Square], gain: f32) -> Rgb8 {
    Rgb8::from_fn(480, 270, |x, y| {
        let square = squares
            .iter()
            .rev()
            .find(|s| (s.x..s.x + s.side).contains(&x) && (s.y..s.y + s.side).contains(&y));
        let wave =
            18.0 * (x as f32 * 0.05).sin() + 14.0 * (y as f32 * 0.07 + x as f32 * 0.01).cos();
        let pixel = match square {
            Some(s) => {
                let stripe = if (x - s.x) / 6 % 2 == 0 { 0.75 } else { 1.0 };
                s.color.map(|value| f32::from(value) * stripe)
            }
            None => [120.0 + wave, 126.0 + wave, 118.0 + wave],
        };
        pixel.map(|value| (value * gain).clamp(0.0, 255.0) as u8)
    })
}

const RED: Square = Square {
    x: 60,
    y: 80,
    side: 60,
    color: [210, 40, 30],
};

fn only(from: &[Square], to: &[Square]) -> (Change, ChangeReport) {
    let report = measure_changes(&room(from, 1.0), &room(to, 1.0)).unwrap();
    assert_eq!(report.changes.len(), 1, "{report:#?}");
    (report.changes[0].clone(), report)
}

fn is_near(found: Option<BoxPx>, square: Square) -> bool {
    let wanted = BoxPx {
        x0: square.x as f32,
        y0: square.y as f32,
        x1: (square.x + square.side) as f32,
        y1: (square.y + square.side) as f32,
    };
    found.is_some_and(|found| found.iou(&wanted) > 0.75)
}

#[test]
fn coming_and_going_are_told_apart() {
    let (change, report) = only(&[], &[RED]);
    assert_eq!(change.kind, "entered");
    assert!(
        change.from_box_px.is_none() && is_near(change.to_box_px, RED),
        "{change:?}"
    );
    assert!((report.changed_ratio - 3600.0 / (480.0 * 270.0)).abs() < 0.01);
    let (change, _) = only(&[RED], &[]);
    assert_eq!(change.kind, "left");
    assert!(
        change.to_box_px.is_none() && is_near(change.from_box_px, RED),
        "{change:?}"
    );
}

#[test]
fn a_far_move_is_one_change() {
    let there = Square {
        x: 330,
        y: 120,
        ..RED
    };
    let (change, report) = only(&[RED], &[there]);
    assert_eq!((change.kind.as_str(), report.region_count), ("moved", 2));
    assert!(is_near(change.from_box_px, RED) && is_near(change.to_box_px, there));
    let wanted = 270.0_f32.hypot(40.0) / 480.0_f32.hypot(270.0);
    assert!(
        (change.numbers["shift_ratio"] - wanted).abs() < 0.02,
        "{change:?}"
    );
}

#[test]
fn a_move_onto_its_own_place_is_a_move() {
    let there = Square { x: 93, ..RED };
    let (change, report) = only(&[RED], &[there]);
    assert_eq!((change.kind.as_str(), report.region_count), ("moved", 2));
    let degrees = change.numbers["direction_degrees"];
    assert!(!(20.0..340.0).contains(&degrees), "{change:?}");
    let wanted = 33.0 / 480.0_f32.hypot(270.0);
    assert!(
        (change.numbers["shift_ratio"] - wanted).abs() < 0.02,
        "{change:?}"
    );
}

#[test]
fn parts_that_change_places_about_a_still_centre_are_a_pose() {
    let blue = Square {
        x: 120,
        color: [60, 70, 120],
        ..RED
    };
    let swapped = [Square { x: 120, ..RED }, Square { x: 60, ..blue }];
    let (change, _) = only(&[RED, blue], &swapped);
    assert_eq!(change.kind, "reposed", "{change:?}");
}

#[test]
fn another_colour_is_named() {
    let blue = Square {
        color: [60, 70, 220],
        ..RED
    };
    let (change, _) = only(&[RED], &[blue]);
    assert_eq!(change.kind, "recolored", "{change:?}");
    assert!(change.numbers["from_a"] > 30.0 && change.numbers["to_b"] < -30.0);
}

#[test]
fn light_alone_is_lighting_and_nothing_is_nothing() {
    let report = measure_changes(&room(&[RED], 1.0), &room(&[RED], 0.75)).unwrap();
    assert_eq!(report.changes.len(), 1, "{report:#?}");
    assert_eq!(report.changes[0].kind, "lighting");
    assert!((report.lighting_gain - 0.75).abs() < 0.05, "{report:?}");
    let same = measure_changes(&room(&[RED], 1.0), &room(&[RED], 1.0)).unwrap();
    assert!(same.changes.is_empty() && same.changed_ratio == 0.0);
}

#[test]
fn tiny_pictures_have_an_answer() {
    let dot = Rgb8::from_fn(2, 1, |_, _| [9; 3]);
    assert!(measure_changes(&dot, &dot).unwrap().changes.is_empty());
    assert!(measure_changes(&dot, &room(&[], 1.0)).is_err());
}
