//! [`HubOptions`]: which hub, which cache, and whether to ask at all.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::{Error, Result};

/// Where to download from, and where to keep it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubOptions {
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// The cache folder, which holds `models--owner--name` folders.
    pub cache: PathBuf,
    /// Access token for private and gated repositories.
    pub token: Option<String>,
    /// Use the cache alone.
    pub offline: bool,
}

/// The token is a secret and stays out of logs.
impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| ".."))
            .field("offline", &self.offline)
            .finish()
    }
}

impl HubOptions {
    /// The public hub with a given cache folder, without a token.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: "https://huggingface.co".to_string(),
            cache: cache.into(),
            token: None,
            offline: false,
        }
    }

    /// What the environment asks for, under the names that Hugging Face's own tools use:
    /// `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN` (or the file `HF_HOME/token`) and
    /// `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Error::Argument`] when neither a cache folder nor a home folder is known.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    /// As [`from_env`](Self::from_env), from any source of variables.
    pub(in crate::weights) fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<Self> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let hub_home = set("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| home.map(|home| home.join(".cache/huggingface")));
        let cache = set("HF_HUB_CACHE").map(PathBuf::from);
        let Some(cache) = cache.or_else(|| hub_home.as_ref().map(|home| home.join("hub"))) else {
            return Err(Error::argument("HF_HOME", "not set", "a folder for the cache"));
        };
        let mut options = Self::new(cache);
        if let Some(endpoint) = set("HF_ENDPOINT") {
            options.endpoint = endpoint.trim_end_matches('/').to_string();
        }
        let saved = || fs::read_to_string(hub_home.as_ref()?.join("token")).ok();
        let token = set("HF_TOKEN").or_else(saved).map(|token| token.trim().to_string());
        options.token = token.filter(|token| !token.is_empty());
        options.offline = set("HF_HUB_OFFLINE").is_some_and(|v| {
            matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
        });
        Ok(options)
    }
}
