//! How much memory a measurement took.

use burn::tensor::Device;

/// Largest resident set of this process so far, in bytes.
pub(super) fn of_process() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Bytes that the backend holds of a device's own memory, in use or kept for reuse.
pub(super) fn of_device(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_knows_of_memory_that_was_touched() {
        let before = of_process().unwrap();
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(of_process().unwrap() >= before && of_process().unwrap() >= touched.len() as u64);
    }
}
