//! A build made ready: what its session offers is gathered, and what is missing is missed before anybody is connected to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_buildkit_wire::pb::control::{CacheOptions, CacheOptionsEntry, Exporter, SolveRequest};
use sha2::{Digest, Sha256};

use super::folders::{Folder, HeldFile};
use super::kept::{self, KeepError, Kept};
use super::{Logins, Offer, agents, outputs, secrets, upload};
use crate::attributes::{self, attributes, folder_name};
use crate::options::{BuildOptions, CacheEntry, Dockerfile, Files, NamedContext, Output};

/// The most bytes of a Dockerfile, and of its ignore file.
const DOCKERFILE_LIMIT: u64 = 16 * 1024 * 1024;

/// Why a build can't begin.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A folder or a file of the build isn't there, or isn't what it should be.
    #[error("{what} {path:?}")]
    Path {
        /// What it is for.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No Dockerfile.
    #[error("failed to read dockerfile: open {0}: no such file or directory")]
    NoDockerfile(String),
    /// A folder of a cache or of an image can't be had.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Nothing to name the build by.
    #[error("read random numbers")]
    Random(#[source] io::Error),
}

/// A build whose session can begin.
pub struct Prepared {
    pub(crate) offer: Offer,
    pub(crate) request: SolveRequest,
    pub(crate) question: bool,
    /// What gets a name in the end.
    pub(crate) kept: Vec<Kept>,
    /// What is told first.
    pub(crate) warnings: Vec<String>,
    shared_key: String,
}

impl Prepared {
    /// Makes a build ready; `logins` answers for the user at registries.
    ///
    /// # Errors
    /// What is missing.
    pub fn new(mut options: BuildOptions, logins: Option<Arc<dyn Logins>>) -> Result<Self, PrepareError> {
        let kept::Layouts { stores, kept, warnings } = kept::Layouts::open(&mut options)?;
        let mut attributes = attributes(&options);
        let mut offer = Offer { logins, stores, ..Offer::default() };
        let shared_key = shared_key(&options.context);
        dockerfile(&options, &mut offer, &mut attributes)?;
        for (name, context) in &options.named_contexts {
            if let NamedContext::Folder(path) = context {
                offer.folders.put(folder_name(name), Folder::Host(checked(path)?));
            }
        }
        match options.context {
            Files::Nothing => offer.folders.put("context".to_owned(), Folder::Held(Vec::new())),
            Files::Folder(path) => offer.folders.put("context".to_owned(), Folder::Host(checked(&path)?)),
            Files::Remote(url) => drop(attributes.insert("context".to_owned(), url)),
            Files::Archive(archive) => {
                let id = random()?;
                attributes.insert("context".to_owned(), format!("{}{id}", attributes::UPLOAD));
                offer.upload = upload::Upload::new(id, archive);
            }
        }
        let request =
            request(&options.outputs, options.entitlements, [&options.cache_from, &options.cache_to])?;
        offer.outputs = outputs::Outputs::new(options.outputs.into_iter().map(|output| output.destination));
        offer.secrets = secrets::Secrets::new(options.secrets);
        offer.agents = agents::Agents::new(options.agents);
        let request =
            SolveRequest { frontend: "dockerfile.v0".to_owned(), frontend_attrs: attributes, ..request };
        Ok(Self { offer, request, question: options.question.is_some(), kept, warnings, shared_key })
    }

    /// What names the build, and its session.
    pub fn reference(&self) -> &str {
        &self.request.reference
    }

    /// The headers of `POST /session`.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, text: &str| {
            // All of them are ASCII by how they are made.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.append(HeaderName::from_static(name), value);
            }
        };
        put("x-docker-expose-session-uuid", &self.request.session);
        put("x-docker-expose-session-name", "minke");
        put("x-docker-expose-session-sharedkey", &self.shared_key);
        for method in self.offer.methods() {
            put("x-docker-expose-session-grpc-method", method);
        }
        headers
    }
}

fn request(
    outputs: &[Output],
    entitlements: Vec<String>,
    [imports, exports]: [&[CacheEntry]; 2],
) -> Result<SolveRequest, PrepareError> {
    let exporter = |output: &Output| Exporter { kind: output.kind.clone(), attrs: output.attributes.clone() };
    let exporters: Vec<_> = outputs.iter().map(exporter).collect();
    let entries = |entries: &[CacheEntry]| {
        let entry = |entry: &CacheEntry| CacheOptionsEntry {
            kind: entry.kind.clone(),
            attrs: entry.attributes.clone(),
        };
        entries.iter().map(entry).collect()
    };
    // Engines of one output read the first alone, in fields of its own.
    let first = exporters.first().cloned().unwrap_or_default();
    Ok(SolveRequest {
        reference: random()?,
        session: random()?,
        exporter: first.kind,
        exporter_attrs: first.attrs,
        exporters,
        entitlements,
        cache: Some(CacheOptions { imports: entries(imports), exports: entries(exports) }),
        ..SolveRequest::default()
    })
}

/// Offers the Dockerfile and says how it is called.
fn dockerfile(
    options: &BuildOptions,
    offer: &mut Offer,
    attributes: &mut BTreeMap<String, String>,
) -> Result<(), PrepareError> {
    let mut set = |key: &str, value: String| drop(attributes.insert(key.to_owned(), value));
    let held = match &options.dockerfile {
        Dockerfile::Within(path) => {
            if !path.is_empty() {
                set("filename", path.clone());
            }
            return Ok(());
        }
        Dockerfile::Text(text) => {
            vec![HeldFile {
                name: "Dockerfile".to_owned(),
                content: text.clone(),
                modified: nanos(SystemTime::now()),
            }]
        }
        Dockerfile::File(path) => held(path)?,
    };
    if let Some(file) = held.first() {
        set("filename", file.name.clone());
    }
    if !matches!(options.context, Files::Folder(_) | Files::Nothing) {
        set("dockerfilekey", "dockerfile".to_owned());
    }
    offer.folders.put("dockerfile".to_owned(), Folder::Held(held));
    Ok(())
}

/// A Dockerfile, and the `.dockerignore` that is its own.
fn held(path: &Path) -> Result<Vec<HeldFile>, PrepareError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let missing = || PrepareError::NoDockerfile(name.clone());
    let dockerfile = read(path)?.ok_or_else(missing)?;
    let mut files = vec![HeldFile { name: name.clone(), ..dockerfile }];
    let own = format!("{name}.dockerignore");
    if let Some(ignore) = read(&path.with_file_name(&own))? {
        files.push(HeldFile { name: own, ..ignore });
    }
    Ok(files)
}

/// A small file; `None` without it.
fn read(path: &Path) -> Result<Option<HeldFile>, PrepareError> {
    let failed = |source| PrepareError::Path { what: "read", path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    let mut content = Vec::new();
    file.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > DOCKERFILE_LIMIT {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let modified = nanos(metadata.modified().map_err(failed)?);
    Ok(Some(HeldFile { name: String::new(), content: Bytes::from(content), modified }))
}

fn nanos(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(0))
}

fn checked(path: &Path) -> Result<PathBuf, PrepareError> {
    let failed =
        |source| PrepareError::Path { what: "open the build context", path: path.to_owned(), source };
    match fs::metadata(path).map_err(failed)?.is_dir() {
        true => Ok(path.to_owned()),
        false => Err(failed(io::ErrorKind::NotADirectory.into())),
    }
}

/// What stays the same from build to build of the same folder on the same host, so that the engine is sent only what changed
/// since. It must be no other folder's: what has the same time and size is taken for the same.
fn shared_key(context: &Files) -> String {
    let Files::Folder(path) = context else { return String::new() };
    let Ok(path) = path.canonicalize() else { return String::new() };
    let Ok(metadata) = fs::metadata(&path) else { return String::new() };
    let machine = fs::read("/etc/machine-id").unwrap_or_default();
    let host = rustix::system::uname();
    let mut hash = Sha256::new();
    for part in [&machine[..], host.nodename().to_bytes(), path.as_os_str().as_encoded_bytes()] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.update(metadata.dev().to_le_bytes());
    hash.update(metadata.ino().to_le_bytes());
    hex(&hash.finalize())
}

/// A name that nothing else has.
fn random() -> Result<String, PrepareError> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(PrepareError::Random)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
