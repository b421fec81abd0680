//! Where fixtures lie.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

/// One folder with `models/`, `expected/` and `bad/`.
#[derive(Debug)]
pub struct Root {
    /// The folder's name, for messages.
    pub name: String,
    path: PathBuf,
}

/// Every root: the package's own fixtures, and the folder that `GPT2_REFERENCE` names, or else
/// `shared/reference` beside the workspace where that exists.
///
/// Says once on standard error which they are, also while the harness captures output.
///
/// # Panics
/// If the own fixtures or the named folder are not there: a test that silently tests nothing is
/// worse than one that fails.
pub fn roots() -> &'static [Root] {
    static ROOTS: OnceLock<Vec<Root>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let roots = find();
        let paths: Vec<_> = roots.iter().map(|root| root.path.display().to_string()).collect();
        let _ = writeln!(std::io::stderr(), "parity roots: {}", paths.join(", "));
        roots
    })
}

fn find() -> Vec<Root> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![package.join("fixtures")];
    match std::env::var_os("GPT2_REFERENCE") {
        Some(named) => paths.push(PathBuf::from(named)),
        None => {
            let beside = package.join("../../shared/reference");
            paths.extend(beside.is_dir().then_some(beside));
        }
    }
    paths.iter().map(|path| Root::at(path)).collect()
}

impl Root {
    fn at(path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for part in ["models", "expected", "bad"] {
            assert!(path.join(part).is_dir(), "{} has no folder {part}", path.display());
        }
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Self { name, path }
    }

    /// `models/<name>`.
    pub fn model(&self, name: &str) -> PathBuf {
        self.path.join("models").join(name)
    }

    /// `expected/<name>`.
    pub fn expected(&self, name: &str) -> PathBuf {
        self.path.join("expected").join(name)
    }

    /// `expected/<name>`, parsed.
    pub fn json(&self, name: &str) -> Value {
        let path = self.expected(name);
        let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Whether there is `expected/<name>`: roots need not hold every kind of number.
    pub fn has(&self, name: &str) -> bool {
        self.expected(name).is_file()
    }

    /// `<name>` in the folder `data` beside the root, which need not be there.
    pub fn data(&self, name: &str) -> PathBuf {
        self.path.join("../data").join(name)
    }

    /// `bad/<name>`.
    pub fn bad_case(&self, name: &str) -> PathBuf {
        self.path.join("bad").join(name)
    }

    /// The folders of `bad/`, by name.
    pub fn bad_cases(&self) -> Vec<PathBuf> {
        entries(&self.path.join("bad"))
    }

    /// Names of the models with a file in `expected/forward`: `bbpe`, `variants/gelu`, ...
    pub fn forward_models(&self) -> Vec<String> {
        let name = |path: &PathBuf| {
            let stem = path.file_stem()?.to_str()?;
            Some(match stem.strip_prefix("variants-") {
                Some(variant) => format!("variants/{variant}"),
                None => stem.to_string(),
            })
        };
        entries(&self.expected("forward")).iter().filter_map(name).collect()
    }

    /// Names of the model folders that hold the weights of `bbpe`.
    pub fn folders_like_bbpe(&self) -> Vec<String> {
        let other = ["bbpe-f16", "bbpe-bf16", "bbpe-trained"];
        entries(&self.path.join("models"))
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_string()))
            .filter(|name| name.starts_with("bbpe") && !other.contains(&name.as_str()))
            .collect()
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = list.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths
}

#[test]
fn the_own_fixtures_are_complete() {
    let own = &roots()[0];
    assert_eq!(own.name, "fixtures");
    assert!(own.forward_models().len() >= 20, "{:?}", own.forward_models());
    assert!(own.folders_like_bbpe().len() >= 8, "{:?}", own.folders_like_bbpe());
    assert!(own.bad_cases().len() >= 70, "{}", own.bad_cases().len());
}
