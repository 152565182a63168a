//! What a card says about a graph's inputs and outputs, compared with what the graph says itself.

use std::fmt;
use std::path::Path;

use ort::value::{Outlet, TensorElementType, ValueType};
use serde::{Deserialize, Serialize};

use crate::core::FatalError;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DType {
    /// 32-bit float.
    F32,
    /// Unsigned byte.
    U8,
    /// 64-bit integer.
    I64,
}

/// Length of one axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// Always this long.
    Fixed(u32),
    /// Free; the name says what it counts (`batch`).
    Free(String),
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Axes, outermost first.
    pub shape: Vec<Dim>,
    /// Colour order, value range, unit.
    pub meaning: String,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self
            .shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(length) => length.to_string(),
                Dim::Free(name) => name.clone(),
            })
            .collect();
        let dtype = match self.dtype {
            DType::F32 => "f32",
            DType::U8 => "u8",
            DType::I64 => "i64",
        };
        write!(f, "{} {dtype} [{}]", self.name, axes.join(", "))
    }
}

/// Compares the card's tensors with the graph's, in any order.
pub(super) fn check(
    side: &str,
    card: &[TensorSpec],
    graph: &[Outlet],
    file: &Path,
) -> Result<(), FatalError> {
    let said: Vec<Result<TensorSpec, String>> = graph.iter().map(spec_of).collect();
    let agrees = |spec: &TensorSpec| said.iter().any(|other| fits(spec, other));
    if card.len() == graph.len() && card.iter().all(agrees) {
        return Ok(());
    }
    let list = |texts: Vec<String>| format!("{side} {}", texts.join(", "));
    Err(FatalError::SpecMismatch {
        expected: list(card.iter().map(ToString::to_string).collect()),
        got: list(
            said.iter()
                .map(|spec| match spec {
                    Ok(spec) => spec.to_string(),
                    Err(text) => text.clone(),
                })
                .collect(),
        ),
        file: file.to_path_buf(),
    })
}

fn fits(card: &TensorSpec, graph: &Result<TensorSpec, String>) -> bool {
    let Ok(graph) = graph else { return false };
    // A free axis of the card may be called anything in the graph, but it must be free there.
    let same_axis = |(a, b): (&Dim, &Dim)| match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => a == b,
        (Dim::Free(_), Dim::Free(_)) => true,
        _ => false,
    };
    card.name == graph.name
        && card.dtype == graph.dtype
        && card.shape.len() == graph.shape.len()
        && card.shape.iter().zip(&graph.shape).all(same_axis)
}

fn spec_of(outlet: &Outlet) -> Result<TensorSpec, String> {
    let name = outlet.name().to_owned();
    let ValueType::Tensor {
        ty,
        shape,
        dimension_symbols,
    } = outlet.dtype()
    else {
        return Err(format!("{name} (no tensor)"));
    };
    let dtype = match ty {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int64 => DType::I64,
        other => return Err(format!("{name} {other}")),
    };
    let shape = shape
        .iter()
        .zip(dimension_symbols.iter())
        .map(|(length, symbol)| {
            u32::try_from(*length).map_or_else(
                |_| {
                    Dim::Free(if symbol.is_empty() {
                        "?".to_owned()
                    } else {
                        symbol.clone()
                    })
                },
                Dim::Fixed,
            )
        })
        .collect();
    Ok(TensorSpec {
        name,
        dtype,
        shape,
        meaning: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: Vec<Dim>) -> TensorSpec {
        TensorSpec {
            name: "x".to_owned(),
            dtype: DType::F32,
            shape,
            meaning: String::new(),
        }
    }

    #[test]
    fn free_axes_match_free_axes_only() {
        let free = |name: &str| Dim::Free(name.to_owned());
        let card = spec(vec![free("batch"), Dim::Fixed(3)]);
        assert!(fits(&card, &Ok(spec(vec![free("n"), Dim::Fixed(3)]))));
        assert!(!fits(&card, &Ok(spec(vec![Dim::Fixed(1), Dim::Fixed(3)]))));
        assert!(!fits(&card, &Ok(spec(vec![free("n"), Dim::Fixed(4)]))));
        assert!(!fits(&card, &Ok(spec(vec![free("n")]))));
    }
}
