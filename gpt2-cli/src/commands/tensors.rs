//! Files of tensors that `gpt2 forward` reads and writes.

use std::path::Path;

use gpt2_core::folder::write_file;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::{Failure, Outcome};

/// Tensors that an input file may hold.
const NAMES: [&str; 4] = ["input_ids", "attention_mask", "position_ids", "labels"];

/// Integers of a tensor with two axes.
pub struct Grid {
    /// The rows, equally long and not empty.
    pub rows: Vec<Vec<i64>>,
}

/// The tensors of an input file.
pub struct Inputs {
    /// Token ids, `[batch, seq]`.
    pub input_ids: Grid,
    /// 0 where there is padding.
    pub attention_mask: Option<Grid>,
    /// Places of the tokens in the text.
    pub position_ids: Option<Grid>,
    /// Ids to predict, -100 where none is.
    pub labels: Option<Grid>,
}

/// A tensor on its way to the output file: name, shape, values.
pub type Named = (String, Vec<usize>, Vec<f32>);

impl Grid {
    /// The rows as token ids.
    pub fn unsigned(&self, name: &str) -> Result<Vec<Vec<u32>>, Failure> {
        let id = |&id: &i64| {
            u32::try_from(id).map_err(|_| format!("`{name}` holds {id}, expected a token id"))
        };
        Ok(self
            .rows
            .iter()
            .map(|row| row.iter().map(id).collect())
            .collect::<Result<_, String>>()?)
    }

    /// Refuses another shape than that of `input_ids`.
    pub fn check_shape(&self, name: &str, expected: [usize; 2]) -> Outcome {
        let found = [self.rows.len(), self.rows.first().map_or(0, Vec::len)];
        if found != expected {
            let message = format!("`{name}` has shape {found:?}, expected {expected:?}");
            return Err(message.into());
        }
        Ok(())
    }
}

/// Reads the input file; a tensor of another name is refused, not passed over.
pub fn read(path: &Path) -> Result<Inputs, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| format!("{}: cannot read: {error}", path.display()))?;
    let place = |error: Failure| format!("{}: {error}", path.display());
    let file = SafeTensors::deserialize(&bytes).map_err(|error| place(error.into()))?;
    if let Some(unknown) = file.names().into_iter().find(|name| !NAMES.contains(name)) {
        let expected = NAMES.join("`, `");
        let message = format!("there is `{unknown}`, expected only `{expected}`");
        return Err(place(message.into()).into());
    }
    let grid = |name: &str| match file.tensor(name) {
        Ok(view) => grid(name, &view).map(Some).map_err(place),
        Err(_) => Ok(None),
    };
    Ok(Inputs {
        input_ids: grid("input_ids")?.ok_or_else(|| place("there is no `input_ids`".into()))?,
        attention_mask: grid("attention_mask")?,
        position_ids: grid("position_ids")?,
        labels: grid("labels")?,
    })
}

/// Whole numbers of any of the types that people store them in.
fn grid(name: &str, view: &TensorView<'_>) -> Result<Grid, Failure> {
    let &[rows, columns] = view.shape() else {
        let shape = view.shape();
        return Err(format!("`{name}` has shape {shape:?}, expected [batch, seq]").into());
    };
    if rows == 0 || columns == 0 {
        let found = format!("shape [{rows}, {columns}]");
        return Err(format!("`{name}` has {found}, expected at least one row and token").into());
    }
    let data = view.data();
    let values: Vec<i64> = match view.dtype() {
        Dtype::I64 => bytemuck::pod_collect_to_vec(data),
        Dtype::I32 => widen(&bytemuck::pod_collect_to_vec::<u8, i32>(data)),
        Dtype::U32 => widen(&bytemuck::pod_collect_to_vec::<u8, u32>(data)),
        Dtype::I16 => widen(&bytemuck::pod_collect_to_vec::<u8, i16>(data)),
        Dtype::U16 => widen(&bytemuck::pod_collect_to_vec::<u8, u16>(data)),
        Dtype::U8 | Dtype::BOOL => widen(data),
        other => {
            let expected = "I64, I32, I16, U32, U16, U8 or BOOL";
            return Err(format!("`{name}` is {other:?}, expected {expected}").into());
        }
    };
    Ok(Grid { rows: values.chunks(columns).map(<[i64]>::to_vec).collect() })
}

fn widen<T: Copy + Into<i64>>(values: &[T]) -> Vec<i64> {
    values.iter().map(|&value| value.into()).collect()
}

/// Refuses, before any work is done, a path that no file can have.
pub fn check_file(path: &Path) -> Outcome {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let place = path.display();
    if path.is_dir() || path.file_name().is_none() {
        return Err(format!("`output` is {place}, a folder, expected a file").into());
    }
    if !parent.is_dir() {
        let parent = parent.display();
        return Err(format!("`output` is {place}, but there is no folder {parent}").into());
    }
    Ok(())
}

/// Writes the output file, whole or not at all.
pub fn write(path: &Path, tensors: &[Named]) -> Outcome {
    let views = tensors
        .iter()
        .map(|(name, shape, values)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))?;
            Ok((name, view))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(write_file(path, &serialize(views, None)?)?)
}
