//! Questions on a terminal: what is shown, what is not, and the terminal afterwards.

use std::process::Command;

use minke_testkit::program;
use rustix::process::Signal;
use serde_json::json;

use crate::{
    engine::{Asked, Scripted, refused},
    pty::Terminal,
};

fn engine() -> Scripted {
    Scripted::start("1.51", |asked: &Asked| match asked.body["password"] == "secret" {
        true => (200, json!({"Status": "Login Succeeded"}).to_string()),
        false => refused(401, "unauthorized"),
    })
}

fn login(engine: &Scripted, args: &[&str]) -> Terminal {
    let mut command = Command::new(program("minke"));
    command.arg("login").args(args).env("DOCKER_HOST", engine.host());
    command.env("DOCKER_CONFIG", engine.config_file().parent().unwrap());
    Terminal::of(command, |mut command| command.spawn())
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let engine = engine();
    let terminal = login(&engine, &["r.example"]);
    terminal.expect("Username: ");
    terminal.type_in("user\r");
    terminal.expect("Password: ");
    assert!(!terminal.echoes());
    terminal.type_in("secret\r");
    let shown = terminal.expect("Login Succeeded");
    assert!(shown.starts_with("\r\n") && !shown.contains("secret"), "{shown}");
    assert!(terminal.echoes());
    assert_eq!(terminal.end().code(), Some(0));
    assert_eq!(engine.config(), json!({"auths": {"r.example": {"auth": "dXNlcjpzZWNyZXQ="}}}));
    let terminal = login(&engine, &["-u", "user", "other.example"]);
    terminal.expect("Password: ");
    terminal.type_in("\r");
    terminal.expect("Error: Password Required");
    assert_eq!(terminal.end().code(), Some(1));
}

#[test]
fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    let engine = engine();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let terminal = login(&engine, &["-u", "user", "r.example"]);
        terminal.expect("Password: ");
        terminal.until("what is typed is hidden", |terminal| !terminal.echoes());
        terminal.signal(signal);
        terminal.until("what is typed is shown again", Terminal::echoes);
        assert_eq!(terminal.end().code(), Some(code));
    }
    assert!(engine.asked().is_empty());
}
