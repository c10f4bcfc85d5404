//! Programs that keep credentials: `docker-credential-pass`, `docker-credential-ecr-login`, … One is run with an action as
//! its argument and the payload on its standard input, and answers on its standard output; what it says to the user on
//! standard error passes through. (The protocol is that of the docker-credential-helpers project.)

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde::{Deserialize, Serialize};

use super::Credentials;

/// What a helper says where it has nothing; it is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user's name of what is no password but an identity token.
const TOKEN_USER: &str = "<token>";

/// More than any helper has to say.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Why a helper could not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperError {
    /// It can't be run, mostly since it is not installed.
    #[error("run the credential helper {program}, which config.json names{}", missing(source))]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("{program} {action} failed ({status}): {said}")]
    Failed { program: String, action: &'static str, status: ExitStatus, said: String },
    /// What it said is not what the protocol asks for.
    #[error("the answer of {program} {action} is not understood")]
    Answer {
        program: String,
        action: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

fn missing(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => " (it is not on PATH: install it, or take its name out)",
        _ => "",
    }
}

/// One helper.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
}

/// A helper's own form of credentials.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Secret {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    /// The helper that `config.json` calls `name`; none where the name is empty.
    pub(super) fn named(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self { program: format!("docker-credential-{name}") })
    }

    /// The credentials of a registry; `None` where it has none.
    pub(super) fn get(&self, server: &str) -> Result<Option<Credentials>, HelperError> {
        let action = "get";
        let (status, said) = self.run(action, server.as_bytes())?;
        if !status.success() {
            let said = self.failed(action, status, &said);
            return if said.to_string().contains(NOT_FOUND) { Ok(None) } else { Err(said) };
        }
        let Secret { username, secret, .. } = serde_json::from_slice(&said)
            .map_err(|source| HelperError::Answer { program: self.program.clone(), action, source })?;
        let server = server.to_owned();
        Ok(Some(match username == TOKEN_USER {
            true => Credentials { identity_token: secret, server, ..Credentials::default() },
            false => Credentials { username, password: secret, server, ..Credentials::default() },
        }))
    }

    /// Gives it credentials to keep.
    pub(super) fn store(&self, credentials: &Credentials) -> Result<(), HelperError> {
        let (username, secret) = match credentials.identity_token.as_str() {
            "" => (credentials.username.clone(), credentials.password.clone()),
            token => (TOKEN_USER.to_owned(), token.to_owned()),
        };
        let payload = Secret { server_url: credentials.server.clone(), username, secret };
        // Three texts always have a JSON form.
        self.done("store", &serde_json::to_vec(&payload).unwrap_or_default())
    }

    /// Lets it forget a registry.
    pub(super) fn erase(&self, server: &str) -> Result<(), HelperError> {
        match self.done("erase", server.as_bytes()) {
            Err(error) if error.to_string().contains(NOT_FOUND) => Ok(()),
            other => other,
        }
    }

    /// The registries that it knows.
    pub(super) fn list(&self) -> Result<Vec<String>, HelperError> {
        let action = "list";
        let (status, said) = self.run(action, b"unused")?;
        if !status.success() {
            return Err(self.failed(action, status, &said));
        }
        let users: BTreeMap<String, String> = serde_json::from_slice(&said)
            .map_err(|source| HelperError::Answer { program: self.program.clone(), action, source })?;
        Ok(users.into_keys().collect())
    }

    fn done(&self, action: &'static str, payload: &[u8]) -> Result<(), HelperError> {
        let (status, said) = self.run(action, payload)?;
        if status.success() { Ok(()) } else { Err(self.failed(action, status, &said)) }
    }

    fn failed(&self, action: &'static str, status: ExitStatus, said: &[u8]) -> HelperError {
        let said = String::from_utf8_lossy(said).trim().to_owned();
        HelperError::Failed { program: self.program.clone(), action, status, said }
    }

    fn run(&self, action: &str, payload: &[u8]) -> Result<(ExitStatus, Vec<u8>), HelperError> {
        let failed = |source| HelperError::Run { program: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let said = converse(&mut child, payload);
        let status = child.wait().map_err(failed)?;
        Ok((status, said.map_err(failed)?))
    }
}

/// The payload is small enough for a pipe, so writing it all before reading waits for nobody.
fn converse(child: &mut Child, payload: &[u8]) -> io::Result<Vec<u8>> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(payload) {
            // One that doesn't read its input may have failed already, which it says itself.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST_ANSWER).read_to_end(&mut said)?;
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;

    /// A helper that keeps one secret in a file of its folder.
    const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
case $1 in
store) cat >kept ;;
get) if [ -f kept ] && grep -q "\"$(cat)\"" kept; then cat kept; else echo credentials not found in native keychain; exit 1; fi ;;
erase) [ -f kept ] || { echo credentials not found in native keychain; exit 1; }; rm kept ;;
list) echo '{"r:5000": "user", "other": "user"}' ;;
esac
"#;

    fn helper(folder: &Path, script: &str) -> Helper {
        let path = folder.join("docker-credential-test");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Helper { program: path.display().to_string() }
    }

    fn credentials(username: &str, password: &str, token: &str) -> Credentials {
        Credentials {
            username: username.into(),
            password: password.into(),
            identity_token: token.into(),
            server: "r:5000".into(),
            ..Credentials::default()
        }
    }

    #[test]
    fn what_is_stored_comes_back_until_it_is_erased() {
        let folder = tempfile::tempdir().unwrap();
        let helper = helper(folder.path(), SCRIPT);
        assert_eq!(helper.get("r:5000").unwrap(), None);
        helper.store(&credentials("user", "p\"w", "")).unwrap();
        let kept = fs::read_to_string(folder.path().join("kept")).unwrap();
        assert_eq!(kept, r#"{"ServerURL":"r:5000","Username":"user","Secret":"p\"w"}"#);
        assert_eq!(helper.get("r:5000").unwrap(), Some(credentials("user", "p\"w", "")));
        assert_eq!(helper.get("elsewhere").unwrap(), None);
        assert_eq!(helper.list().unwrap(), ["other", "r:5000"]);
        helper.erase("r:5000").unwrap();
        helper.erase("r:5000").unwrap();
        assert_eq!(helper.get("r:5000").unwrap(), None);
    }

    #[test]
    fn an_identity_token_is_kept_under_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let helper = helper(folder.path(), SCRIPT);
        helper.store(&credentials("user", "", "secret-token")).unwrap();
        assert!(fs::read_to_string(folder.path().join("kept")).unwrap().contains("\"<token>\""));
        assert_eq!(helper.get("r:5000").unwrap(), Some(credentials("", "", "secret-token")));
    }

    #[test]
    fn a_helper_that_fails_or_is_missing_is_named_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let locked = helper(folder.path(), "#!/bin/sh\necho the key ring is locked; exit 3\n");
        let said = locked.get("r").unwrap_err().to_string();
        assert!(said.contains("get failed (exit status: 3): the key ring is locked"), "{said}");
        let said = locked.store(&credentials("u", "hidden", "")).unwrap_err().to_string();
        assert!(said.contains("store failed") && !said.contains("hidden"), "{said}");
        let babbling = helper(folder.path(), "#!/bin/sh\necho hello\n");
        assert!(babbling.get("r").unwrap_err().to_string().contains("get is not understood"));
        let missing = Helper::named("no-such-helper").unwrap().list().unwrap_err().to_string();
        assert!(
            missing.contains("docker-credential-no-such-helper") && missing.contains("not on PATH"),
            "{missing}"
        );
        assert!(Helper::named("").is_none());
    }
}
