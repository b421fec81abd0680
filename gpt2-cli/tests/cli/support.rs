//! Runs the binary, in a folder of its own, and reads what it says.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What one run left.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// An empty working folder that is gone at the end of a test.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its name, which is enough for programs that run here.
    pub fn write<'a>(&self, name: &'a str, content: impl AsRef<[u8]>) -> &'a str {
        fs::write(self.path(name), content).unwrap();
        name
    }

    /// Names of everything here, hidden or not, in order.
    pub fn names(&self) -> Vec<String> {
        names(self.0.path())
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Runs the binary with `input` on its standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gpt2"))
            .args(args)
            .args(device_of_tests(args))
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the binary, which must succeed.
    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
        ran
    }

    /// Runs the binary with `--json`, which must succeed and print one object.
    pub fn json(&self, args: &[&str]) -> Value {
        let [value] = <[Value; 1]>::try_from(self.ok(&[args, &["--json"]].concat()).lines())
            .unwrap_or_else(|lines| panic!("{args:?}: {} lines", lines.len()));
        value
    }

    /// Runs the binary, which must fail with one message that holds all `parts`, and neither
    /// print anything else nor write anything.
    pub fn refused(&self, args: &[&str], parts: &[&str]) {
        let before = self.names();
        let ran = self.run(args);
        ran.assert_refused(args, parts);
        assert_eq!(self.names(), before, "{args:?}");
    }
}

/// The device that all suites take from `GPT2_TEST_DEVICE`, where the arguments of a run leave it open.
fn device_of_tests(args: &[&str]) -> Vec<String> {
    let name = std::env::var("GPT2_TEST_DEVICE").ok();
    let name = name.filter(|_| args.len() > 1 && !args.contains(&"--device"));
    name.into_iter().flat_map(|name| ["--device".to_string(), name]).collect()
}

/// All files of a folder with their content, in order.
pub fn content(place: &Place, folder: &str) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let bytes = fs::read(place.path(folder).join(&name)).unwrap();
        (name, bytes)
    };
    names(&place.path(folder)).into_iter().map(read).collect()
}

impl Ran {
    /// Standard output as JSON lines: nothing else may be there.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        self.stdout.split_terminator('\n').map(parse).collect()
    }

    pub fn assert_refused(&self, args: &[&str], parts: &[&str]) {
        assert_eq!(self.code, 1, "{args:?}: {}{}", self.stdout, self.stderr);
        assert!(self.stderr.starts_with("error: "), "{args:?}: {}", self.stderr);
        let messages = self.stderr.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(messages.count(), 1, "{args:?}: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{args:?}: {}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{args:?}: no {part:?} in {}", self.stderr);
        }
    }
}

/// Names of everything in a folder, hidden or not, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A path among the fixtures of the repository.
pub fn fixture(name: &str) -> String {
    format!("{}/../parity/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A model folder among the fixtures.
pub fn model(name: &str) -> String {
    fixture(&format!("models/{name}"))
}

/// A JSON file among the fixtures.
pub fn expected(name: &str) -> Value {
    read_json(Path::new(&fixture(&format!("expected/{name}"))))
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Keys of an object, in order.
pub fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

pub fn assert_close(found: &Value, expected: &Value, tolerance: f64) {
    let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}
