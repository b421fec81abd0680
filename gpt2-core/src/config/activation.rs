//! Names of the MLP's nonlinearities.

/// Nonlinearity of the MLP, one variant for each numerically different function.
///
/// Source: `ACT2FN` of `transformers`. Formulas are in the `ops` module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `gelu`: with the error function.
    Gelu,
    /// `gelu_new`: the tanh approximation, GPT-2's own.
    GeluNew,
    /// `gelu_pytorch_tanh`: the same function under PyTorch's name.
    GeluPytorchTanh,
    /// `gelu_fast`: the same function again.
    GeluFast,
    /// `quick_gelu`: `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `relu`.
    Relu,
    /// `silu`: `x * sigmoid(x)`.
    Silu,
    /// `swish`: another name of `silu`.
    Swish,
    /// `tanh`.
    Tanh,
}

impl Activation {
    /// Every variant, in the order of this enum.
    pub const ALL: [Self; 9] = [
        Self::Gelu,
        Self::GeluNew,
        Self::GeluPytorchTanh,
        Self::GeluFast,
        Self::QuickGelu,
        Self::Relu,
        Self::Silu,
        Self::Swish,
        Self::Tanh,
    ];

    /// Whether it is the tanh approximation of GELU, which has three names.
    #[must_use]
    pub fn is_gelu_tanh(self) -> bool {
        matches!(self, Self::GeluNew | Self::GeluPytorchTanh | Self::GeluFast)
    }

    /// The name in `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluNew => "gelu_new",
            Self::GeluPytorchTanh => "gelu_pytorch_tanh",
            Self::GeluFast => "gelu_fast",
            Self::QuickGelu => "quick_gelu",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Swish => "swish",
            Self::Tanh => "tanh",
        }
    }

    /// The variant of a name in `config.json`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activation| activation.name() == name)
    }
}
