//! `minke login` and `logout`.

use std::io::Read;

use clap::Parser;
use serde::Deserialize;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    credentials::{
        Credentials,
        server::{self, DOCKER_HUB},
    },
    failure::{Failure, chain},
    format::text::or_default,
    output, prompt, terminal, transfer,
};

/// Flags of `login`.
#[derive(Debug, Parser)]
pub(crate) struct Login {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    /// The registry
    server: Option<String>,
}

/// `logout` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Logout {
    /// The registry
    server: Option<String>,
}

pub(crate) static LOGIN: Verb = client_verb!(
    Login,
    login,
    Arity::AtMost(1),
    "[OPTIONS] [SERVER]",
    "Authenticate to a registry, Docker Hub if none is named"
);

pub(crate) static LOGOUT: Verb =
    client_verb!(Logout, logout, Arity::AtMost(1), "[SERVER]", "Log out from a registry");

/// More than any token has; whoever pipes a disk in is told sooner.
const LONGEST_PASSWORD: u64 = 1 << 20;

/// What the engine answers to credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    #[serde(deserialize_with = "or_default")]
    status: String,
    #[serde(deserialize_with = "or_default")]
    identity_token: String,
}

async fn login(context: &Context, args: Login) -> Result<(), Failure> {
    let given = given(&args)?;
    terminal::unless_ended(async {
        let server = server::of_argument(args.server.as_deref());
        let (credentials, answer) = match known(context, &server, &given).await? {
            Some(accepted) => accepted,
            None => {
                let asked = asked(&server, given).await?;
                let answer = context.client()?.post("/auth", &[], Some(&asked)).await?;
                (asked, answer)
            }
        };
        keep(context, credentials, &answer)?;
        if answer.status.is_empty() { Ok(()) } else { output::line(&answer.status) }
    })
    .await
}

/// User and password of the flags, either of which may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    username: Option<String>,
    password: Option<String>,
}

fn given(args: &Login) -> Result<Given, Failure> {
    if let Some(problem) = problem(args) {
        return Err(Failure::new(problem));
    }
    let mut given = Given { username: args.username.clone(), password: args.password.clone() };
    if args.password.is_some() {
        output::note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if args.password_stdin {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LONGEST_PASSWORD).read_to_string(&mut text);
        read.map_err(|error| Failure::doing("read the password from standard input", error))?;
        given.password = Some(without_line_break(&text).to_owned()).filter(|password| !password.is_empty());
        if given.password.is_none() {
            return Err(Failure::new("the password on standard input is empty"));
        }
    }
    Ok(given)
}

/// What is wrong with the flags.
fn problem(args: &Login) -> Option<&'static str> {
    let is_empty = |value: &Option<String>| value.as_deref().is_some_and(|text| text.trim().is_empty());
    let problems = [
        (
            args.password_stdin && args.password.is_some(),
            "conflicting options: cannot specify both --password and --password-stdin",
        ),
        (
            args.password_stdin && args.username.is_none(),
            "the --password-stdin option requires --username to be set",
        ),
        (is_empty(&args.username), "username is empty"),
        (is_empty(&args.password), "password is empty"),
    ];
    problems.into_iter().find(|(wrong, _)| *wrong).map(|(_, problem)| problem)
}

/// What an editor or a shell put behind a password, once.
fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Credentials of an earlier login that the registry still takes; they are tried where the flags say nothing.
async fn known(
    context: &Context,
    server: &str,
    given: &Given,
) -> Result<Option<(Credentials, Answer)>, Failure> {
    if *given != Given::default() {
        return Ok(None);
    }
    let mut credentials = transfer::known_at(context.config(), server);
    if credentials.username.is_empty() || credentials.password.is_empty() {
        return Ok(None);
    }
    credentials.server = server.to_owned();
    output::note(&format!(
        "Authenticating with existing credentials... [Username: {}]\n\n\
         To login with a different account, run 'minke logout' followed by 'minke login'\n",
        credentials.username
    ));
    match context.client()?.post("/auth", &[], Some(&credentials)).await {
        Ok(answer) => Ok(Some((credentials, answer))),
        Err(error) if error.status() == Some(401) => {
            output::note("Stored credentials invalid or expired");
            Ok(None)
        }
        Err(error) => {
            output::note(&format!("Login did not succeed, error: {}", chain(&error)));
            Ok(None)
        }
    }
}

/// What is missing of user and password, from the user.
async fn asked(server: &str, given: Given) -> Result<Credentials, Failure> {
    let complete = given.username.is_some() && given.password.is_some();
    if !complete && !terminal::stdin_is_terminal() {
        return Err(Failure::new("Error: Cannot perform an interactive login from a non TTY device"));
    }
    let username = match given.username {
        Some(username) => username.trim().to_owned(),
        None => {
            if server == DOCKER_HUB {
                output::line(
                    "Log in with your Docker ID or email address to push and pull images from Docker Hub.",
                )?;
            }
            prompt::line("Username: ").await?
        }
    };
    if username.is_empty() {
        return Err(Failure::new("Error: Non-null Username Required"));
    }
    let password = match given.password {
        Some(password) => password,
        None => prompt::secret("Password: ").await?,
    };
    if password.is_empty() {
        return Err(Failure::new("Error: Password Required"));
    }
    Ok(Credentials { username, password, server: server.to_owned(), ..Credentials::default() })
}

/// Keeps what was accepted: a token, where the registry gave one out, instead of the password.
fn keep(context: &Context, mut credentials: Credentials, answer: &Answer) -> Result<(), Failure> {
    if !answer.identity_token.is_empty() {
        credentials.password = String::new();
        credentials.identity_token = answer.identity_token.clone();
    }
    let config = context.config();
    let known = config.credentials(&credentials.server).ok();
    config
        .keep(&credentials)
        .map_err(|error| Failure::new(format!("Error saving credentials: {}", chain(&error))))?;
    if known.as_ref() != Some(&credentials)
        && let Some(path) = config.keeps_in_clear(&credentials.server)
    {
        output::note(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    Ok(())
}

async fn logout(context: &Context, args: Logout) -> Result<(), Failure> {
    let server = server::of_argument(args.server.as_deref());
    output::line(&format!("Removing login credentials for {server}"))?;
    if let Err(error) = context.config().forget(&server) {
        output::note(&format!("WARNING: could not erase credentials:\n{server}: {}", chain(&error)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: Option<&str>, password: Option<&str>, password_stdin: bool) -> Login {
        Login {
            username: username.map(str::to_owned),
            password: password.map(str::to_owned),
            password_stdin,
            server: None,
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for (args, said) in [
            (login(Some("u"), Some("p"), true), "both --password and --password-stdin"),
            (login(None, None, true), "requires --username"),
            (login(Some(" "), None, false), "username is empty"),
            (login(Some("u"), Some(""), false), "password is empty"),
        ] {
            assert!(problem(&args).unwrap().contains(said), "{said}");
        }
        assert_eq!(problem(&login(Some("u"), Some("p"), false)), None);
        assert_eq!(problem(&login(Some("u"), None, true)), None);
    }

    #[test]
    fn only_the_line_break_at_the_end_of_a_password_is_taken_off() {
        for (text, password) in [("pw\n", "pw"), ("pw\r\n", "pw"), (" p w ", " p w "), ("pw\n\n", "pw\n")] {
            assert_eq!(without_line_break(text), password);
        }
    }
}
