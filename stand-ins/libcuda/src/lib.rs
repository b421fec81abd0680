//! A CUDA driver without a device: what `libcuda.so.1` must have for CubeCL's CUDA runtime to start, with the numbers of an
//! H200.
//!
//! Memory is the host's, copies are made, modules are looked at for the kernel that is asked of them, launches are held
//! against the device's limits, and no kernel is run: what one would have written is zeros. So every kernel of a run is
//! compiled by NVRTC, with the types and shapes of that run, on a machine that has no GPU. `check_cuda.sh` does it.
//!
//! `CUDA_STAND_IN_LOG` names a file that every launch and every refusal is appended to, a line each.
#![allow(non_snake_case)]

mod limits;
mod log;
mod memory;

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Mutex;

use limits::{DEVICE_BYTES, NAME, attribute};

/// `CUresult`, of which these are used.
pub(crate) const SUCCESS: c_int = 0;
pub(crate) const INVALID_VALUE: c_int = 1;
pub(crate) const OUT_OF_MEMORY: c_int = 2;
const NOT_FOUND: c_int = 500;

/// The version that is claimed: CUDA 13.0.
const DRIVER_VERSION: c_int = 13_000;

/// A handle that is not null and stands for nothing.
const HANDLE: *mut c_void = 0x10 as *mut c_void;

/// Kernels by handle, with what they may use of shared memory.
static KERNELS: Mutex<BTreeMap<usize, Kernel>> = Mutex::new(BTreeMap::new());

struct Kernel {
    name: String,
    shared_bytes: c_int,
}

/// Writes through a pointer that the caller gave for an answer.
///
/// # Safety
/// `place` is valid for writing a `T`, as the driver's interface demands of callers.
unsafe fn answer<T>(place: *mut T, value: T) -> c_int {
    // SAFETY: as above.
    unsafe { place.write(value) };
    SUCCESS
}

/// Functions that only have to succeed.
macro_rules! succeed {
    ($($name:ident($($kind:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $kind),*) -> c_int { SUCCESS }
    )*};
}

succeed! {
    cuInit(c_uint);
    cuCtxSetCurrent(*mut c_void);
    cuCtxSynchronize();
    cuDevicePrimaryCtxRelease_v2(c_int);
    cuStreamSynchronize(*mut c_void);
    cuStreamDestroy_v2(*mut c_void);
    cuStreamWaitEvent(*mut c_void, *mut c_void, c_uint);
    cuEventRecord(*mut c_void, *mut c_void);
    cuEventQuery(*mut c_void);
    cuEventSynchronize(*mut c_void);
    cuEventDestroy_v2(*mut c_void);
    cuModuleUnload(*mut c_void);
}

/// A description of a tensor in 128 bytes, for copies that the device makes by itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuTensorMapEncodeTiled(
    map: *mut [u64; 16],
    _kind: c_int,
    rank: c_uint,
    address: *mut c_void,
    _extents: *const u64,
    strides: *const u64,
    _box_extents: *const c_uint,
    _steps: *const c_uint,
    _interleave: c_int,
    _swizzle: c_int,
    _promotion: c_int,
    _fill: c_int,
) -> c_int {
    // The alignments that the driver demands.
    // SAFETY: the caller's duty by the driver's interface: one stride less than axes.
    let strides = unsafe { std::slice::from_raw_parts(strides, rank.saturating_sub(1) as usize) };
    if !(address as usize).is_multiple_of(16) || strides.iter().any(|stride| stride % 16 != 0) {
        log::write("REFUSED a tensor map that is not aligned to 16 bytes");
        return INVALID_VALUE;
    }
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer(map, [0; 16]) }
}

/// Functions that give a number or a handle.
macro_rules! give {
    ($($name:ident($place:ty $(, $kind:ty)*) = $value:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(place: *mut $place $(, _: $kind)*) -> c_int {
            // SAFETY: the caller's duty by the driver's interface.
            unsafe { answer(place, $value) }
        }
    )*};
}

give! {
    cuDriverGetVersion(c_int) = DRIVER_VERSION;
    cuDeviceGetCount(c_int) = 1;
    cuDeviceGet(c_int, c_int) = 0;
    cuDeviceTotalMem_v2(usize, c_int) = DEVICE_BYTES;
    cuDevicePrimaryCtxRetain(*mut c_void, c_int) = HANDLE;
    cuCtxGetCurrent(*mut c_void) = HANDLE;
    cuCtxGetDevice(c_int) = 0;
    cuStreamCreate(*mut c_void, c_uint) = HANDLE;
    cuStreamCreateWithPriority(*mut c_void, c_uint, c_int) = HANDLE;
    cuEventCreate(*mut c_void, c_uint) = HANDLE;
    // Milliseconds between any two events: long enough for whoever repeats a kernel until it takes its time.
    cuEventElapsedTime_v2(f32, *mut c_void, *mut c_void) = 50.0;
    cuEventElapsedTime(f32, *mut c_void, *mut c_void) = 50.0;
    cuGetErrorName(*const c_char, c_int) = c"error of the stand-in".as_ptr();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(_: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer(text, c"see the log of the stand-in".as_ptr()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> c_int {
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer(least, 0) + answer(greatest, -5) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, which: c_int, _: c_int) -> c_int {
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer(value, attribute(which)) }
}

/// Copies text into a buffer of `length` bytes, with the zero behind it.
///
/// # Safety
/// `buffer` is valid for writing `length` bytes.
unsafe fn answer_text(buffer: *mut c_char, length: c_int, text: &CStr) -> c_int {
    let bytes = text.to_bytes_with_nul();
    if usize::try_from(length).is_ok_and(|length| bytes.len() <= length) {
        // SAFETY: as above, and the text fits.
        unsafe { buffer.copy_from_nonoverlapping(bytes.as_ptr().cast(), bytes.len()) };
        return SUCCESS;
    }
    INVALID_VALUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, _: c_int) -> c_int {
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer_text(name, length, NAME) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetPCIBusId(id: *mut c_char, length: c_int, _: c_int) -> c_int {
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer_text(id, length, c"0000:01:00.0") }
}

/// A module is the text of its PTX, which the caller need not keep.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: *mut *mut c_void, image: *const c_void) -> c_int {
    // SAFETY: PTX ends with a zero; the caller's duty by the driver's interface.
    let text = unsafe { CStr::from_ptr(image.cast()) };
    let module_text = Box::new(text.to_string_lossy().into_owned());
    // SAFETY: the caller's duty by the driver's interface. Modules are never unloaded.
    unsafe { answer(module, Box::into_raw(module_text).cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    module: *mut c_void,
    name: *const c_char,
) -> c_int {
    // SAFETY: a module is what `cuModuleLoadData` gave, and names end with a zero.
    let (ptx, name) =
        unsafe { (&*module.cast::<String>(), CStr::from_ptr(name).to_string_lossy()) };
    if !ptx.contains(&format!(".entry {name}(")) {
        log::write(&format!("REFUSED no kernel {name} in the module"));
        return NOT_FOUND;
    }
    let mut kernels = KERNELS.lock().expect("nothing panics with the lock");
    let handle = 0x1000 + kernels.len();
    kernels.insert(handle, Kernel { name: name.into_owned(), shared_bytes: limits::SHARED_BYTES });
    // SAFETY: the caller's duty by the driver's interface.
    unsafe { answer(function, handle as *mut c_void) }
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(function: *mut c_void, which: c_int, value: c_int) -> c_int {
    const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;
    let mut kernels = KERNELS.lock().expect("nothing panics with the lock");
    let Some(kernel) = kernels.get_mut(&(function as usize)) else { return INVALID_VALUE };
    if which == MAX_DYNAMIC_SHARED_SIZE_BYTES {
        if value > limits::SHARED_BYTES_ON_REQUEST {
            log::write(&format!("REFUSED {} wants {value} bytes of shared memory", kernel.name));
            return INVALID_VALUE;
        }
        kernel.shared_bytes = value.max(limits::SHARED_BYTES);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: *mut c_void,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    _stream: *mut c_void,
    _parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    launch(function, [grid_x, grid_y, grid_z], [block_x, block_y, block_z], shared_bytes)
}

/// The beginning of `CUlaunchConfig`.
#[repr(C)]
struct LaunchConfig {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared_bytes: c_uint,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernelEx(
    config: *const LaunchConfig,
    function: *mut c_void,
    _parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    // SAFETY: the caller's duty by the driver's interface.
    let config = unsafe { &*config };
    launch(function, config.grid, config.block, config.shared_bytes)
}

fn launch(
    function: *mut c_void,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared_bytes: c_uint,
) -> c_int {
    let kernels = KERNELS.lock().expect("nothing panics with the lock");
    let Some(kernel) = kernels.get(&(function as usize)) else { return INVALID_VALUE };
    let fits = limits::grid_fits(grid)
        && limits::block_fits(block)
        && i64::from(shared_bytes) <= i64::from(kernel.shared_bytes);
    let verdict = if fits { "launch" } else { "REFUSED" };
    log::write(&format!(
        "{verdict} {} grid {grid:?} block {block:?} shared {shared_bytes}",
        kernel.name
    ));
    if fits { SUCCESS } else { INVALID_VALUE }
}
