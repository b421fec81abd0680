//! Where a pass runs.

/// Runs a pass on a thread of rayon's pool, unless it is on one.
///
/// A kernel that is called from outside of the pool hands itself over and sleeps until it is done; hundreds of times a
/// token, that is a tenth of the time.
pub(crate) fn on_a_worker<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| pass())
}
