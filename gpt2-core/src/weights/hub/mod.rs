//! Model folders from the Hugging Face hub, kept in the hub's own cache layout.
//!
//! All files of a download come from one commit: the revision is resolved once, and the cache's
//! reference to that commit is written when the snapshot is complete. A reader that works offline
//! therefore sees a whole model or none.

mod options;

pub use options::HubOptions;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::DownloadProgress;
use super::checkpoint::CANDIDATES;
use super::sharded::Index;
use crate::{Error, Result};

/// The one file that every model folder has.
const CONFIG: &str = "config.json";

/// What else a model folder may hold beside its weights.
const OPTIONAL: [&str; 12] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
];

/// A dropped connection is taken up again this often before it is an error.
const ATTEMPTS: u32 = 3;

/// Downloads a model with the options of the environment; see [`download_with`].
///
/// # Errors
/// As [`HubOptions::from_env`] and [`download_with`].
pub fn download(
    repo_id: &str,
    revision: Option<&str>,
    on_progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf> {
    download_with(&HubOptions::from_env()?, repo_id, revision, on_progress)
}

/// Downloads what a GPT-2 needs of a repository and returns the folder that holds it.
///
/// These are `config.json`, the weights in the order of preference of
/// [`Checkpoint::open`](super::Checkpoint::open) with all shards of an index, and whatever there
/// is of the generation defaults and the tokenizer. Files that the cache holds are not downloaded
/// again, and an interrupted download is continued. `revision` is a branch, tag or commit; `None`
/// is `main`. Offline, nothing but the cache is consulted.
///
/// # Errors
/// [`Error::Argument`] for an impossible repository or revision name; [`Error::Hub`] with the file
/// that could not be had.
pub fn download_with(
    options: &HubOptions,
    repo_id: &str,
    revision: Option<&str>,
    on_progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf> {
    let revision = revision.unwrap_or("main");
    check_repo_id(repo_id)?;
    check_revision(revision)?;
    if options.offline {
        return cached(options, repo_id, revision);
    }
    let mut session = Session::open(options, repo_id, revision, on_progress)?;
    session.fetch_optional(CONFIG)?.ok_or_else(|| session.absent(CONFIG))?;
    for file in OPTIONAL {
        session.fetch_optional(file)?;
    }
    session.fetch_weights()?;
    session.publish(options, revision)?;
    Ok(session.snapshot)
}

/// `name` or `owner/name`, as the hub allows them.
fn check_repo_id(repo_id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(allowed)
            && !name.starts_with(['-', '.'])
            && !name.ends_with(['-', '.'])
            && !name.contains("--")
            && !name.contains("..")
    };
    let parts: Vec<&str> = repo_id.split('/').collect();
    if parts.len() > 2 || repo_id.len() > 96 || !parts.into_iter().all(is_name) {
        return Err(Error::argument("repo_id", format!("\"{repo_id}\""), "`owner/name` or `name`"));
    }
    Ok(())
}

/// A revision becomes part of an address and of a path in the cache.
fn check_revision(revision: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    if !revision.chars().all(allowed) || !revision.split('/').all(is_plain) {
        let expected = "the name of a branch, a tag or a commit";
        return Err(Error::argument("revision", format!("\"{revision}\""), expected));
    }
    Ok(())
}

/// The snapshot that the cache holds of a revision.
fn cached(options: &HubOptions, repo_id: &str, revision: &str) -> Result<PathBuf> {
    let repo = Repo::new(repo_id.to_string(), RepoType::Model);
    let folder = options.cache.join(repo.folder_name());
    let commit = fs::read_to_string(folder.join("refs").join(revision));
    let commit = commit.map_or_else(|_| revision.to_string(), |text| text.trim().to_string());
    let snapshot = folder.join("snapshots").join(&commit);
    let has_weights = CANDIDATES.iter().any(|(name, _)| snapshot.join(name).exists());
    if is_plain_name(&commit) && has_weights && snapshot.join(CONFIG).exists() {
        return Ok(snapshot);
    }
    let reason = format!(
        "revision `{revision}` is not in the cache {}, and downloads are switched off",
        options.cache.display()
    );
    Err(Error::Hub { repo: repo_id.to_string(), file: CONFIG.to_string(), reason })
}

/// A commit or entity tag becomes the name of a file in the cache and is not left to the server.
fn is_plain_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(allowed)
}

/// One download: a repository at one commit.
struct Session<'a> {
    repo_id: String,
    api: Api,
    /// The repository at the commit, so that a push in between cannot mix two versions.
    remote: ApiRepo,
    cache: PathBuf,
    commit: String,
    snapshot: PathBuf,
    on_progress: &'a mut dyn FnMut(DownloadProgress<'_>),
}

impl<'a> Session<'a> {
    /// Asks the hub which commit a revision is.
    fn open(
        options: &HubOptions,
        repo_id: &str,
        revision: &str,
        on_progress: &'a mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<Self> {
        if !options.endpoint.starts_with("https://") && !options.endpoint.starts_with("http://") {
            let expected = "an address that begins with https:// or http://";
            return Err(Error::argument("endpoint", &options.endpoint, expected));
        }
        let root = std::path::absolute(&options.cache).map_err(Error::io("use", &options.cache))?;
        let api = ApiBuilder::from_cache(Cache::new(root.clone()))
            .with_endpoint(options.endpoint.clone())
            .with_token(options.token.clone())
            .with_progress(false)
            .build()
            .map_err(|error| hub_error(repo_id, CONFIG, &error))?;
        let at = |revision: &str| {
            Repo::with_revision(repo_id.to_string(), RepoType::Model, revision.to_string())
        };
        let metadata = api
            .metadata(&api.repo(at(revision)).url(CONFIG))
            .map_err(|error| hub_error(repo_id, CONFIG, &error))?;
        let commit = metadata.commit_hash().to_string();
        if !is_plain_name(&commit) {
            let reason = format!("the hub calls its commit \"{commit}\"");
            return Err(Error::Hub { repo: repo_id.to_string(), file: CONFIG.to_string(), reason });
        }
        let cache = root.join(at(&commit).folder_name());
        Ok(Self {
            repo_id: repo_id.to_string(),
            remote: api.repo(at(&commit)),
            api,
            snapshot: cache.join("snapshots").join(&commit),
            cache,
            commit,
            on_progress,
        })
    }

    /// The weights: the first of the candidates that the repository has.
    fn fetch_weights(&mut self) -> Result<()> {
        for (name, _) in CANDIDATES {
            let Some(path) = self.fetch_optional(name)? else { continue };
            if name.ends_with(".index.json") {
                for shard in Index::shard_names(&path)? {
                    self.fetch_optional(&shard)?.ok_or_else(|| self.absent(&shard))?;
                }
            }
            return Ok(());
        }
        Err(self.absent(&CANDIDATES.map(|(name, _)| name).join(", ")))
    }

    /// A file of the snapshot, downloaded unless it is there; `None` if the repository lacks it.
    fn fetch_optional(&mut self, file: &str) -> Result<Option<PathBuf>> {
        let path = self.snapshot.join(file);
        if path.exists() {
            return Ok(Some(path));
        }
        let mut attempt = 1;
        loop {
            match self.try_fetch(file) {
                Ok(()) => return Ok(Some(path)),
                Err(Failure::Absent) => return Ok(None),
                Err(Failure::Broken(_)) if attempt < ATTEMPTS => {
                    std::thread::sleep(Duration::from_millis(200) * attempt * attempt);
                    attempt += 1;
                }
                Err(Failure::Broken(reason) | Failure::Final(reason)) => {
                    let (repo, file) = (self.repo_id.clone(), file.to_string());
                    return Err(Error::Hub { repo, file, reason });
                }
            }
        }
    }

    /// One attempt, which continues what an earlier one has left.
    fn try_fetch(&mut self, file: &str) -> Result<(), Failure> {
        let metadata = self.api.metadata(&self.remote.url(file))?;
        let (tag, total) = (metadata.etag(), metadata.size() as u64);
        if !is_plain_name(tag) || metadata.commit_hash() != self.commit {
            return Err(Failure::Final("the hub's answer has no usable tag or commit".to_string()));
        }
        let blob = self.cache.join("blobs").join(tag);
        let part = blob.with_extension("part");
        // Nothing can be appended to a part that is whole already, or too long.
        if part.metadata().is_ok_and(|part| part.len() >= total) {
            let _ = fs::remove_file(&part);
        }
        let report = Report { file, bytes: 0, total, call: self.on_progress };
        self.remote.download_with_progress(file, report)?;
        let size = blob.metadata().map_or(0, |blob| blob.len());
        if size != total {
            let _ = fs::remove_file(self.snapshot.join(file));
            let _ = fs::remove_file(&blob);
            return Err(Failure::Broken(format!("{size} bytes arrived, expected {total}")));
        }
        Ok(())
    }

    /// Lets the revision's name point to the snapshot, which is complete now.
    fn publish(&self, options: &HubOptions, revision: &str) -> Result<()> {
        let refs = self.cache.join("refs");
        if revision == self.commit {
            return Ok(());
        }
        // Left by the downloads, which went by the commit; the cache has no use for it.
        let _ = fs::remove_file(refs.join(&self.commit));
        let repo = Repo::with_revision(self.repo_id.clone(), RepoType::Model, revision.to_string());
        Cache::new(options.cache.clone())
            .repo(repo)
            .create_ref(&self.commit)
            .map_err(Error::io("write", refs.join(revision)))
    }

    fn absent(&self, file: &str) -> Error {
        let reason = format!("there is no such file at commit {}", self.commit);
        Error::Hub { repo: self.repo_id.clone(), file: file.to_string(), reason }
    }
}

/// Why an attempt failed.
enum Failure {
    /// The repository has no such file.
    Absent,
    /// The connection, perhaps for the moment only.
    Broken(String),
    /// Something that another attempt will not change.
    Final(String),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match status(&error) {
            Some(404) => Self::Absent,
            Some(400..500) => Self::Final(explain(&error)),
            _ => Self::Broken(explain(&error)),
        }
    }
}

/// The HTTP status of a refusal. The client's error type is not exposed; its text is.
fn status(error: &ApiError) -> Option<u16> {
    error.to_string().rsplit_once("http status: ")?.1.trim().parse().ok()
}

fn explain(error: &ApiError) -> String {
    match status(error) {
        Some(404) => "no such repository, revision or file".to_string(),
        // The hub does not tell strangers whether a private repository exists.
        Some(401 | 403) => {
            "no such repository, or it is private or gated and HF_TOKEN gives no access".to_string()
        }
        _ => error.to_string(),
    }
}

fn hub_error(repo: &str, file: &str, error: &ApiError) -> Error {
    Error::Hub { repo: repo.to_string(), file: file.to_string(), reason: explain(error) }
}

/// Passes progress on.
struct Report<'a> {
    file: &'a str,
    bytes: u64,
    total: u64,
    call: &'a mut dyn FnMut(DownloadProgress<'_>),
}

impl Progress for Report<'_> {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.bytes = 0;
    }

    fn update(&mut self, size: usize) {
        self.bytes += size as u64;
        let (file, bytes, total) = (self.file, self.bytes, self.total);
        (self.call)(DownloadProgress { file, bytes, total });
    }

    fn finish(&mut self) {}
}
