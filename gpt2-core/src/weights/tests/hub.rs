//! Downloads from a hub that lives in a thread: it answers `/{repo}/resolve/{revision}/{file}` as
//! the real one does, with the commit in a header, large files behind a redirect, and ranges.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::weights::DownloadProgress;
use crate::weights::hub::{HubOptions, download_with};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const LARGE: &str = "model.safetensors";

/// What the hub holds, and what has been asked of it.
#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    /// Bytes of a file after which the connection is dropped, once.
    drop_after: HashMap<String, usize>,
    /// Path, first byte and token of every request.
    requests: Vec<(String, usize, Option<String>)>,
    commit: Option<String>,
    tag: Option<String>,
}

struct Hub {
    state: Arc<Mutex<State>>,
    address: String,
}

impl Hub {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        for (name, bytes) in files {
            state.lock().unwrap().files.insert(name.to_string(), bytes.to_vec());
        }
        let hub = Self { state: state.clone(), address: address.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, address) = (state.clone(), address.clone());
                std::thread::spawn(move || answer(stream, &state, &address));
            }
        });
        hub
    }

    fn of_model() -> Self {
        Self::new(&[
            ("config.json", b"{\"model_type\": \"gpt2\"}"),
            ("tokenizer.json", b"{}"),
            ("pytorch_model.bin", b"never asked for"),
            (LARGE, &safetensors_file(&model())),
        ])
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Path and first byte of the requests for a file's content.
    fn requests(&self, file: &str) -> Vec<usize> {
        let state = self.state.lock().unwrap();
        let asked = state.requests.iter().filter(|(path, ..)| path.ends_with(file));
        asked.map(|(_, start, _)| *start).collect()
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>, address: &str) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_string();
    let (mut start, mut end, mut token) = (0, usize::MAX, None);
    for line in lines.map_while(|line| line.ok().filter(|line| !line.is_empty())) {
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("range") {
            let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
            start = from.parse().ok()?;
            end = to.parse().map_or(usize::MAX, |to: usize| to + 1);
        } else if name.eq_ignore_ascii_case("authorization") {
            token = Some(value.to_string());
        }
    }
    let mut state = state.lock().ok()?;
    state.requests.push((path.clone(), start, token));
    respond(stream, &mut state, &path, start..end, address)
}

fn respond(
    mut stream: TcpStream,
    state: &mut State,
    path: &str,
    range: std::ops::Range<usize>,
    address: &str,
) -> Option<()> {
    let commit = state.commit.clone().unwrap_or(COMMIT.to_string());
    let file = path.rsplit('/').next()?.to_string();
    let known = [format!("/owner/name/resolve/main/{file}"), format!("/large/{file}")];
    let known =
        known.contains(&path.to_string()) || path == format!("/owner/name/resolve/{COMMIT}/{file}");
    let end = "Connection: close\r\n\r\n";
    let Some(bytes) = state.files.get(&file).filter(|_| known) else {
        let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{end}");
        return stream.write_all(head.as_bytes()).ok();
    };
    let tag = state.tag.clone().unwrap_or(format!("tag-{file}"));
    if file == LARGE && !path.starts_with("/large/") {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {address}/large/{file}\r\nx-linked-etag: \"{tag}\"\r\n\
             x-repo-commit: {commit}\r\nContent-Length: 0\r\n{end}"
        );
        return stream.write_all(head.as_bytes()).ok();
    }
    let size = bytes.len();
    let range = range.start..range.end.min(size);
    if range.start >= size {
        let head = format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n{end}");
        return stream.write_all(head.as_bytes()).ok();
    }
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{size}\r\n\
         etag: \"{tag}\"\r\nx-repo-commit: {commit}\r\n{end}",
        range.len(),
        range.start,
        range.end - 1,
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut body = &bytes[range.clone()];
    if range.len() > 1
        && let Some(kept) = state.drop_after.remove(&file)
    {
        body = &body[..kept];
    }
    stream.write_all(body).ok()
}

fn options(hub: &Hub, cache: &Path) -> HubOptions {
    let mut options = HubOptions::new(cache);
    options.endpoint = hub.address.clone();
    options
}

fn fetch(options: &HubOptions) -> Result<std::path::PathBuf> {
    download_with(options, "owner/name", None, &mut |_| {})
}

#[test]
fn a_model_is_downloaded_once_into_the_hub_s_cache_layout() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    let options = options(&hub, cache.path());
    let folder = fetch(&options).unwrap();
    assert_eq!(folder, cache.path().join("models--owner--name/snapshots").join(COMMIT));
    assert_is_model(&folder);
    assert_eq!(std::fs::read(folder.join("tokenizer.json")).unwrap(), b"{}");
    assert!(!folder.join("generation_config.json").exists());
    assert!(!folder.join("pytorch_model.bin").exists());
    let refs = cache.path().join("models--owner--name/refs");
    assert_eq!(std::fs::read_to_string(refs.join("main")).unwrap(), COMMIT);
    assert_eq!(std::fs::read_dir(refs).unwrap().count(), 1);

    let before = hub.requests("large/model.safetensors").len();
    assert_eq!(fetch(&options).unwrap(), folder);
    assert_eq!(hub.requests("large/model.safetensors").len(), before);
}

#[test]
fn progress_ends_with_the_whole_file() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    let mut last = HashMap::new();
    let mut note = |progress: DownloadProgress<'_>| {
        last.insert(progress.file.to_string(), (progress.bytes, progress.total));
    };
    download_with(&options(&hub, cache.path()), "owner/name", None, &mut note).unwrap();
    let size = safetensors_file(&model()).len() as u64;
    assert_eq!(last[LARGE], (size, size));
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_broke() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    hub.change(|state| {
        state.drop_after.insert(LARGE.to_string(), 1000);
    });
    assert_is_model(&fetch(&options(&hub, cache.path())).unwrap());
    assert!(hub.requests("large/model.safetensors").contains(&1000));
}

#[test]
fn an_earlier_run_s_part_is_continued_and_a_useless_one_is_discarded() {
    let whole = safetensors_file(&model());
    let long = [whole.clone(), vec![0; 9]].concat();
    for (part, start) in [(&whole[..500], 500), (&whole[..], 0), (&long[..], 0)] {
        let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
        let blobs = cache.path().join("models--owner--name/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join("tag-model.part"), part).unwrap();
        assert_is_model(&fetch(&options(&hub, cache.path())).unwrap());
        assert_eq!(hub.requests("large/model.safetensors").last(), Some(&start));
    }
}

#[test]
fn the_shards_of_an_index_are_downloaded() {
    let mut first = model();
    let second = first.split_off(10);
    let mut map = Map::new();
    map.extend(first.iter().map(|tensor| (tensor.name.clone(), json!("one.safetensors"))));
    map.extend(second.iter().map(|tensor| (tensor.name.clone(), json!("two.safetensors"))));
    let index = json!({"weight_map": map}).to_string();
    let hub = Hub::new(&[
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index.as_bytes()),
        ("one.safetensors", &safetensors_file(&first)),
        ("two.safetensors", &safetensors_file(&second)),
    ]);
    let cache = tempfile::tempdir().unwrap();
    assert_is_model(&fetch(&options(&hub, cache.path())).unwrap());
    hub.change(|state| {
        state.files.remove("two.safetensors");
    });
    let text = message(fetch(&options(&hub, tempfile::tempdir().unwrap().path())));
    assert!(text.contains("`two.safetensors`"), "{text}");
}

#[test]
fn an_index_cannot_download_to_outside_the_snapshot() {
    let index = br#"{"weight_map": {"a": "../../evil"}}"#;
    let hub = Hub::new(&[("config.json", b"{}"), ("model.safetensors.index.json", index)]);
    let text = message(fetch(&options(&hub, tempfile::tempdir().unwrap().path())));
    assert!(text.contains("not the plain name"), "{text}");
    assert!(hub.requests("evil").is_empty());
}

#[test]
fn a_server_cannot_name_files_outside_the_cache() {
    for change in [
        |state: &mut State| state.commit = Some("../../../x".to_string()),
        |state: &mut State| {
            state.tag = Some("/tmp/x".to_string());
        },
    ] {
        let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
        hub.change(change);
        assert!(message(fetch(&options(&hub, cache.path()))).contains("config.json"));
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_repository_that_is_not_there_is_said_to_be_missing() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    let options = options(&hub, cache.path());
    let text = message(download_with(&options, "owner/other", None, &mut |_| {}));
    assert!(text.contains("`owner/other`") && text.contains("no such repository"), "{text}");
    let text = message(download_with(&options, "owner/name", Some("v9"), &mut |_| {}));
    assert!(text.contains("no such repository, revision"), "{text}");
}

#[test]
fn a_repository_without_weights_is_refused() {
    let hub = Hub::new(&[("config.json", b"{}")]);
    let cache = tempfile::tempdir().unwrap();
    let text = message(fetch(&options(&hub, cache.path())));
    assert!(text.contains("tf_model.h5"), "{text}");
    assert!(!cache.path().join("models--owner--name/refs/main").exists());
}

#[test]
fn offline_the_cache_is_enough_and_nothing_is_asked() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    let mut options = options(&hub, cache.path());
    let folder = fetch(&options).unwrap();
    hub.change(|state| state.requests.clear());
    options.offline = true;
    assert_eq!(fetch(&options).unwrap(), folder);
    let by_commit = download_with(&options, "owner/name", Some(COMMIT), &mut |_| {});
    assert_eq!(by_commit.unwrap(), folder);
    assert!(hub.requests("").is_empty());
}

#[test]
fn offline_without_a_cache_is_a_clear_error() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    let mut options = options(&hub, cache.path());
    options.offline = true;
    let text = message(fetch(&options));
    assert!(text.contains("`main` is not in the cache"), "{text}");
}

#[test]
fn the_token_is_sent_and_never_printed() {
    let (hub, cache) = (Hub::of_model(), tempfile::tempdir().unwrap());
    let mut options = options(&hub, cache.path());
    options.token = Some("hf_secret".to_string());
    fetch(&options).unwrap();
    let asked = hub.state.lock().unwrap().requests[0].2.clone();
    assert_eq!(asked.as_deref(), Some("Bearer hf_secret"));
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn an_unreachable_hub_is_an_error() {
    let mut options = HubOptions::new("unused");
    options.endpoint = "http://127.0.0.1:9".to_string();
    assert!(message(fetch(&options)).contains("owner/name"));
    options.endpoint = "ftp://example.org".to_string();
    assert!(message(fetch(&options)).contains("https://"));
}

#[test]
fn impossible_names_are_refused_before_anything_is_asked() {
    let options = HubOptions::new("unused");
    for repo in ["", "/", "a/b/c", "../x", "a/..", "a b", "-a", "a--b", "a/", "http://x", "a\\b"] {
        let text = message(download_with(&options, repo, None, &mut |_| {}));
        assert!(text.contains("`repo_id`"), "{repo}: {text}");
    }
    for revision in ["", "../x", "a//b", "/a", "a?b", "a/../b"] {
        let text = message(download_with(&options, "gpt2", Some(revision), &mut |_| {}));
        assert!(text.contains("`revision`"), "{revision}: {text}");
    }
}

#[test]
fn the_environment_speaks_hugging_face() {
    let read = |list: &[(&str, &str)]| {
        let list: HashMap<String, String> =
            list.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        HubOptions::from_variables(|name| list.get(name).cloned(), Some("/home/me".into()))
    };
    let plain = read(&[]).unwrap();
    assert_eq!(plain, HubOptions::new("/home/me/.cache/huggingface/hub"));
    let set = read(&[
        ("HF_HOME", "/data/hf"),
        ("HF_ENDPOINT", "https://mirror.example/"),
        ("HF_TOKEN", " hf_x "),
        ("HF_HUB_OFFLINE", "1"),
    ])
    .unwrap();
    assert_eq!(set.cache, Path::new("/data/hf/hub"));
    assert_eq!(set.endpoint, "https://mirror.example");
    assert_eq!((set.token.as_deref(), set.offline), (Some("hf_x"), true));
    assert!(!read(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);
    assert_eq!(read(&[("HF_HUB_CACHE", "/c")]).unwrap().cache, Path::new("/c"));
    assert!(HubOptions::from_variables(|_| None, None).is_err());
}
