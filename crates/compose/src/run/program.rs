//! Programs of the user's that Compose calls: docker's plugins, and what is on the `PATH`.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
};

use crate::model::Mapping;

/// No line that a program says is longer: what it says is a message or a variable.
const LINE: u64 = 1 << 20;
/// So much of the end of what it writes to standard error is told when it fails.
const TAIL: usize = 4096;

/// Why a program of the user's is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It isn't installed.
    #[error("there is neither docker's plugin docker-{name} nor a program {name:?} on the PATH")]
    NotThere {
        /// What was looked for.
        name: String,
    },
    /// docker's plugin isn't installed.
    #[error("docker's plugin docker-{name} is not installed")]
    NoPlugin {
        /// Which.
        name: String,
    },
    /// Compose would call itself.
    #[error("\"compose\" can't be the provider of a service of Compose")]
    Itself,
    /// It can't be started.
    #[error("start {program}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What it says can't be read.
    #[error("read what {program} says")]
    Read {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What it says is not what Compose understands.
    #[error("it says {said:?}, which is no message for Compose: {problem}")]
    Malformed {
        /// Its words.
        said: String,
        /// What is wrong with them.
        problem: String,
    },
    /// It says that it failed.
    #[error("{0}")]
    Said(String),
    /// It ended with an error.
    #[error("{program} ended with {status}{said}")]
    Failed {
        /// Which.
        program: PathBuf,
        /// How.
        status: ExitStatus,
        /// Its last words, with a colon in front.
        said: String,
    },
    /// It wants an option that the project doesn't give.
    #[error("it needs the option {option:?} (`provider.options.{option}`)")]
    MissingOption {
        /// Which.
        option: String,
    },
}

/// A program, and the variables that it gets.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

impl Program {
    /// docker's plugin of that name.
    pub(super) fn plugin(name: &str, folders: &[PathBuf]) -> Option<Self> {
        let path = find(&format!("docker-{name}"), folders.iter().map(PathBuf::as_path))?;
        Some(Self { path, environment: Vec::new() })
    }

    /// A program on the `PATH` of these variables, or at a path.
    pub(super) fn on_path(name: &str, environment: &Mapping) -> Option<Self> {
        let path = match name.contains('/') {
            true => Some(PathBuf::from(name)).filter(|path| is_program(path)),
            false => {
                let folders: Vec<_> =
                    environment.get("PATH").into_iter().flat_map(std::env::split_paths).collect();
                find(name, folders.iter().map(PathBuf::as_path))
            }
        }?;
        Some(Self { path, environment: Vec::new() })
    }

    /// With these variables besides those of this process, and the engine's address.
    pub(super) fn with_environment(mut self, variables: &Mapping, engine: &str) -> Self {
        self.environment = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.environment.push(("DOCKER_HOST".to_owned(), engine.to_owned()));
        self
    }

    /// Runs it to its end; `line` gets each line that it says. It ends when this is dropped.
    ///
    /// # Errors
    /// When it can't be started or fails, or those of `line`.
    pub(super) async fn run(
        &self,
        arguments: &[String],
        mut line: impl FnMut(&str) -> Result<(), ProgramError>,
    ) -> Result<(), ProgramError> {
        let program = || self.path.clone();
        let mut child = Command::new(&self.path)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ProgramError::Start { program: program(), source })?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(ProgramError::Start { program: program(), source: io::ErrorKind::BrokenPipe.into() });
        };
        let lines = async {
            let mut reader = BufReader::new(stdout);
            while let Some(text) = next_line(&mut reader)
                .await
                .map_err(|source| ProgramError::Read { program: program(), source })?
            {
                line(&text)?;
            }
            Ok(())
        };
        let (said, last_words) = tokio::join!(lines, tail(stderr));
        said?;
        let status =
            child.wait().await.map_err(|source| ProgramError::Read { program: program(), source })?;
        if status.success() {
            return Ok(());
        }
        let said = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
        Err(ProgramError::Failed { program: program(), status, said })
    }

    /// Runs it to its end and returns all that it says.
    ///
    /// # Errors
    /// When it can't be started or fails.
    pub(super) async fn output(&self, arguments: &[&str]) -> Result<String, ProgramError> {
        let mut said = String::new();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.run(&arguments, |line| {
            if said.len() as u64 + line.len() as u64 > LINE {
                let said = format!("{} …", said.chars().take(80).collect::<String>());
                return Err(ProgramError::Malformed { said, problem: "it is too long".to_owned() });
            }
            said.push_str(line);
            said.push('\n');
            Ok(())
        })
        .await?;
        Ok(said)
    }
}

fn find<'a>(name: &str, folders: impl Iterator<Item = &'a Path>) -> Option<PathBuf> {
    folders.map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The next line that isn't empty, without its end.
async fn next_line(reader: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    loop {
        let mut bytes = Vec::new();
        let read = (&mut *reader).take(LINE).read_until(b'\n', &mut bytes).await?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LINE && !bytes.ends_with(b"\n") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than a megabyte"));
        }
        let text = String::from_utf8_lossy(&bytes);
        if !text.trim().is_empty() {
            return Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
        }
    }
}

/// The end of what comes.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let (mut end, mut buffer) = (Vec::new(), vec![0; TAIL]);
    // What can't be read is not there to be told.
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        end.extend_from_slice(&buffer[..read]);
        let surplus = end.len().saturating_sub(TAIL);
        end.drain(..surplus);
    }
    String::from_utf8_lossy(&end).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Program {
        Program { path: "/bin/sh".into(), environment: vec![("NAME".into(), "value".into())] }
    }

    async fn said(script: &str) -> Result<String, ProgramError> {
        shell().output(&["-c", script]).await
    }

    #[tokio::test]
    async fn a_program_is_heard_line_by_line() {
        assert_eq!(said("echo one; echo; printf 'two %s' $NAME").await.unwrap(), "one\ntwo value\n");
    }

    #[tokio::test]
    async fn a_failure_has_the_last_words() {
        let error = said("echo too bad >&2; exit 3").await.unwrap_err().to_string();
        assert_eq!(error, "/bin/sh ended with exit status: 3: too bad");
        let missing = Program { path: "/nowhere/at-all".into(), environment: Vec::new() };
        assert!(matches!(missing.output(&[]).await, Err(ProgramError::Start { .. })));
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused() {
        let error = said("head -c 3000000 /dev/zero").await.unwrap_err();
        assert!(matches!(error, ProgramError::Read { .. }), "{error}");
    }

    #[test]
    fn plugins_and_programs_are_found_where_docker_looks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-cloud");
        std::fs::write(&path, "").unwrap();
        let folders = [folder.path().to_owned()];
        assert!(Program::plugin("cloud", &folders).is_none(), "it can't be executed");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Program::plugin("cloud", &folders).unwrap().path, path);
        let environment = Mapping::from([("PATH".to_owned(), folder.path().display().to_string())]);
        assert!(Program::on_path("docker-cloud", &environment).is_some());
        assert!(Program::on_path("cloud", &environment).is_none());
    }
}
