//! Who may come in: basic authentication by a file of `user:bcrypt` lines, as `htpasswd -B` writes them.
//!
//! bcrypt takes tens of milliseconds on purpose, and a push makes hundreds of requests. So a password that
//! was right is known by a keyed hash for as long as the file is the same. Wrong ones are checked each time,
//! two at once, others wait.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Passwords that are known to be right; more than this many users at a time are checked anew now and then.
const KNOWN_LIMIT: usize = 4096;
/// Checks at a time.
const CHECKS: usize = 2;

/// A password file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    /// It can't be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A line is not `user:bcrypt`.
    #[error("{path}, line {line}: want \"user:\" and a bcrypt hash ($2y$…), as `htpasswd -B` writes them")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// The users of a registry.
pub(crate) struct Users {
    path: PathBuf,
    state: RwLock<State>,
    known: Mutex<HashSet<[u8; 32]>>,
    checks: Arc<Semaphore>,
    /// Makes what is remembered useless to whoever reads it elsewhere.
    salt: [u8; 32],
}

struct State {
    hashes: HashMap<String, String>,
    version: Option<(SystemTime, u64)>,
}

impl Users {
    pub(crate) fn open(path: &Path) -> Result<Self, HtpasswdError> {
        let version = version(path);
        let hashes = read(path)?;
        let mut salt = [0; 32];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| HtpasswdError::Read { path: path.to_owned(), source: error.into() })?;
        Ok(Self {
            path: path.to_owned(),
            state: RwLock::new(State { hashes, version }),
            known: Mutex::default(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            salt,
        })
    }

    /// Lets a request pass that has the name and the password of a user.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let (user, password) = credentials(headers).ok_or(ApiError::Unauthorized)?;
        self.refresh();
        let key = self.key(&user, &password);
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Ok(());
        }
        let hash = self.state.read().unwrap_or_else(PoisonError::into_inner).hashes.get(&user).cloned();
        let _turn = self.checks.clone().acquire_owned().await.map_err(|_| ApiError::Unauthorized)?;
        // An unknown user costs as much as a wrong password, so that nobody learns who there is.
        let against = hash.clone().unwrap_or_else(|| NOBODY.to_owned());
        let checked =
            tokio::task::spawn_blocking(move || bcrypt::verify(password.as_bytes(), &against)).await;
        if hash.is_none() || !matches!(checked, Ok(Ok(true))) {
            return Err(ApiError::Unauthorized);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_LIMIT {
            known.clear();
        }
        // The key has the hash in it, so one that was replaced meanwhile lets nobody in.
        known.insert(key);
        Ok(())
    }

    /// Reads the file again when it has changed. One that can't be read leaves the users as they were.
    fn refresh(&self) {
        let now = version(&self.path);
        if now == self.state.read().unwrap_or_else(PoisonError::into_inner).version {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.version == now {
            return;
        }
        state.version = now;
        match read(&self.path) {
            Ok(hashes) => state.hashes = hashes,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the password file was not read again; the users stay as they were");
            }
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn key(&self, user: &str, password: &str) -> [u8; 32] {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let hash = state.hashes.get(user).map_or("", String::as_str);
        let mut key = Sha256::new();
        key.update(self.salt);
        for part in [user, hash, password] {
            key.update((part.len() as u64).to_be_bytes());
            key.update(part);
        }
        key.finalize().into()
    }
}

/// A hash of no known password, at the cost of most.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK";

fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<HashMap<String, String>, HtpasswdError> {
    let text =
        fs::read_to_string(path).map_err(|source| HtpasswdError::Read { path: path.to_owned(), source })?;
    let mut hashes = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || HtpasswdError::Line { path: path.to_owned(), line: number + 1 };
        let (user, hash) = line.split_once(':').ok_or_else(wrong)?;
        if user.is_empty() || hash.parse::<bcrypt::HashParts>().is_err() {
            return Err(wrong());
        }
        hashes.insert(user.to_owned(), hash.to_owned());
    }
    Ok(hashes)
}

/// Name and password of an `Authorization: Basic` (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_does() {
        assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok());
        assert!(!bcrypt::verify("", NOBODY).unwrap());
    }

    #[test]
    fn a_file_with_another_hash_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        fs::write(&path, format!("# users\nann:{NOBODY}\nbob:{{SHA}}x\n")).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("htpasswd -B"), "{error}");
        fs::write(&path, format!("# users\n\nann:{NOBODY}\n")).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
    }

    #[test]
    fn only_basic_credentials_are_read() {
        let of =
            |text: &str| credentials(&HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]));
        assert_eq!(of("Basic YW5uOmE6Yg=="), Some(("ann".to_owned(), "a:b".to_owned())));
        for text in ["Bearer YW5uOmE6Yg==", "Basic", "Basic !", "Basic YW5u"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
