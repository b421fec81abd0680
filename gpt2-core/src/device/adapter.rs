//! What computes, where it is not the processor by itself.

use std::fmt;

/// A graphics card, or what pretends to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adapter {
    /// The name that its driver gives it: `NVIDIA H200`.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
    /// The interface that reaches it: `cuda`, `vulkan`, `metal`, `dx12`.
    pub api: &'static str,
    /// The driver with its version, in its own words; empty where it does not say.
    pub driver: String,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.name, self.kind.name(), self.api)
    }
}

/// What an adapter is; the better, the less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A part of a GPU that a virtual machine has been given.
    Virtual,
    /// Something that its driver does not classify.
    Other,
    /// A program on the processor that pretends to be a GPU, as Mesa's llvmpipe: correct, and slower than the
    /// processor's own backends.
    Software,
}

impl AdapterKind {
    /// The kind in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete gpu",
            Self::Integrated => "integrated gpu",
            Self::Virtual => "virtual gpu",
            Self::Other => "other gpu",
            Self::Software => "software",
        }
    }
}
