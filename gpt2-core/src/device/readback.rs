//! Numbers on their way from the device.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use burn::tensor::{Int, Tensor, TensorData};

use crate::{Error, Result};

type Reading = Pin<Box<dyn Future<Output = Result<TensorData>> + Send>>;

/// The values of a tensor, asked for when this was made.
///
/// A device gets to the request when it has done what was asked of it before, and goes on with what is asked after. So the
/// host can prepare a step while the numbers of the one before are still being computed. One that is dropped is waited for:
/// the device is then done with all that was asked before.
pub struct Readback(State);

enum State {
    /// They have arrived.
    Here(Result<TensorData>),
    /// They have not.
    Awaited(Reading),
    /// They were taken.
    Taken,
}

impl Readback {
    /// Asks for the values of a tensor.
    #[must_use]
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let tensor = if tensor.is_autodiff() { tensor.inner() } else { tensor };
        #[cfg(feature = "cube")]
        if super::is_gpu(&tensor.device()) {
            return requests::floats(tensor);
        }
        Self::begun(async { tensor.into_data_async().await.map_err(Error::compute) })
    }

    /// As [`of`](Self::of), of whole numbers.
    #[must_use]
    pub fn of_ints<const D: usize>(tensor: Tensor<D, Int>) -> Self {
        #[cfg(feature = "cube")]
        if super::is_gpu(&tensor.device()) {
            return requests::ints(tensor);
        }
        Self::begun(async { tensor.into_data_async().await.map_err(Error::compute) })
    }

    /// A request that goes out when it is first polled.
    fn begun(reading: impl Future<Output = Result<TensorData>> + Send + 'static) -> Self {
        let mut reading: Reading = Box::pin(reading);
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(values) => Self(State::Here(values)),
            Poll::Pending => Self(State::Awaited(reading)),
        }
    }

    /// Waits until they have arrived, and keeps them.
    pub fn arrive(&mut self) {
        if let State::Awaited(reading) = &mut self.0 {
            self.0 = State::Here(pollster::block_on(reading));
        }
    }

    /// Waits for them.
    ///
    /// # Errors
    /// [`Error::Compute`] when the device fails.
    pub fn wait(mut self) -> Result<TensorData> {
        self.arrive();
        match std::mem::replace(&mut self.0, State::Taken) {
            State::Here(values) => values,
            State::Awaited(_) | State::Taken => Err(Error::compute("numbers were read twice")),
        }
    }
}

impl Drop for Readback {
    fn drop(&mut self) {
        // A device that panics may never answer.
        if !std::thread::panicking() {
            self.arrive();
        }
    }
}

impl fmt::Debug for Readback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Here(_) => "here",
            State::Awaited(_) => "awaited",
            State::Taken => "taken",
        };
        f.debug_tuple("Readback").field(&state).finish()
    }
}

/// Requests to a GPU.
///
/// Burn's own future of a tensor's values is done at once and copies them when somebody looks at them: behind all that was
/// asked of the device until then. These put the copy into the queue where they are called.
#[cfg(feature = "cube")]
mod requests {
    use std::future::poll_fn;
    use std::mem;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Context, Poll, Waker};

    use burn::backend::tensor::{FloatTensor, IntTensor};
    use burn::backend::{Backend, Dispatch, backend_extension};
    use burn::tensor::{Int, Tensor, TensorData};
    use burn_cubecl::CubeBackend;
    use burn_cubecl::kernel::into_contiguous_aligned;
    use burn_cubecl::tensor::CubeTensor;
    use cubecl::server::CopyDescriptor;

    use super::{Readback, Reading, State};
    use crate::Error;

    /// Where the backend leaves a request that it has sent.
    #[derive(Clone, Default)]
    pub struct Mailbox(Arc<Mutex<Option<Reading>>>);

    impl Mailbox {
        fn put(&self, reading: Reading) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        }

        fn take(&self) -> Readback {
            let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            let lost = || State::Here(Err(Error::compute("the device has taken no request")));
            Readback(reading.map_or_else(lost, State::Awaited))
        }
    }

    /// The requests, which give back the tensor that they are about.
    #[backend_extension(Cube, Fusion)]
    pub trait Requests: Backend {
        /// Asks for floats.
        #[fusion(dtype = x, shape = x)]
        fn request(x: FloatTensor<Self>, mailbox: Mailbox) -> FloatTensor<Self>;

        /// Asks for whole numbers.
        #[fusion(dtype = x, shape = x)]
        fn request_ints(x: IntTensor<Self>, mailbox: Mailbox) -> IntTensor<Self>;
    }

    impl Requests for CubeBackend {
        fn request(x: CubeTensor, mailbox: Mailbox) -> CubeTensor {
            send(x, &mailbox)
        }

        fn request_ints(x: CubeTensor, mailbox: Mailbox) -> CubeTensor {
            send(x, &mailbox)
        }
    }

    fn send(x: CubeTensor, mailbox: &Mailbox) -> CubeTensor {
        let x = into_contiguous_aligned(x);
        let (shape, dtype) = (x.meta.shape().clone(), x.dtype);
        let (strides, size) = (x.meta.strides().clone(), x.elem_size());
        let place = CopyDescriptor::new(x.handle.clone().binding(), shape.clone(), strides, size);
        let client = x.client.clone();
        let mut reading: Reading = Box::pin(async move {
            let bytes = client.read_one_tensor_async(place);
            // What comes until here is done now. CUDA would be waited for in the first look at the bytes.
            pause().await;
            let bytes = bytes.await.map_err(Error::compute)?;
            Ok(TensorData::from_bytes(bytes, shape, dtype))
        });
        let _ = reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        mailbox.put(reading);
        x
    }

    /// Not done when it is first looked at.
    async fn pause() {
        let mut is_over = false;
        poll_fn(|_| match mem::replace(&mut is_over, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    pub(super) fn floats<const D: usize>(tensor: Tensor<D>) -> Readback {
        let mailbox = Mailbox::default();
        let tensor = <Dispatch as Requests>::request(tensor.into_dispatch(), mailbox.clone());
        reached(Tensor::<D>::from_dispatch(tensor).into_data_async());
        mailbox.take()
    }

    pub(super) fn ints<const D: usize>(tensor: Tensor<D, Int>) -> Readback {
        let mailbox = Mailbox::default();
        let tensor = <Dispatch as Requests>::request_ints(tensor.into_dispatch(), mailbox.clone());
        reached(Tensor::<D, Int>::from_dispatch(tensor).into_data_async());
        mailbox.take()
    }

    /// Has Burn go through its own queue up to a tensor, which nobody then copies.
    fn reached(values: impl Future) {
        let mut values = Box::pin(values);
        let _ = values.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn values_arrive_as_they_were_when_asked_for() {
        for (_, device) in device::test_devices() {
            let tensor = Tensor::<1>::from_floats([1.5, -2.0], &device);
            let reading = Readback::of(tensor.clone());
            let changed = tensor * 3.0;
            let mut again = Readback::of(changed);
            again.arrive();
            let floats =
                |reading: Readback| reading.wait().unwrap().iter::<f64>().collect::<Vec<_>>();
            assert_eq!(floats(reading), [1.5, -2.0]);
            assert_eq!(floats(again), [4.5, -6.0]);
            let ids = Tensor::<2, Int>::from_ints([[7], [-1]], &device);
            let found = Readback::of_ints(ids).wait().unwrap();
            assert_eq!(found.iter::<i32>().collect::<Vec<_>>(), [7, -1]);
        }
    }
}
