//! Another number of tokens.

use super::Gpt2;
use crate::weights::names;
use crate::{Error, Gpt2Config, Result};

impl Gpt2 {
    /// The model with another number of embeddings, for a tokenizer that got or lost tokens: `resize_token_embeddings`
    /// of `transformers`.
    ///
    /// Rows beyond `vocab_size` are dropped. New rows are the mean of the old ones, taken in f64, in the embedding and in
    /// a head of its own alike. So they are in `transformers` since 4.46, but for noise of a billionth of the rows'
    /// covariance; before, they were drawn as for a new model. LoRA is merged, and quantized weights become floats.
    ///
    /// # Errors
    /// [`Error::Argument`] for no tokens; [`Error::Compute`] when the device fails.
    ///
    /// # Example
    /// ```
    /// use gpt2_core::{Gpt2, Gpt2Config, device};
    ///
    /// let config = Gpt2Config { vocab_size: 9, n_embd: 4, n_layer: 1, n_head: 1, ..Gpt2Config::gpt2() };
    /// let model = Gpt2::init(&config, 1, &device::best()?)?.resize_token_embeddings(12)?;
    /// assert_eq!(model.config().vocab_size, 12);
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn resize_token_embeddings(&self, vocab_size: usize) -> Result<Self> {
        if vocab_size == 0 {
            return Err(Error::argument("vocab_size", vocab_size, "at least 1"));
        }
        let model = self.clone().merge_lora();
        let config = Gpt2Config { vocab_size, ..self.config().clone() };
        let mut parameters = model.parameters().into_iter();
        Self::from_values(&config, &self.device(), |name, _| {
            // Both lists have one order.
            let parameter = parameters.find(|parameter| parameter.name == name);
            let parameter = parameter.ok_or_else(|| Error::compute(format!("{name} is gone")))?;
            let mut values = parameter.to_vec()?;
            if names::TOKEN_TABLES.contains(&name) {
                resize(&mut values, config.n_embd, vocab_size);
            }
            Ok(values)
        })
    }
}

/// The mean of a table's rows, taken in f64: what a token gets that has no row of its own.
#[must_use]
pub fn mean_row(table: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in table.chunks_exact(width) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let count = (table.len() / width) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Cuts a table of rows, or appends its mean row.
fn resize(table: &mut Vec<f32>, width: usize, rows: usize) {
    let mean = mean_row(table, width);
    table.truncate(rows * width);
    while table.len() < rows * width {
        table.extend_from_slice(&mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_rows_are_the_mean_and_old_ones_stay() {
        let mut table = vec![1.0, 2.0, 3.0, 6.0];
        resize(&mut table, 2, 4);
        assert_eq!(table, [1.0, 2.0, 3.0, 6.0, 2.0, 4.0, 2.0, 4.0]);
        resize(&mut table, 2, 1);
        assert_eq!(table, [1.0, 2.0]);
    }
}
