//! [`DownloadProgress`], of which builds without downloads know as well: a caller's code is the same.

/// How far the download of one file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownloadProgress<'a> {
    /// Name of the file in the repository.
    pub file: &'a str,
    /// Bytes that are on the disk, those of an earlier attempt included.
    pub bytes: u64,
    /// Bytes of the whole file.
    pub total: u64,
}
