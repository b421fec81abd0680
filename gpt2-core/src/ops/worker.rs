//! Where a pass runs.

use burn::tensor::Device;

use crate::device;

/// Runs a pass on a thread of rayon's pool, unless it is on one or computes elsewhere than on the processor.
///
/// A kernel that is called from outside of the pool hands itself over and sleeps until it is done; hundreds of times a
/// token, that is a tenth of the time.
///
/// A GPU has a queue for every thread that calls it, and nothing puts what one of them writes into the cache before what
/// another one reads there: passes stay on the thread of their caller.
pub(crate) fn on_a_worker<R: Send>(device: &Device, pass: impl FnOnce() -> R + Send) -> R {
    if device::is_gpu(device) { pass() } else { rayon::scope(|_| pass()) }
}
