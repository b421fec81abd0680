//! Memory of the device and of the host, which are the same here, and copies.

use std::ffi::{c_int, c_uint, c_void};

use crate::{INVALID_VALUE, OUT_OF_MEMORY, SUCCESS, answer, limits};

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn free(pointer: *mut c_void);
}

/// Zeros.
fn allocate(bytes: usize) -> Option<*mut c_void> {
    // SAFETY: any size may be asked for.
    let pointer = unsafe { calloc(bytes, 1) };
    (bytes > 0 && !pointer.is_null()).then_some(pointer)
}

/// # Safety
/// `place` is valid for writing.
unsafe fn answer_allocated(place: *mut *mut c_void, bytes: usize) -> c_int {
    match allocate(bytes) {
        // SAFETY: as above.
        Some(pointer) => unsafe { answer(place, pointer) },
        None => OUT_OF_MEMORY,
    }
}

/// Functions that allocate, free or copy; what comes behind the arguments that are named is of no matter here.
macro_rules! memory {
    ($($name:ident($($argument:ident: $kind:ty),* $(; $other:ty)*) => $body:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $kind,)* $(_: $other)*) -> c_int {
            // SAFETY: the caller's duty by the driver's interface: pointers are valid for what is asked.
            unsafe { $body }
        }
    )*};
}

memory! {
    cuMemAlloc_v2(place: *mut *mut c_void, bytes: usize) => answer_allocated(place, bytes);
    cuMemAllocAsync(place: *mut *mut c_void, bytes: usize; *mut c_void) => answer_allocated(place, bytes);
    cuMemAllocHost_v2(place: *mut *mut c_void, bytes: usize) => answer_allocated(place, bytes);
    cuMemHostAlloc(place: *mut *mut c_void, bytes: usize; c_uint) => answer_allocated(place, bytes);
    cuMemFree_v2(pointer: *mut c_void) => release(pointer);
    cuMemFreeAsync(pointer: *mut c_void; *mut c_void) => release(pointer);
    cuMemFreeHost(pointer: *mut c_void) => release(pointer);
    cuMemcpyHtoD_v2(to: *mut c_void, from: *const c_void, bytes: usize) => copy(to, from, bytes);
    cuMemcpyHtoDAsync_v2(to: *mut c_void, from: *const c_void, bytes: usize; *mut c_void) => copy(to, from, bytes);
    cuMemcpyDtoH_v2(to: *mut c_void, from: *const c_void, bytes: usize) => copy(to, from, bytes);
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: *const c_void, bytes: usize; *mut c_void) => copy(to, from, bytes);
    cuMemcpyDtoDAsync_v2(to: *mut c_void, from: *const c_void, bytes: usize; *mut c_void) => copy(to, from, bytes);
    cuMemsetD8Async(to: *mut c_void, value: u8, bytes: usize; *mut c_void) => fill(to, value, bytes);
    cuMemcpy2DAsync_v2(copy: *const Copy2D; *mut c_void) => copy_rows(&*copy);
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize) =>
        answer(free, limits::DEVICE_BYTES) + answer(total, limits::DEVICE_BYTES);
}

unsafe fn release(pointer: *mut c_void) -> c_int {
    // SAFETY: it was allocated here; the caller's duty.
    unsafe { free(pointer) };
    SUCCESS
}

unsafe fn copy(to: *mut c_void, from: *const c_void, bytes: usize) -> c_int {
    // SAFETY: the caller's duty; both are the host's memory. They may overlap.
    unsafe { to.cast::<u8>().copy_from(from.cast(), bytes) };
    SUCCESS
}

unsafe fn fill(to: *mut c_void, value: u8, bytes: usize) -> c_int {
    // SAFETY: the caller's duty.
    unsafe { to.write_bytes(value, bytes) };
    SUCCESS
}

/// One side of a copy of rows: `CUDA_MEMCPY2D` has two of them, one behind the other.
#[repr(C)]
struct Side {
    x_bytes: usize,
    y: usize,
    memory_type: c_uint,
    host: *mut u8,
    device: *mut u8,
    array: *mut c_void,
    pitch: usize,
}

impl Side {
    /// Where a row begins; none for memory of a kind that is not used here.
    fn row(&self, row: usize) -> Option<*mut u8> {
        const HOST: c_uint = 1;
        const DEVICE: c_uint = 2;
        let start = match self.memory_type {
            HOST => self.host,
            DEVICE => self.device,
            _ => return None,
        };
        Some(start.wrapping_add((self.y + row) * self.pitch + self.x_bytes))
    }
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
struct Copy2D {
    from: Side,
    to: Side,
    width_bytes: usize,
    height: usize,
}

unsafe fn copy_rows(request: &Copy2D) -> c_int {
    for row in 0..request.height {
        let (Some(to), Some(from)) = (request.to.row(row), request.from.row(row)) else {
            return INVALID_VALUE;
        };
        // SAFETY: the caller's duty.
        unsafe { copy(to.cast(), from.cast(), request.width_bytes) };
    }
    SUCCESS
}
