//! The chain of hashes that ties a row to its video, frames, models and prompts.

use arrow_array::RecordBatch;

use super::arrays;
use super::columns::{RowContext, SCHEMA_VERSION};
use crate::core::{BoxPx, Change, ErrorKind, Hasher, ItemError, Sample, Scene};

/// What a row was made of. Every field is a column, so that a reader can follow the chain.
struct Lineage<'a> {
    /// Version of the row schema: what the chain is made of changed with it.
    schema_version: u32,
    sample_id: &'a str,
    video_id: &'a str,
    scene_id: &'a str,
    input_pts: Vec<Option<i64>>,
    output_pts: Option<i64>,
    models: Vec<(String, String)>,
    prompts: Vec<(String, String)>,
    config_hash: &'a str,
    repaint_seed: Option<u64>,
    images: Vec<[u8; 32]>,
    /// Measured changes and their regions; from schema version 2 on.
    masks: [Option<&'a str>; 2],
}

impl Lineage<'_> {
    fn hash(&self) -> String {
        let mut hash = Hasher::new("lineage")
            .str(self.sample_id)
            .str(self.video_id)
            .str(self.scene_id)
            .json(&self.input_pts)
            .json(&self.output_pts)
            .json(&self.models)
            .json(&self.prompts)
            .str(self.config_hash)
            .json(&self.repaint_seed);
        for image in &self.images {
            hash = hash.bytes(image);
        }
        if self.schema_version >= 2 {
            hash = hash.json(&self.masks);
        }
        crate::core::Key::from_hash(hash.finish())
            .as_str()
            .to_owned()
    }
}

/// The measured changes that an instruction rests on, as the column `instruction_evidence`.
pub(super) fn evidence(sample: &Sample) -> Option<String> {
    let changes = &sample.instruction.changes;
    let text = (!changes.is_empty()).then(|| serde_json::to_string(changes));
    text.and_then(Result::ok)
}

/// The chain over video, scene, pts, changes, models, prompts, config, seed and image bytes of a
/// sample.
pub fn lineage_hash(sample: &Sample, context: &RowContext) -> String {
    let images = sample.inputs.iter().chain([&sample.output]);
    let evidence = evidence(sample);
    Lineage {
        schema_version: SCHEMA_VERSION,
        sample_id: sample.id.as_str(),
        video_id: sample.scene.video.id.as_str(),
        scene_id: sample.scene.id.as_str(),
        input_pts: sample.inputs.iter().map(|i| i.pts.map(|p| p.0)).collect(),
        output_pts: sample.output.pts.map(|p| p.0),
        models: context.model_pairs(),
        prompts: context.prompt_pairs(),
        config_hash: &context.config_hash,
        repaint_seed: None,
        images: images.map(|i| *blake3::hash(&i.bytes).as_bytes()).collect(),
        masks: [evidence.as_deref(), None],
    }
    .hash()
}

/// Refuses a sample whose ids do not follow from its contents, whose frames lie outside its scene
/// or whose changes lie outside the picture.
///
/// # Errors
/// [`ErrorKind::Bug`] naming what does not follow.
pub fn verify_sample(sample: &Sample) -> Result<(), ItemError> {
    let broken = |what: &str| {
        let what = format!("sample {} has a broken lineage: {what}", sample.id.short());
        Err(ItemError::new(ErrorKind::Bug, what))
    };
    let scene = &sample.scene;
    if scene.id != Scene::id_of(&scene.video.id, scene.pts) {
        return broken("scene_id does not follow from video and span");
    }
    let text = &sample.instruction.text;
    if sample.id != Sample::id_of(sample.task, &sample.inputs, &sample.output, text) {
        return broken("sample_id does not follow from task, images and instruction");
    }
    let Some(output) = sample.output.pts else {
        return broken("the output is no real frame");
    };
    let mut pts = sample.inputs.iter().filter_map(|i| i.pts).chain([output]);
    if !pts.all(|at| scene.pts.contains(at)) {
        return broken("a frame lies outside its scene");
    }
    if sample.inputs.is_empty() || sample.instruction.text.trim().is_empty() {
        return broken("it has no input or no instruction");
    }
    let (width, height) = (scene.video.info.width, scene.video.info.height);
    if !changes_are_inside(&sample.instruction.changes, width, height) {
        return broken("a change lies outside the picture");
    }
    Ok(())
}

/// Whether every box of the changes lies in a picture of that size; a pixel is given for rounding.
pub fn changes_are_inside(changes: &[Change], width: u32, height: u32) -> bool {
    let inside = |area: &BoxPx| {
        let (left, top) = (area.x0.min(area.x1), area.y0.min(area.y1));
        let (right, bottom) = (area.x0.max(area.x1), area.y0.max(area.y1));
        left >= -1.0 && top >= -1.0 && right <= width as f32 + 1.0 && bottom <= height as f32 + 1.0
    };
    let boxes = changes.iter().flat_map(|c| [&c.from_box_px, &c.to_box_px]);
    boxes.flatten().all(inside)
}

/// Recomputes the chain of one row of a batch and compares it with its `lineage_hash`.
///
/// # Errors
/// A sentence saying which column is missing or that the chain differs.
pub fn verify_lineage(batch: &RecordBatch, row: usize) -> Result<(), String> {
    let (stated, expected) = lineages(batch, row, SCHEMA_VERSION)?;
    if stated == expected {
        return Ok(());
    }
    let id = arrays::get_text(batch, "sample_id", row).unwrap_or_default();
    let short = id.get(..12).unwrap_or(id);
    Err(format!("row of sample {short} has a broken lineage chain"))
}

/// The `lineage_hash` of a row, and what it must be by the rules of a schema version.
pub(super) fn lineages(
    batch: &RecordBatch,
    row: usize,
    schema_version: u32,
) -> Result<(String, String), String> {
    let text = |name| {
        arrays::get_text(batch, name, row).ok_or_else(|| format!("column {name} has no value"))
    };
    let pairs = |name| arrays::get_text_pairs(batch, name, row).unwrap_or_default();
    let mut images = arrays::get_images(batch, "input_images", row).unwrap_or_default();
    let output = arrays::get_image(batch, "output_image", row)
        .ok_or_else(|| "column output_image has no value".to_owned())?;
    images.push(output.to_vec());
    let expected = Lineage {
        schema_version,
        sample_id: text("sample_id")?,
        video_id: text("video_id")?,
        scene_id: text("scene_id")?,
        input_pts: arrays::get_numbers(batch, "input_pts", row).unwrap_or_default(),
        output_pts: arrays::get_i64(batch, "output_pts", row),
        models: pairs("models"),
        prompts: pairs("prompts"),
        config_hash: text("config_hash")?,
        repaint_seed: arrays::get_u64(batch, "repaint_seed", row),
        images: images.iter().map(|i| *blake3::hash(i).as_bytes()).collect(),
        masks: ["instruction_evidence", "edit_region_rle"]
            .map(|name| arrays::get_text(batch, name, row)),
    }
    .hash();
    Ok((text("lineage_hash")?.to_owned(), expected))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::core::ItemPath;

    #[test]
    fn the_chain_holds_the_changes_since_version_2() {
        let sample = fixtures::sample(&fixtures::scene("v"), 1);
        let mut other = sample.clone();
        other.instruction.changes.clear();
        let rows = [sample, other].map(|sample| {
            let columns = fixtures::columns();
            let path = ItemPath::root(0);
            columns.row(&path, &sample, &fixtures::context()).unwrap()
        });
        for row in &rows {
            verify_lineage(row, 0).unwrap();
        }
        let chains = |version| {
            rows.each_ref()
                .map(|row| lineages(row, 0, version).unwrap().1)
        };
        let [with, without] = chains(1);
        assert_eq!(with, without);
        let [with, without] = chains(2);
        assert_ne!(with, without);
    }

    #[test]
    fn a_change_outside_the_picture_is_refused() {
        let mut sample = fixtures::sample(&fixtures::scene("v"), 1);
        let area = sample.instruction.changes[0].from_box_px.as_mut().unwrap();
        (area.x0, area.x1) = (600.0, 645.0);
        let error = verify_sample(&sample).unwrap_err();
        assert!(error.what.contains("outside the picture"), "{error}");
    }
}
