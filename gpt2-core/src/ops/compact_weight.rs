//! [`CompactWeight`]: a weight in fewer bits, where its products are computed.

#[cfg(feature = "cube")]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "cube")]
use burn::tensor::Device;

#[cfg(feature = "cube")]
use super::words::WordTensors;
use crate::quantize::CompactMatrix;

/// A weight in fewer bits. The CPU reads it where it is; a GPU gets a copy the first time that it is used there, which
/// all clones share.
#[derive(Debug, Clone)]
pub struct CompactWeight {
    matrix: CompactMatrix,
    #[cfg(feature = "cube")]
    copy: Arc<Mutex<Option<WordTensors>>>,
}

impl From<CompactMatrix> for CompactWeight {
    fn from(matrix: CompactMatrix) -> Self {
        Self {
            matrix,
            #[cfg(feature = "cube")]
            copy: Arc::default(),
        }
    }
}

impl CompactWeight {
    /// The weight as the host has it.
    #[must_use]
    pub fn matrix(&self) -> &CompactMatrix {
        &self.matrix
    }

    /// The copy on a GPU; one on another device is replaced.
    #[cfg(feature = "cube")]
    pub(super) fn on(&self, device: &Device) -> WordTensors {
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        match &*copy {
            Some(found) if found.is_on(device) => found.clone(),
            _ => copy.insert(WordTensors::new(&self.matrix, device)).clone(),
        }
    }
}
