//! The scores of every frame as a page for a browser: whole, without network, names escaped.

use base64::Engine as _;
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use std::fmt::Write as _;

use super::ListedFile;
use crate::core::{FatalError, FrameScore, SceneList, Score};

const TEMPLATE: &str = include_str!("plot.html");
/// The picture in its own units: margins for the axes, and the curve's field.
const LEFT: f64 = 56.0;
const TOP: f64 = 14.0;
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 180.0;
/// Most points of a curve. With more frames than that each point stands for several and shows the
/// highest of them.
const MAX_POINTS: usize = 4000;
/// The axis ends here at the latest, in thresholds: single high scores would press down the rest.
const MAX_THRESHOLDS: f64 = 5.0;
/// About so many labels below the curve.
const TICKS: f64 = 10.0;

/// The pictures on both sides of a cut, as JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutPictures {
    /// Number of the scene before the cut, from 0.
    pub scene: usize,
    /// Last frame before.
    pub before: Vec<u8>,
    /// First frame after.
    pub after: Vec<u8>,
}

/// What the page shows of one file.
#[derive(Clone, Debug, Serialize)]
pub struct PlotFile {
    file: String,
    facts: String,
    damage: Option<String>,
    curve: String,
    points: String,
    /// Why a point is not a frame, or where the axis ends; empty if there is nothing to say.
    remark: String,
    cuts: Vec<CutMark>,
    threshold: Option<Label>,
    x_labels: Vec<Label>,
    y_labels: Vec<Label>,
    without_pictures: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Label {
    at: f64,
    text: String,
}

#[derive(Clone, Debug, Serialize)]
struct CutMark {
    x: f64,
    number: usize,
    before: Option<String>,
    after: Option<String>,
    before_frame: u32,
    after_frame: u32,
    secs: String,
    score: String,
}

/// Where numbers lie in the picture.
struct Axes {
    first_secs: f64,
    last_secs: f64,
    top_score: f64,
}

impl Axes {
    fn of(list: &SceneList) -> Self {
        let base = list.info.time_base;
        let secs = |frame: Option<&FrameScore>| frame.map_or(0.0, |frame| base.secs(frame.pts));
        let highest = highest(&list.scores);
        let top_score = match list.threshold {
            Some(threshold) if threshold > 0.0 => {
                let threshold = f64::from(threshold);
                highest.clamp(threshold * 1.25, threshold * MAX_THRESHOLDS)
            }
            _ => highest,
        };
        Self {
            first_secs: secs(list.scores.first()),
            last_secs: secs(list.scores.last()),
            top_score: if top_score > 0.0 { top_score } else { 1.0 },
        }
    }

    fn x(&self, secs: f64) -> f64 {
        let share = (secs - self.first_secs) / (self.last_secs - self.first_secs).max(1e-9);
        round(LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT))
    }

    fn y(&self, score: f64) -> f64 {
        let share = (score / self.top_score).clamp(0.0, 1.0);
        round(TOP + (1.0 - share) * HEIGHT)
    }

    fn x_labels(&self) -> Vec<Label> {
        let step = nice_step((self.last_secs - self.first_secs) / TICKS);
        let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let first = (self.first_secs / step).ceil() as i64;
        let last = (self.last_secs / step).floor() as i64;
        let label = |n: i64| Label {
            at: self.x(n as f64 * step),
            text: format!("{:.digits$}", n as f64 * step),
        };
        (first..=last).map(label).collect()
    }

    fn y_labels(&self) -> Vec<Label> {
        let step = nice_step(self.top_score / 4.0);
        let count = (self.top_score / step + 1e-6).floor() as u32;
        let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let label = |n: u32| Label {
            at: self.y(f64::from(n) * step),
            text: format!("{:.digits$}", f64::from(n) * step),
        };
        (0..=count).map(label).collect()
    }
}

impl PlotFile {
    /// Draws the scores of a file; `pictures` are of some of its cuts, in order.
    pub fn new(file: &ListedFile, pictures: &[CutPictures]) -> Self {
        let list = &file.list;
        let base = list.info.time_base;
        let axes = Axes::of(list);
        let shown = thinned(&list.scores);
        let (mut curve, mut points) = (String::new(), String::new());
        for frame in &shown {
            let (secs, score) = (base.secs(frame.pts), f64::from(frame.score));
            let letter = if curve.is_empty() { 'M' } else { 'L' };
            let _ = write!(curve, "{letter}{} {}", axes.x(secs), axes.y(score));
            let separator = if points.is_empty() { "" } else { ";" };
            let index = frame.index.0;
            let _ = write!(points, "{separator}{index},{secs:.3},{}", frame.score);
        }
        let cuts = list.scenes.windows(2).enumerate().map(|(n, scenes)| {
            let found = pictures.iter().find(|pictures| pictures.scene == n);
            CutMark {
                x: axes.x(scenes[1].start_secs),
                number: n + 1,
                before: found.map(|found| data_address(&found.before)),
                after: found.map(|found| data_address(&found.after)),
                before_frame: scenes[0].end_frame.saturating_sub(1),
                after_frame: scenes[1].start_frame,
                secs: format!("{:.3}", scenes[1].start_secs),
                score: scenes[1].start_score.map_or_else(String::new, shown_score),
            }
        });
        let cuts: Vec<CutMark> = cuts.collect();
        Self {
            file: file.file.clone(),
            facts: format!(
                "{} frames, {:.3} fps, {} scenes, detector {}",
                list.frames,
                list.fps,
                list.scenes.len(),
                list.detector
            ),
            damage: list.damage.as_ref().map(|damage| damage.text.clone()),
            curve,
            points,
            remark: remark(list, &axes, shown.len()),
            without_pictures: cuts.iter().filter(|cut| cut.before.is_none()).count(),
            cuts,
            threshold: list.threshold.map(|threshold| Label {
                at: axes.y(f64::from(threshold)),
                text: format!("threshold {}", shown_score(threshold)),
            }),
            x_labels: axes.x_labels(),
            y_labels: axes.y_labels(),
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    files: &'a [PlotFile],
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// The page for all files.
///
/// # Errors
/// Refused where the page cannot be made, which the files have no influence on.
pub fn plot_page(files: &[PlotFile]) -> Result<String, FatalError> {
    let page = Page {
        files,
        left: LEFT,
        top: TOP,
        right: WIDTH,
        bottom: TOP + HEIGHT,
    };
    let mut environment = Environment::new();
    // The name's ending turns escaping on.
    environment
        .add_template("plot.html", TEMPLATE)
        .and_then(|()| environment.get_template("plot.html")?.render(Serde(&page)))
        .map_err(|error| FatalError::Refused(format!("the plot could not be made: {error:#}")))
}

/// Every frame, or of each group of neighbours the one with the highest score.
fn thinned(scores: &[FrameScore]) -> Vec<FrameScore> {
    let group = scores.len().div_ceil(MAX_POINTS).max(1);
    let best = |frames: &[FrameScore]| {
        let first = frames.first().copied();
        frames.iter().fold(first, |best, frame| match best {
            Some(best) if frame.score > best.score => Some(*frame),
            other => other,
        })
    };
    scores.chunks(group).filter_map(best).collect()
}

fn remark(list: &SceneList, axes: &Axes, points: usize) -> String {
    let mut parts = Vec::new();
    if list.scores.is_empty() {
        parts.push("no scores are known".to_owned());
    }
    if points < list.scores.len() {
        let frames = list.scores.len().div_ceil(MAX_POINTS);
        parts.push(format!("each point is the highest of {frames} frames"));
    }
    let highest = highest(&list.scores);
    if highest > axes.top_score {
        parts.push(format!(
            "the axis ends at {}, the highest score is {}",
            shown_score(axes.top_score as Score),
            shown_score(highest as Score)
        ));
    }
    parts.join("; ")
}

fn highest(scores: &[FrameScore]) -> f64 {
    let scores = scores.iter().map(|frame| f64::from(frame.score));
    scores.filter(|score| score.is_finite()).fold(0.0, f64::max)
}

fn shown_score(score: Score) -> String {
    let digits = match score.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 3,
    };
    let text = format!("{score:.digits$}");
    if digits == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn nice_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|times| times * power >= step * 0.999);
    times.unwrap_or(10.0) * power
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn data_address(jpeg: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(jpeg);
    format!("data:image/jpeg;base64,{text}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::listed;
    use super::*;

    fn pictures(scene: usize) -> CutPictures {
        CutPictures {
            scene,
            before: b"before".to_vec(),
            after: b"after".to_vec(),
        }
    }

    #[test]
    fn a_page_is_whole_and_escapes_names() {
        let name = "<script>alert('x')</script>&\".mp4";
        let file = listed(name, (25, 1), 100, &[(0, 40), (40, 70), (70, 100)]);
        let page = plot_page(&[PlotFile::new(&file, &[pictures(0)])]).unwrap();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&lt;script&gt;alert"), "{page}");
        assert!(!page.contains("://"), "{page}");
        assert_eq!(page.matches("<svg").count(), 1);
        assert_eq!(page.matches("<img").count(), 2);
        assert_eq!(page.matches("class=\"cut\"").count(), 2);
        assert!(page.contains("threshold 0.5"), "{page}");
        assert!(page.contains("1 cut without pictures"), "{page}");
    }

    #[test]
    fn the_highest_of_many_frames_is_shown() {
        let mut file = listed("a.mp4", (25, 1), 20_000, &[(0, 20_000)]);
        file.list.scores[12_345].score = 0.8;
        let shown = thinned(&file.list.scores);
        assert_eq!(shown.len(), MAX_POINTS);
        assert!(shown.iter().any(|frame| frame.index.0 == 12_345));
        let plot = PlotFile::new(&file, &[]);
        assert_eq!(plot.remark, "each point is the highest of 5 frames");
        assert_eq!(thinned(&file.list.scores[..4000]).len(), 4000);
    }

    #[test]
    fn single_high_scores_do_not_press_down_the_curve() {
        let mut file = listed("a.mp4", (25, 1), 100, &[(0, 50), (50, 100)]);
        file.list.scores[50].score = 200.0;
        let axes = Axes::of(&file.list);
        assert_eq!(axes.top_score, 2.5);
        assert_eq!(axes.y(200.0), TOP);
        assert_eq!(axes.y(0.0), TOP + HEIGHT);
        let remark = PlotFile::new(&file, &[]).remark;
        assert_eq!(remark, "the axis ends at 2.5, the highest score is 200");
    }

    #[test]
    fn marks_lie_where_the_scene_begins() {
        let file = listed("a.mp4", (25, 1), 101, &[(0, 50), (50, 101)]);
        let plot = PlotFile::new(&file, &[]);
        assert_eq!(plot.cuts[0].x, round(LEFT + (WIDTH - LEFT) / 2.0));
        let labels: Vec<&str> = plot
            .x_labels
            .iter()
            .map(|label| label.text.as_str())
            .collect();
        assert_eq!(
            labels,
            [
                "0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0"
            ]
        );
    }

    #[test]
    fn a_file_without_scores_still_gives_a_page() {
        let mut file = listed("a.mp4", (25, 1), 1, &[(0, 1)]);
        file.list.scores.clear();
        file.list.threshold = None;
        let page = plot_page(&[PlotFile::new(&file, &[])]).unwrap();
        assert!(page.contains("no scores are known"), "{page}");
    }
}
