//! What must hold of one row by itself.

use super::frames::FrameJob;
use super::{Fault, MAKE_AGAIN, frame_job, is_sampled};
use crate::config::{ImageFormat, JudgeBackend, Mode};
use crate::core::{ItemPath, Pts, Range, Sample, Scene, SizeRule, Span};
use crate::filters::{PAIR_FILTERS, SCENE_FILTERS};
use crate::io::{RowBatch, RowImage, RowRecord};
use crate::media::decode_image;
use crate::pipelines::edit_pairs::bound;
use crate::pipelines::run_dir::RunInfo;
use crate::stages::judge::too_few_points;

/// What every row of a folder must say.
pub(super) struct Expected {
    pipeline: String,
    version: String,
    config_hash: String,
    models: Vec<(String, String)>,
    prompts: Vec<(String, String)>,
    size: SizeRule,
    extension: &'static str,
    /// Filters that decided; none in score mode.
    ranges: Vec<(&'static str, Range)>,
    min_points: Option<f32>,
}

impl Expected {
    pub(super) fn new(info: &RunInfo) -> Self {
        let config = &info.config;
        let (version, config_hash) = info.origin();
        let decides = config.output.mode == Mode::Drop;
        let scenes = bound(config, SCENE_FILTERS).into_iter();
        let scenes = scenes.map(|bound| (bound.def.name, bound.range));
        let pairs = bound(config, PAIR_FILTERS).into_iter();
        let pairs = pairs.map(|bound| (bound.def.name, bound.range));
        let models = info.models.iter();
        Self {
            pipeline: info.pipeline.clone(),
            version: version.to_owned(),
            config_hash: config_hash.to_owned(),
            models: models.map(|m| (m.role.clone(), m.model.clone())).collect(),
            prompts: info.prompts.clone(),
            size: SizeRule::MaxPixels(config.output.image_max_px),
            extension: match config.output.image_format {
                ImageFormat::Png => "png",
                ImageFormat::Jpeg => "jpg",
            },
            ranges: scenes.chain(pairs).filter(|_| decides).collect(),
            min_points: (decides && config.judge.backend != JudgeBackend::None)
                .then_some(config.judge.min),
        }
    }
}

/// What is kept of a row once it was looked at.
pub(super) struct Light {
    pub(super) row: u64,
    pub(super) short_id: [u8; 16],
    pub(super) path: Option<ItemPath>,
    pub(super) frames: Option<FrameJob>,
}

/// Looks at a row; `frames` is the share of rows whose frames are to be decoded again.
pub(super) fn check(
    batch: &RowBatch,
    row: usize,
    file: &str,
    expected: &Expected,
    frames: Option<f64>,
) -> (Light, Vec<Fault>) {
    let record = batch.record(row);
    let number = batch.first + row as u64;
    let mut look = Look {
        file,
        number,
        faults: Vec::new(),
    };
    for column in &record.missing {
        look.wrong(column, "has no value");
    }
    look.ids(&record, batch, row);
    look.place(&record);
    look.origin(&record, expected);
    look.verdicts(&record, expected);
    let images = look.images(&record, batch, row, expected);
    let short_id = short_id(&record.sample_id);
    let is_wanted = frames.is_some_and(|share| is_sampled(&short_id, share));
    let light = Light {
        row: number,
        short_id,
        frames: is_wanted.then(|| FrameJob {
            frames: images,
            ..frame_job(&record, number, file)
        }),
        path: record.item_path,
    };
    (light, look.faults)
}

/// The first half of a hash.
fn short_id(text: &str) -> [u8; 16] {
    let mut id = [0; 16];
    for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    id
}

struct Look<'a> {
    file: &'a str,
    number: u64,
    faults: Vec<Fault>,
}

impl Look<'_> {
    fn fault(&mut self, column: &str, what: impl Into<String>) -> &mut Fault {
        let fault = Fault::of(self.file, what, MAKE_AGAIN).in_row(self.number, column);
        self.faults.push(fault);
        let last = self.faults.len() - 1;
        &mut self.faults[last]
    }

    fn wrong(&mut self, column: &str, what: &str) {
        self.fault(column, what);
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand over texts and numbers alike"
    )]
    fn same(&mut self, column: &str, what: &str, expected: impl ToString, got: impl ToString) {
        let (expected, got) = (expected.to_string(), got.to_string());
        if expected != got {
            let fault = self.fault(column, what);
            fault.expected = Some(expected);
            fault.got = Some(got);
        }
    }

    fn ids(&mut self, record: &RowRecord, batch: &RowBatch, row: usize) {
        match batch.lineages(row) {
            Ok((stated, expected)) => {
                self.same(
                    "lineage_hash",
                    "does not follow from the row",
                    expected,
                    stated,
                );
            }
            Err(what) => self.wrong("lineage_hash", &what),
        }
        let (Some(mut images), Some(output)) = (batch.inputs(row), batch.output(row)) else {
            return;
        };
        images.push(output);
        let bytes = images.iter().map(|image| image.bytes);
        let id = Sample::id_of_bytes(&record.task, bytes, &record.instruction);
        let what = "does not follow from task, images and instruction";
        self.same("sample_id", what, id, &record.sample_id);
    }

    fn place(&mut self, record: &RowRecord) {
        let Some(span) = record.scene else {
            self.wrong("scene_end_secs", "lies before scene_start_secs");
            return;
        };
        let id = Scene::id_of_text(&record.video_id, span);
        let what = "does not follow from video_id and the scene's span";
        self.same("scene_id", what, id, &record.scene_id);
        let inside = |pts: i64| span.contains(Pts(pts));
        let text = |span: Span<Pts>| format!("{} to before {}", span.start().0, span.end().0);
        for pts in record.input_pts.iter().flatten() {
            if !inside(*pts) {
                self.same("input_pts", "lies outside the scene", text(span), pts);
            }
        }
        if !inside(record.output_pts) {
            let got = record.output_pts;
            self.same("output_pts", "lies outside the scene", text(span), got);
        }
        if record.changes.is_none() {
            self.wrong("instruction_evidence", "is no list of changes");
        }
        for area in record.boxes_outside() {
            let (width, height) = record.size;
            let picture = format!("a box inside {width} x {height}");
            let got = format!("{} {} {} {}", area.x0, area.y0, area.x1, area.y1);
            let what = "a change lies outside the picture";
            self.same("instruction_evidence", what, picture, got);
        }
    }

    fn origin(&mut self, record: &RowRecord, expected: &Expected) {
        let what = "differs from run.json";
        self.same("pipeline", what, &expected.pipeline, &record.pipeline);
        let version = &record.pipeline_version;
        self.same("pipeline_version", what, &expected.version, version);
        let hash = &record.config_hash;
        self.same("config_hash", what, &expected.config_hash, hash);
        let pairs = |pairs: &[(String, String)]| {
            let pairs = pairs.iter().map(|(a, b)| format!("{a} {b}"));
            let text = pairs.collect::<Vec<_>>().join(", ");
            if text.is_empty() {
                "none".to_owned()
            } else {
                text
            }
        };
        let (models, prompts) = (pairs(&expected.models), pairs(&expected.prompts));
        self.same("models", what, models, pairs(&record.models));
        self.same("prompts", what, prompts, pairs(&record.prompts));
    }

    /// A row is there because every score was in its range.
    fn verdicts(&mut self, record: &RowRecord, expected: &Expected) {
        for (name, range) in &expected.ranges {
            let score = record.scores.get(name);
            if !score.is_some_and(|score| range.keeps(score)) {
                let side = |side: Option<f32>| side.map_or("open".to_owned(), |n| n.to_string());
                let range = format!("{} to {}", side(range.min), side(range.max));
                let got = score.map_or("nothing".to_owned(), |score| score.to_string());
                self.same(&format!("score_{name}"), "is out of range", range, got);
            }
        }
        if let Some(min) = expected.min_points
            && let Some((axis, points)) = too_few_points(&record.points, min)
        {
            let expected = format!("at least {min}");
            self.same(
                &format!("judge_{axis}"),
                "is out of range",
                expected,
                points,
            );
        }
    }

    /// Decodes the pictures; gives the column, time and hash of each that shows a real frame.
    fn images(
        &mut self,
        record: &RowRecord,
        batch: &RowBatch,
        row: usize,
        expected: &Expected,
    ) -> Vec<(String, i64, [u8; 32])> {
        let mut frames = Vec::new();
        let inputs = batch.inputs(row);
        match &inputs {
            None => self.wrong("input_images", "has no value"),
            Some(inputs) => {
                let what = "number of images";
                let (expected, got) = (record.input_pts.len().max(1), inputs.len());
                self.same("input_images", what, expected, got);
            }
        }
        let output = batch.output(row);
        if output.is_none() {
            self.wrong("output_image", "has no value");
        }
        let inputs = inputs.into_iter().flatten().enumerate().map(|(n, image)| {
            let pts = record.input_pts.get(n).copied().flatten();
            ("input_images", format!("in{n}"), image, pts)
        });
        let output = output.map(|image| {
            (
                "output_image",
                "out".to_owned(),
                image,
                Some(record.output_pts),
            )
        });
        for (column, stem, image, pts) in inputs.chain(output) {
            let path = format!("{}/{stem}.{}", record.sample_id, expected.extension);
            self.same(column, "name of the image", path, image.path);
            self.picture(column, &image, record, expected);
            if let Some(pts) = pts {
                let hash = *blake3::hash(image.bytes).as_bytes();
                frames.push((column.to_owned(), pts, hash));
            }
        }
        frames
    }

    fn picture(
        &mut self,
        column: &str,
        image: &RowImage<'_>,
        record: &RowRecord,
        expected: &Expected,
    ) {
        let is_png = image.bytes.starts_with(b"\x89PNG");
        let got = if is_png { "png" } else { "jpg" };
        self.same(column, "format of the image", expected.extension, got);
        match decode_image(image.bytes) {
            Err(error) => self.wrong(column, error.what.trim_end_matches('.')),
            Ok(picture) => {
                let text = |(width, height): (u32, u32)| format!("{width} x {height}");
                let size = expected.size.apply(record.size.0, record.size.1);
                let got = (picture.width(), picture.height());
                self.same(column, "size of the image", text(size), text(got));
            }
        }
    }
}
