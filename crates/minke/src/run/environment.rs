//! `--env`, `--env-file`, `--label` and `--label-file`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use super::FlagError;

/// Looks a variable of the client's own environment up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The client's own environment.
pub(crate) fn own(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables of files, then those of flags. A name alone takes its value from the client's environment; in a
/// file it is left out where there is none, from a flag it asks the engine to unset the image's.
///
/// # Errors
/// Names the file or the variable that makes no sense.
pub(crate) fn variables(
    files: &[PathBuf],
    flags: &[String],
    lookup: Lookup<'_>,
) -> Result<Vec<String>, FlagError> {
    let mut variables = Vec::new();
    for file in files {
        let text = read("--env-file", file)?;
        variables.extend(lines(&text, Some(lookup)).map_err(|problem| invalid("env", file, &problem))?);
    }
    for flag in flags {
        let (name, value) =
            flag.split_once('=').map_or((flag.as_str(), None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(FlagError::new(format!("invalid environment variable: {flag}")));
        }
        variables.push(match (value, lookup(name)) {
            (None, Some(value)) => format!("{name}={value}"),
            _ => flag.clone(),
        });
    }
    Ok(variables)
}

/// The labels of files, then those of flags, which win.
///
/// # Errors
/// Names the file or the label that makes no sense.
pub(crate) fn labels(files: &[PathBuf], flags: &[String]) -> Result<HashMap<String, String>, FlagError> {
    let mut labels = Vec::new();
    for file in files {
        let text = read("--label-file", file)?;
        labels.extend(lines(&text, None).map_err(|problem| invalid("label", file, &problem))?);
    }
    labels.extend(flags.iter().cloned());
    let mut map = HashMap::new();
    for label in labels {
        let (name, value) = label.split_once('=').unwrap_or((&label, ""));
        if name.is_empty() {
            return Err(FlagError::new(format!("invalid label '{label}': empty name")));
        }
        map.insert(name.to_owned(), value.to_owned());
    }
    Ok(map)
}

fn read(flag: &str, file: &Path) -> Result<String, FlagError> {
    let bytes = fs::read(file)
        .map_err(|error| FlagError::new(format!("{flag}: open {}: {error}", file.display())))?;
    String::from_utf8(bytes)
        .map_err(|_| FlagError::new(format!("{flag}: {} is not UTF-8 text", file.display())))
}

fn invalid(kind: &str, file: &Path, problem: &str) -> FlagError {
    FlagError::new(format!("invalid {kind} file ({}): {problem}", file.display()))
}

/// The `name=value` lines of a file, without comments. With `lookup`, a name alone takes its value there; without,
/// it stays as it is.
fn lines(text: &str, lookup: Option<Lookup<'_>>) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        // Space at the end belongs to the value.
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, has_value) = line.split_once('=').map_or((line, false), |(name, _)| (name, true));
        if name.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if name.contains([' ', '\t']) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        match lookup {
            Some(lookup) if !has_value => found.extend(lookup(name).map(|value| format!("{name}={value}"))),
            _ => found.push(line.to_owned()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    #[test]
    fn variables_come_from_files_then_flags_and_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        fs::write(&file, "\u{feff}# comment\n  A=1 \n\nB=x=y\nHOME\nNOT_SET\nEMPTY=\n").unwrap();
        let flags = ["C=3", "HOME", "UNSET", "D="].map(str::to_owned);
        let variables = variables(&[file], &flags, &lookup).unwrap();
        assert_eq!(variables, ["A=1 ", "B=x=y", "HOME=/root", "EMPTY=", "C=3", "HOME=/root", "UNSET", "D="]);
    }

    #[test]
    fn labels_of_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels");
        fs::write(&file, "a=1\nb\n").unwrap();
        let labels = labels(&[file], &["a=2".to_owned(), "c".to_owned()]).unwrap();
        assert_eq!((labels["a"].as_str(), labels["b"].as_str(), labels["c"].as_str()), ("2", "", ""));
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        let problem = |text: &str| {
            fs::write(&file, text).unwrap();
            variables(std::slice::from_ref(&file), &[], &lookup).unwrap_err().to_string()
        };
        assert!(problem("=x").contains("no variable name on line '=x'"));
        assert!(problem("A B=1").contains("variable 'A B' contains whitespaces"));
        assert!(
            variables(&["/nope/env".into()], &[], &lookup)
                .unwrap_err()
                .to_string()
                .contains("--env-file: open /nope/env")
        );
        assert!(variables(&[], &["=x".to_owned()], &lookup).unwrap_err().to_string().contains("=x"));
        assert!(labels(&[], &["=x".to_owned()]).is_err());
    }
}
