//! `--security-opt`: checked here, and the seccomp profile's file is read here since the engine may be elsewhere.

use std::fs;

use super::FlagError;

/// What `--security-opt` values come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    /// For HostConfig.SecurityOpt.
    pub(super) options: Vec<String>,
    /// `systempaths=unconfined`: nothing under /proc and /sys is masked or read-only.
    pub(super) open_system_paths: bool,
}

/// Reads all values.
///
/// # Errors
/// Names the option that makes no sense, or the profile that can't be read.
pub(super) fn read(values: &[String]) -> Result<Security, FlagError> {
    let mut security = Security::default();
    for value in values {
        if value == "systempaths=unconfined" {
            security.open_system_paths = true;
            continue;
        }
        let (name, content) = match value.split_once('=') {
            Some(pair) => pair,
            None if value == "no-new-privileges" => (value.as_str(), "true"),
            None => value.split_once(':').unwrap_or((value, "")),
        };
        if content.is_empty() {
            return Err(FlagError::new(format!("invalid --security-opt: {value:?}")));
        }
        security.options.push(match (name, content) {
            ("seccomp", "unconfined" | "builtin") => value.clone(),
            ("seccomp", file) => format!("seccomp={}", profile(file)?),
            _ => value.clone(),
        });
    }
    Ok(security)
}

/// The profile's JSON without spaces.
fn profile(file: &str) -> Result<String, FlagError> {
    let text = fs::read_to_string(file)
        .map_err(|error| FlagError::new(format!("opening seccomp profile ({file}) failed: {error}")))?;
    let not_json =
        |error| FlagError::new(format!("compacting json for seccomp profile ({file}) failed: {error}"));
    let value: serde_json::Value = serde_json::from_str(&text).map_err(not_json)?;
    serde_json::to_string(&value).map_err(not_json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(values: &[&str]) -> Result<Security, String> {
        read(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_handed_on_and_profiles_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("profile.json");
        fs::write(&file, "{ \"defaultAction\":\n \"SCMP_ACT_ALLOW\" }").unwrap();
        let profile = format!("seccomp={}", file.display());
        let security = read_all(&[
            "no-new-privileges",
            "label:disable",
            "apparmor=unconfined",
            "seccomp=unconfined",
            &profile,
            "systempaths=unconfined",
        ])
        .unwrap();
        assert!(security.open_system_paths);
        assert_eq!(
            security.options,
            [
                "no-new-privileges",
                "label:disable",
                "apparmor=unconfined",
                "seccomp=unconfined",
                "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"
            ]
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read_all(&["nope"]).unwrap_err().contains("invalid --security-opt: \"nope\""));
        assert!(read_all(&["seccomp="]).unwrap_err().contains("seccomp="));
        assert!(
            read_all(&["seccomp=/nope.json"]).unwrap_err().contains("opening seccomp profile (/nope.json)")
        );
    }
}
