//! The place of `cubecl-llvm` 0.11.3, without LLVM.
//!
//! `cubecl-cuda` has two compilers of kernels: CUDA C++ through NVRTC, and LLVM. The first is the one that this workspace
//! chooses (feature `cuda-cpp` of `cubecl`), but the second is always compiled in, and the build script of its crate
//! downloads LLVM from GitHub and needs a C++ compiler. So the workspace's `Cargo.toml` puts this crate in its
//! place: it has the items that `cubecl-cuda` names and no more, and a kernel that is given to it is refused with a
//! message that says why. Without that entry in `[patch.crates-io]` the real one is built, and LLVM can be used.

use std::convert::Infallible;
use std::ffi::c_char;
use std::fmt;

use cubecl_environment::backtrace::BackTrace;
use cubecl_ir::nvidia::SmArch;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::{BufferIOAttr, KernelDefinition};

use crate::nvptx::ptx_version::PtxVersion;

/// What NVIDIA's targets have.
pub mod nvptx {
    /// The version of PTX that LLVM would write.
    pub mod ptx_version {
        use std::convert::Infallible;
        use std::fmt;

        /// A version of PTX; there is none, since nothing is written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(Infallible);

        impl PtxVersion {
            /// The version for a driver: always `None`.
            #[must_use]
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {}
            }
        }
    }
}

/// What all targets have.
pub mod shared {
    /// What a device offers, and what of it LLVM can be asked for.
    pub mod lowered_features {
        use cubecl_ir::DeviceProperties;

        /// The kind of device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's.
            Nvptx,
        }

        /// Takes away what the compiler cannot do. No kernel gets as far as that matters: all are left.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA's devices.
    Nvptx,
}

/// The compiler, which refuses every kernel.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// Options of a compilation, of which none is looked at.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Architecture of an AMD device: none.
    pub arch: Option<Infallible>,
    /// Architecture of an NVIDIA device.
    pub sm_arch: Option<SmArch>,
    /// Version of PTX.
    pub ptx_version: Option<PtxVersion>,
    /// Whether numbers are passed in the block of parameters.
    pub grid_constants: bool,
}

/// A compiled kernel, which cannot exist.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX, ended by a zero.
    pub ptx: Vec<c_char>,
    /// LLVM's form of it.
    pub ir: String,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// What it does with each buffer.
    pub io: Vec<BufferIOAttr>,
    never: Infallible,
}

/// What a compilation gives, which cannot exist either.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// For an NVIDIA device.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        match module.never {}
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &Self::CompilationOptions,
    ) -> Result<Self::Representation, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build compiles kernels as CUDA C++ alone: LLVM is not part of it"
                .to_string(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}
