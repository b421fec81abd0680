//! Reads sequences with the model: scores of what can come next.

use burn::tensor::{Device, Int, Tensor, TensorData};
use gpt2_core::{Error as CoreError, Gpt2, Gpt2Batch, KvCache, device};

use crate::Result;
use crate::pool::CachePool;
use crate::row::Row;

/// A sequence that is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    /// All that the model sees; at most `n_positions` together with `guessed`.
    pub visible: &'a [u32],
    /// Tokens that may follow.
    pub guessed: &'a [u32],
}

impl Text<'_> {
    /// Positions whose scores are wanted: behind the visible text, and behind each guess.
    pub fn wanted(&self) -> usize {
        1 + self.guessed.len()
    }

    fn len(&self) -> usize {
        self.visible.len() + self.guessed.len()
    }

    /// All tokens from the place `from` on.
    fn rest(&self, from: usize) -> impl Iterator<Item = u32> {
        let guessed = from.saturating_sub(self.visible.len());
        let visible = self.visible.get(from..).unwrap_or_default();
        visible.iter().chain(&self.guessed[guessed..]).copied()
    }
}

/// Every prompt once, and for every row which of them it continues.
pub(crate) fn prompts_of(rows: &[Row]) -> (Vec<Text<'_>>, Vec<usize>) {
    let mut texts: Vec<Text<'_>> = Vec::new();
    let mut places = Vec::with_capacity(rows.len());
    let mut prompt = None;
    for row in rows {
        if prompt.replace(row.prompt) != Some(row.prompt) {
            texts.push(Text { visible: row.visible(), guessed: &[] });
        }
        places.push(texts.len() - 1);
    }
    (texts, places)
}

/// Reads a batch of sequences as they grow, each token once where there is a cache.
///
/// The sequences have places, counted from 0; the cache knows what it has read at each.
#[derive(Debug)]
pub(crate) struct Reader {
    model: Gpt2,
    device: Device,
    /// `None` reads everything again every time.
    cache: Option<KvCache>,
    pool: CachePool,
}

impl Reader {
    /// A reader for up to `rows` sequences of up to `length` tokens.
    ///
    /// # Errors
    /// When there is no memory for the cache.
    pub fn new(
        model: &Gpt2,
        pool: &CachePool,
        use_cache: bool,
        rows: usize,
        length: usize,
    ) -> Result<Self> {
        let cache = use_cache.then(|| pool.take(model, rows, length)).transpose()?;
        Ok(Self { model: model.clone(), device: model.device(), cache, pool: pool.clone() })
    }

    /// Where the model is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether [`follow`](Self::follow) has what it needs.
    pub fn chooses_on_the_device(&self) -> bool {
        self.cache.is_some() && self.model.chooses_on_its_device()
    }

    /// Number of tokens that the model can see.
    pub fn n_positions(&self) -> usize {
        self.model.config().n_positions
    }

    /// Number of scores of a position.
    pub fn vocab_size(&self) -> usize {
        self.model.config().vocab_size
    }

    /// Scores `[sum of wanted, vocab]`, one text behind the other; texts are in the order of their
    /// places. Only what the cache does not hold is read, and only wanted positions go through
    /// the head.
    ///
    /// # Errors
    /// From the model's batch, or when the device fails.
    pub fn scores(&mut self, texts: &[Text<'_>]) -> Result<Vec<f32>> {
        let device = self.device.clone();
        device::guarded(&device, || {
            let logits = self.logits(texts)?;
            Ok(logits.try_into_vec_as::<f32>().map_err(CoreError::compute)?)
        })
    }

    /// As [`scores`](Self::scores), left on the device; a GPU that fails panics.
    ///
    /// # Errors
    /// From the model's batch.
    pub fn logits(&mut self, texts: &[Text<'_>]) -> Result<Tensor<2>> {
        let read: Vec<usize> = match &self.cache {
            Some(cache) if cache.rows() > 0 => cache.lengths().to_vec(),
            _ => vec![0; texts.len()],
        };
        let unread: Vec<Vec<u32>> =
            texts.iter().zip(&read).map(|(text, &from)| text.rest(from).collect()).collect();
        let batch = Gpt2Batch::right_padded(&unread, self.model.config(), &self.device)?;
        let hidden = match &mut self.cache {
            Some(cache) => self.model.hidden_cached(&batch, cache),
            None => self.model.hidden(&batch),
        };
        let ends = texts.iter().zip(&read).map(|(text, from)| text.len() - from);
        let wanted = ends.zip(texts).map(|(end, text)| end - text.wanted()..end);
        let wanted = self.select(hidden, &wanted.collect::<Vec<_>>());
        Ok(self.model.head(wanted))
    }

    /// Reads one more token at every place, whose ids the device has chosen, `[places]`; the logits behind them,
    /// `[places, vocab]`.
    ///
    /// # Panics
    /// Unless [`chooses_on_the_device`](Self::chooses_on_the_device) and the places have been read before.
    pub fn follow(&mut self, ids: Tensor<1, Int>) -> Tensor<2> {
        let cache = self.cache.as_mut().expect("a reader that follows the device has a cache");
        let batch = Gpt2Batch::from_tensor(ids.unsqueeze_dim(1));
        let hidden = self.model.hidden_cached(&batch, cache);
        self.model.head(hidden.squeeze_dim(1))
    }

    /// Hidden states of a range of positions of each row, `[sum of ranges, embd]`.
    fn select(&self, hidden: Tensor<3>, ranges: &[std::ops::Range<usize>]) -> Tensor<2> {
        let [rows, seq, embd] = hidden.dims();
        let hidden = hidden.reshape([rows * seq, embd]);
        let places: Vec<i32> = ranges
            .iter()
            .enumerate()
            .flat_map(|(row, range)| range.clone().map(move |at| (row * seq + at) as i32))
            .collect();
        let count = places.len();
        if count == rows * seq {
            return hidden;
        }
        let places = TensorData::new(places, [count]);
        hidden.select(0, Tensor::<1, Int>::from_data(places, &self.device))
    }

    /// Forgets what was read at a place from its token `length` on: guesses that were wrong, or
    /// everything, where the text has slid.
    pub fn keep(&mut self, place: usize, length: usize) {
        if let Some(cache) = self.filled_cache() {
            cache.truncate(place, length);
        }
    }

    /// Gives each place what was read at another: place `i` has what `places[i]` had.
    ///
    /// # Errors
    /// When there are more places than the reader was made for.
    pub fn rearrange(&mut self, places: &[usize]) -> Result<()> {
        Ok(self.filled_cache().map_or(Ok(()), |cache| cache.select(places))?)
    }

    /// The cache, if it has read anything: places are given when reading begins.
    fn filled_cache(&mut self) -> Option<&mut KvCache> {
        self.cache.as_mut().filter(|cache| cache.rows() > 0)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A device that panics can leave a cache behind that the next call would fail with.
        if let Some(cache) = self.cache.take().filter(|_| !std::thread::panicking()) {
            self.pool.give_back(cache);
        }
    }
}
