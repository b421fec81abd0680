//! Numbers on their way from the device.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use burn::tensor::{Tensor, TensorData};
use gpt2_core::Error as CoreError;

use crate::Result;

type Reading = Pin<Box<dyn Future<Output = Result<TensorData>> + Send>>;

/// The values of a tensor, asked for when this was made.
///
/// A device gets to the request when it has done what was asked of it before, and goes on with what is asked after. So the
/// host can prepare a step while the numbers of the one before are still being computed.
pub(super) enum Readback {
    /// They have arrived.
    Here(Result<TensorData>),
    /// They have not.
    Awaited(Reading),
}

impl Readback {
    /// Asks for the values of a tensor.
    pub fn of(tensor: Tensor<1>) -> Self {
        let reading = async { Ok(tensor.into_data_async().await.map_err(CoreError::compute)?) };
        let mut reading: Reading = Box::pin(reading);
        // The request goes out when a future is first polled.
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(values) => Self::Here(values),
            Poll::Pending => Self::Awaited(reading),
        }
    }

    /// Waits for them.
    ///
    /// # Errors
    /// [`gpt2_core::Error::Compute`] when the device fails.
    pub fn wait(self) -> Result<Vec<f64>> {
        let values = match self {
            Self::Here(values) => values?,
            Self::Awaited(reading) => pollster::block_on(reading)?,
        };
        Ok(values.iter::<f64>().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpt2_core::device;

    #[test]
    fn values_arrive_as_they_were_when_asked_for() {
        let device = device::best().unwrap();
        let tensor = Tensor::<1>::from_floats([1.5, -2.0], &device);
        let reading = Readback::of(tensor.clone());
        let changed = tensor * 3.0;
        assert_eq!(reading.wait().unwrap(), [1.5, -2.0]);
        assert_eq!(Readback::of(changed).wait().unwrap(), [4.5, -6.0]);
    }
}
