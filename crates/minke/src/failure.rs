//! How a command fails: the message for the user and the exit code, mapped in one place.

use std::error::Error;

pub(crate) use minke_model::chain;

/// Why a command ends unsuccessfully.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What to print on standard error; empty where the exit code says all.
    pub(crate) message: String,
    /// The program's exit code.
    pub(crate) code: i32,
}

/// The exit code of mistakes in flags, and of `run` where the container never started.
pub(crate) const USAGE: i32 = 125;

impl Failure {
    /// A message with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// Only an exit code, for a container's own.
    pub(crate) fn exit(code: i32) -> Self {
        Self { message: String::new(), code }
    }

    /// `error` and its causes, after what was being done.
    pub(crate) fn doing(action: impl std::fmt::Display, error: impl Error + 'static) -> Self {
        Self::new(format!("{action}: {}", chain(&error)))
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn with_code(self, code: i32) -> Self {
        Self { code, ..self }
    }

    /// For `run`, `create` and `start`: Docker's prefix and hint, and the exit codes of a shell: 127 where
    /// the program was not found, 126 where it can't be executed, 125 for everything else.
    #[must_use]
    pub(crate) fn of_run(self, verb: &str) -> Self {
        if self.message.is_empty() {
            return self;
        }
        let code = run_code(&self.message);
        let message = format!("minke: {}\n\nRun 'minke {verb} --help' for more information", self.message);
        Self { message, code }
    }
}

/// The exit code that tells a container's failure to start from its text, as the docker CLI does.
fn run_code(message: &str) -> i32 {
    let has = |text: &str| message.contains(text);
    if has("executable file not found") || has("no such file or directory") {
        127
    } else if has("permission denied") && !has("trying to connect") || has("is a directory") {
        126
    } else {
        USAGE
    }
}

impl From<minke_docker_client::Error> for Failure {
    fn from(error: minke_docker_client::Error) -> Self {
        use minke_docker_client::Error;
        match &error {
            // The message says it all; a cause "No such file or directory" would look like the container's.
            Error::Connect { endpoint, .. } => {
                Self::new(format!("{error}{}", crate::endpoint::advice(&error.to_string(), endpoint)))
            }
            Error::Status { .. } => Self::new(error.to_string()),
            _ => Self::new(chain(&error)),
        }
    }
}

impl From<crate::template::TemplateError> for Failure {
    fn from(error: crate::template::TemplateError) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_maps_what_the_engine_says_to_a_shells_exit_codes() {
        let cases = [
            ("exec: \"nope\": executable file not found in $PATH: unknown", 127),
            ("exec: \"/nope\": stat /nope: no such file or directory: unknown", 127),
            ("exec: \"/etc\": permission denied: unknown", 126),
            ("exec /etc: is a directory", 126),
            ("Error response from daemon: No such image: x:latest", 125),
            ("permission denied while trying to connect to the engine at unix:///x", 125),
        ];
        for (message, code) in cases {
            let failure = Failure::new(message).of_run("run");
            assert_eq!(failure.code, code, "{message}");
            assert!(failure.message.ends_with("Run 'minke run --help' for more information"));
        }
        assert_eq!(Failure::exit(3).of_run("run"), Failure::exit(3));
    }
}
