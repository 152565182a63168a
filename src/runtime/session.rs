//! One loaded graph, run by the names of its inputs and outputs.

use std::borrow::Cow;
use std::path::Path;

use ndarray::ArrayD;
use ort::ep::CPU;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;

use super::library::load_library;
use super::spec::{TensorSpec, check};
use crate::core::{ErrorKind, FatalError, ItemError};

/// Where ONNX Runtime looks for initializers that live outside the graph.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// How a session uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads inside one run, at least 1.
    pub intra_threads: usize,
    /// Whether weights are copied into the layout the kernels like best: faster, more memory.
    pub prepacking: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            intra_threads: 1,
            prepacking: true,
        }
    }
}

/// An input's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Floats.
    F32(ArrayD<f32>),
    /// Bytes.
    U8(ArrayD<u8>),
}

/// A loaded graph.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    name: String,
}

impl Session {
    /// Loads `graph`, whose weights lie in files of `weights_folder`, and compares it with the card.
    ///
    /// `file` is what errors name: the weights or the graph.
    ///
    /// # Errors
    /// [`FatalError::Library`] without ONNX Runtime, [`FatalError::SpecMismatch`] when card and
    /// graph disagree, [`FatalError::Disk`] when graph or weights cannot be read.
    pub fn load(
        graph: &[u8],
        weights_folder: &Path,
        file: &Path,
        options: SessionOptions,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> Result<Self, FatalError> {
        let library = load_library(None)?;
        // The runtime refuses folders behind links.
        let folder = weights_folder
            .canonicalize()
            .map_err(|error| FatalError::disk(weights_folder, error))?;
        let inner = build(library, graph, &folder, options)
            .map_err(|error| FatalError::disk(file, format!("the graph does not load: {error}")))?;
        check("inputs", inputs, inner.inputs(), file)?;
        check("outputs", outputs, inner.outputs(), file)?;
        Ok(Self {
            inner,
            name: file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        })
    }

    /// Runs the graph; gives the wanted outputs, which must be floats, in the order asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when the graph refuses an input or an output is missing.
    pub fn run(
        &mut self,
        inputs: Vec<(&str, Input)>,
        wanted: &[&str],
    ) -> Result<Vec<ArrayD<f32>>, ItemError> {
        let failed =
            |error: ort::Error| ItemError::new(ErrorKind::Model, format!("{}: {error}", self.name));
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
        for (name, input) in inputs {
            let value: SessionInputValue<'_> = match input {
                Input::F32(array) => Tensor::from_array(array).map_err(failed)?.into(),
                Input::U8(array) => Tensor::from_array(array).map_err(failed)?.into(),
            };
            values.push((name.into(), value));
        }
        let outputs = self.inner.run(values).map_err(failed)?;
        wanted
            .iter()
            .map(|name| {
                let value = outputs.get(name).ok_or_else(|| {
                    ItemError::new(ErrorKind::Model, format!("{}: no output {name}", self.name))
                })?;
                let array = value.try_extract_array::<f32>().map_err(failed)?;
                Ok(array.to_owned())
            })
            .collect()
    }
}

fn build(
    library: &super::Library,
    graph: &[u8],
    folder: &Path,
    options: SessionOptions,
) -> ort::Result<ort::session::Session> {
    let folder = folder.to_string_lossy();
    let mut builder = ort::session::Session::builder(&library.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(options.intra_threads.max(1))?
        .with_inter_threads(1)?
        .with_deterministic_compute(true)?
        // Spinning threads would take the cores that decoding needs.
        .with_intra_op_spinning(false)?
        .with_prepacking(options.prepacking)?
        .with_config_entry(WEIGHTS_FOLDER, &folder)?
        // An arena keeps the largest run's memory for ever, doubled; a session a worker is enough.
        .with_execution_providers([CPU::default().with_arena_allocator(false).build()])?;
    builder.commit_from_memory(graph)
}
