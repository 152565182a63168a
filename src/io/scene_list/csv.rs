//! Rows for spreadsheets: one for each scene, or one for each frame with its score.

use csv::Writer;

use super::ListedFile;
use crate::core::{FatalError, SceneList, Score};

/// The columns of [`scenes_csv`].
const SCENE_COLUMNS: [&str; 12] = [
    "file",
    "scene",
    "start_frame",
    "end_frame",
    "start_pts",
    "end_pts",
    "start_secs",
    "end_secs",
    "start_timecode",
    "end_timecode",
    "start_score",
    "end_score",
];

/// First line of a file of scores, with its line end.
pub const SCORE_COLUMNS: &str = "file,frame,pts,secs,score\n";

/// One row for each scene of all files, below one line of names. Ends are exclusive.
///
/// # Errors
/// Refused where a row cannot be written, which memory alone can cause.
pub fn scenes_csv(files: &[ListedFile]) -> Result<String, FatalError> {
    let mut rows = Writer::from_writer(Vec::new());
    rows.write_record(SCENE_COLUMNS).map_err(refused)?;
    for file in files {
        for (n, scene) in file.list.scenes.iter().enumerate() {
            rows.write_record([
                plain_path(&file.file),
                (n + 1).to_string(),
                scene.start_frame.to_string(),
                scene.end_frame.to_string(),
                scene.start_pts.to_string(),
                scene.end_pts.to_string(),
                format!("{:.6}", scene.start_secs),
                format!("{:.6}", scene.end_secs),
                timecode(scene.start_secs),
                timecode(scene.end_secs),
                number(scene.start_score),
                number(scene.end_score),
            ])
            .map_err(refused)?;
        }
    }
    text(rows)
}

/// One row for each frame of one file, without the line of names.
///
/// # Errors
/// As [`scenes_csv`].
pub fn scores_csv(file: &str, list: &SceneList) -> Result<String, FatalError> {
    let mut rows = Writer::from_writer(Vec::new());
    let file = plain_path(file);
    for frame in &list.scores {
        rows.write_record([
            file.as_str(),
            &frame.index.0.to_string(),
            &frame.pts.0.to_string(),
            &format!("{:.6}", list.info.time_base.secs(frame.pts)),
            &frame.score.to_string(),
        ])
        .map_err(refused)?;
    }
    text(rows)
}

/// A path that no spreadsheet takes for a formula: `./` in front names the same file.
fn plain_path(path: &str) -> String {
    let is_formula = path.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']);
    if is_formula {
        format!("./{path}")
    } else {
        path.to_owned()
    }
}

fn text(rows: Writer<Vec<u8>>) -> Result<String, FatalError> {
    let bytes = rows.into_inner().map_err(refused)?;
    String::from_utf8(bytes).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> FatalError {
    FatalError::Refused(format!("the CSV could not be written: {error}"))
}

fn number(score: Option<Score>) -> String {
    score.map_or_else(String::new, |score| score.to_string())
}

/// `HH:MM:SS.mmm`.
fn timecode(secs: f64) -> String {
    let millis = (secs.abs() * 1000.0).round() as u64;
    let sign = if secs < 0.0 && millis > 0 { "-" } else { "" };
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (whole, rest) = (millis / 1000 % 60, millis % 1000);
    format!("{sign}{hours:02}:{minutes:02}:{whole:02}.{rest:03}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::listed;
    use super::*;

    #[test]
    fn one_row_a_scene_and_names_once() {
        let files = [
            listed("a, b.mp4", (25, 1), 100, &[(0, 40), (50, 100)]),
            listed("c.mp4", (25, 1), 10, &[(0, 10)]),
        ];
        let text = scenes_csv(&files).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], SCENE_COLUMNS.join(","));
        assert_eq!(
            lines[2],
            "\"a, b.mp4\",2,50,100,50,100,2.000000,4.000000,00:00:02.000,00:00:04.000,0.75,"
        );
        assert_eq!(
            lines[3],
            "c.mp4,1,0,10,0,10,0.000000,0.400000,00:00:00.000,00:00:00.400,,"
        );
    }

    #[test]
    fn one_row_a_frame() {
        let file = listed("a.mp4", (25, 1), 3, &[(0, 1), (1, 3)]);
        let text = scores_csv(&file.file, &file.list).unwrap();
        let expected = "a.mp4,0,0,0.000000,0.1\na.mp4,1,1,0.040000,0.9\na.mp4,2,2,0.080000,0.1\n";
        assert_eq!(text, expected);
        let columns = SCORE_COLUMNS.trim_end().split(',').count();
        assert_eq!(text.lines().next().unwrap().split(',').count(), columns);
    }

    #[test]
    fn a_name_is_no_formula() {
        for name in ["=1+2.mp4", "@x.mp4", "-x.mp4", "+x.mp4", "\tx.mp4"] {
            let file = listed(name, (25, 1), 10, &[(0, 10)]);
            let (scenes, scores) = (
                scenes_csv(std::slice::from_ref(&file)),
                scores_csv(name, &file.list),
            );
            let mut rows = csv::Reader::from_reader(scenes.as_ref().unwrap().as_bytes());
            let row = rows.records().next().unwrap().unwrap();
            assert_eq!(&row[0], format!("./{name}"));
            assert!(scores.unwrap().trim_start_matches('"').starts_with("./"));
        }
    }

    #[test]
    fn timecodes_carry_over() {
        assert_eq!(timecode(3599.9996), "01:00:00.000");
        assert_eq!(timecode(-0.04), "-00:00:00.040");
        assert_eq!(timecode(61.5), "00:01:01.500");
    }
}
