//! The chain of hashes that ties a row to its video, frames, models and prompts.

use arrow_array::RecordBatch;

use super::arrays;
use super::columns::RowContext;
use crate::core::{ErrorKind, Hasher, ItemError, Sample, Scene};

/// What a row was made of. Every field is a column, so that a reader can follow the chain.
struct Lineage<'a> {
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
        crate::core::Key::from_hash(hash.finish())
            .as_str()
            .to_owned()
    }
}

/// The chain over video, scene, pts, models, prompts, config, seed and image bytes of a sample.
pub fn lineage_hash(sample: &Sample, context: &RowContext) -> String {
    let images = sample.inputs.iter().chain([&sample.output]);
    Lineage {
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
    }
    .hash()
}

/// Refuses a sample whose ids do not follow from its contents or whose frames lie outside its
/// scene.
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
    Ok(())
}

/// Recomputes the chain of one row of a batch and compares it with its `lineage_hash`.
///
/// # Errors
/// A sentence saying which column is missing or that the chain differs.
pub fn verify_lineage(batch: &RecordBatch, row: usize) -> Result<(), String> {
    let text = |name| {
        arrays::get_text(batch, name, row).ok_or_else(|| format!("column {name} has no value"))
    };
    let pairs = |name| arrays::get_text_pairs(batch, name, row).unwrap_or_default();
    let mut images = arrays::get_images(batch, "input_images", row).unwrap_or_default();
    let output = arrays::get_image(batch, "output_image", row)
        .ok_or_else(|| "column output_image has no value".to_owned())?;
    images.push(output.to_vec());
    let expected = Lineage {
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
    }
    .hash();
    let stated = text("lineage_hash")?;
    if stated == expected {
        return Ok(());
    }
    let id = text("sample_id")?;
    let short = id.get(..12).unwrap_or(id);
    Err(format!("row of sample {short} has a broken lineage chain"))
}
