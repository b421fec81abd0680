//! [`Callback`]: code of yours that hears of a run and steers it.

use gpt2_core::Gpt2;

use crate::Result;
use crate::record::Event;

/// What a callback wants to happen next; of several wishes the strongest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Control {
    /// Go on.
    #[default]
    Continue,
    /// Write a checkpoint after this step, where the run has a place for them, and go on.
    Save,
    /// Finish the step, write a checkpoint and end the run; an evaluation that is under way is
    /// broken off and done again on resuming.
    Stop,
}

/// Hears of every event of a run, in order.
///
/// A closure is one; so are the progress bar, the log writers and the report of
/// [`report`](crate::report). An error ends the run.
///
/// # Example
/// A run that is stopped when the loss is good enough:
/// ```
/// use gpt2_core::Gpt2;
/// use gpt2_train::{Callback, Control, Event, Result};
///
/// let mut good_enough = |event: &Event, _model: &Gpt2| -> Result<Control> {
///     Ok(match event {
///         Event::Step(record) if record.loss < 3.0 => Control::Stop,
///         _ => Control::Continue,
///     })
/// };
/// let _callback: &mut dyn Callback = &mut good_enough;
/// ```
pub trait Callback {
    /// Takes in what happened to `model`, which is on the training device; `model.valid()` is the
    /// one to measure or to generate with.
    ///
    /// # Errors
    /// Whatever the callback's work may meet.
    fn on_event(&mut self, event: &Event, model: &Gpt2) -> Result<Control>;
}

impl<F: FnMut(&Event, &Gpt2) -> Result<Control>> Callback for F {
    fn on_event(&mut self, event: &Event, model: &Gpt2) -> Result<Control> {
        self(event, model)
    }
}

/// Several callbacks, called in their order.
#[derive(Default)]
pub struct Callbacks<'a>(pub Vec<&'a mut dyn Callback>);

impl std::fmt::Debug for Callbacks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Callbacks").field(&self.0.len()).finish()
    }
}

impl Callback for Callbacks<'_> {
    fn on_event(&mut self, event: &Event, model: &Gpt2) -> Result<Control> {
        let mut strongest = Control::Continue;
        for callback in &mut self.0 {
            strongest = strongest.max(callback.on_event(event, model)?);
        }
        Ok(strongest)
    }
}

/// A callback that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCallback;

impl Callback for NoCallback {
    fn on_event(&mut self, _event: &Event, _model: &Gpt2) -> Result<Control> {
        Ok(Control::Continue)
    }
}
