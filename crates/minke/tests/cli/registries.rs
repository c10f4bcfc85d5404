//! Registries from the command line's side: who the user is there, pulls, pushes and searches, with an engine that plays
//! what real ones say.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering},
};

use minke_testkit::Cli;
use rstest::rstest;
use serde_json::{Value, json};

use crate::engine::{Answer, Asked, Scripted, refused, stream};

const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A pull of two layers.
fn pull() -> Answer {
    let step = |id: &str, status: &str| json!({"id": id, "status": status, "progressDetail": {}});
    stream(&[
        json!({"id": "1", "status": "Pulling from team/base"}),
        step("aaaaaaaaaaaa", "Pulling fs layer"),
        step("bbbbbbbbbbbb", "Waiting"),
        json!({"id": "aaaaaaaaaaaa", "status": "Downloading", "progressDetail": {"current": 1, "total": 2}}),
        step("aaaaaaaaaaaa", "Pull complete"),
        step("bbbbbbbbbbbb", "Already exists"),
        json!({"status": format!("Digest: {DIGEST}")}),
        json!({"status": "Status: Downloaded newer image for r.example:5000/team/base:1"}),
    ])
}

/// An engine that takes the password `right` and lets everybody pull.
fn engine() -> Scripted {
    Scripted::start("1.51", |asked: &Asked| match asked.target.as_str() {
        "/auth" if asked.body["password"] == "right" => {
            (200, json!({"Status": "Login Succeeded", "IdentityToken": ""}).to_string())
        }
        "/auth" if asked.body["password"] == "token" => {
            (200, json!({"Status": "Login Succeeded", "IdentityToken": "it"}).to_string())
        }
        "/auth" => refused(401, "Get \"https://r.example:5000/v2/\": unauthorized"),
        _ => pull(),
    })
}

/// Logs in with a password on standard input.
fn login(engine: &Scripted, password: &str) -> minke_testkit::Ran {
    engine
        .minke(["login", "-u", "user", "--password-stdin", "https://r.example:5000/v2/"])
        .input(format!("{password}\n"))
        .run()
}

fn auth_of_pull(engine: &Scripted) -> Value {
    engine.minke(["pull", "-q", "r.example:5000/team/base:1"]).ok();
    engine.asked().last().unwrap().auth.clone().unwrap()
}

#[test]
fn a_login_is_kept_for_pulls_until_the_logout() {
    let engine = engine();
    let ran = login(&engine, "right").expect_code(0).expect_exact("Login Succeeded\n");
    assert!(ran.stderr.contains("WARNING! Your credentials are stored unencrypted in '"), "{ran}");
    let asked = &engine.asked()[0];
    assert_eq!(
        (asked.method.as_str(), &asked.body),
        ("POST", &json!({"username": "user", "password": "right", "serveraddress": "r.example:5000"}))
    );
    assert_eq!(engine.config(), json!({"auths": {"r.example:5000": {"auth": "dXNlcjpyaWdodA=="}}}));
    assert_eq!(fs::metadata(engine.config_file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        auth_of_pull(&engine),
        json!({"username": "user", "password": "right", "serveraddress": "r.example:5000"})
    );
    let again = engine.minke(["login", "r.example:5000"]).run().expect_code(0);
    assert!(again.stderr.contains("existing credentials... [Username: user]"), "{again}");
    let out = engine.minke(["logout", "r.example:5000"]).ok();
    assert_eq!(out, "Removing login credentials for r.example:5000");
    assert_eq!(engine.config(), json!({"auths": {}}));
    assert_eq!(auth_of_pull(&engine), json!({}));
}

#[test]
fn what_the_registry_refuses_is_not_kept_and_its_token_is_kept_instead_of_a_password() {
    let engine = engine();
    let ran = login(&engine, "wrong").expect_code(1).expect_exact("");
    assert_eq!(ran.stderr, "Error response from daemon: Get \"https://r.example:5000/v2/\": unauthorized\n");
    assert!(!engine.config_file().exists());
    let _ = login(&engine, "").expect_code(1).expect_stderr("the password on standard input is empty");
    let _ = login(&engine, "token").expect_code(0);
    assert_eq!(
        engine.config(),
        json!({"auths": {"r.example:5000": {"auth": "dXNlcjo=", "identitytoken": "it"}}})
    );
    assert_eq!(auth_of_pull(&engine)["identitytoken"], "it");
    let ran = engine.minke(["login", "-u", "user", "r.example:5000"]).run().expect_code(1);
    assert_eq!(ran.stderr, "Error: Cannot perform an interactive login from a non TTY device\n");
}

#[test]
fn a_helper_on_path_keeps_credentials_instead_of_the_file() {
    let engine = engine();
    engine.configure(&json!({"credsStore": "for-tests", "other": 1}));
    let program = engine.path("docker-credential-for-tests");
    let script = "#!/bin/sh
        kept=$(dirname \"$0\")/kept
        case $1 in
        store) cat >\"$kept\" ;;
        get) cat >/dev/null; cat \"$kept\" 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;
        erase) cat >/dev/null; rm \"$kept\" ;;
        esac";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", engine.path("").display(), std::env::var("PATH").unwrap());
    let ran = engine
        .minke(["login", "-u", "user", "--password-stdin", "r.example:5000"])
        .env("PATH", &path)
        .input("right")
        .run()
        .expect_code(0);
    assert!(!ran.stderr.contains("unencrypted"), "{ran}");
    assert_eq!(
        engine.config(),
        json!({"credsStore": "for-tests", "other": 1, "auths": {"r.example:5000": {}}})
    );
    engine.minke(["pull", "-q", "r.example:5000/team/base:1"]).env("PATH", &path).ok();
    assert_eq!(engine.asked().last().unwrap().auth.as_ref().unwrap()["password"], "right");
    engine.minke(["logout", "r.example:5000"]).env("PATH", &path).ok();
    assert!(!engine.path("kept").exists());
    // Without the helper a pull goes on as nobody, and a login says what is missing.
    let ran = engine.minke(["pull", "-q", "r.example:5000/team/base:1"]).run().expect_code(0);
    assert!(
        ran.stderr.starts_with("WARNING: no credentials for r.example:5000: ")
            && ran.stderr.contains("docker-credential-for-tests"),
        "{ran}"
    );
    assert_eq!(engine.asked().last().unwrap().auth, Some(json!({})));
    let ran = login(&engine, "right").expect_code(1);
    assert!(
        ran.stderr.contains("Error saving credentials: ") && ran.stderr.contains("it is not on PATH"),
        "{ran}"
    );
}

#[rstest]
fn a_pull_prints_a_line_for_each_step_and_the_images_whole_name(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let engine = engine();
    let ran = engine.cli_run(cli, ["pull", "r.example:5000/team/base"]).run().expect_code(0);
    let expected = format!(
        "Using default tag: latest\n1: Pulling from team/base\naaaaaaaaaaaa: Pulling fs layer\nbbbbbbbbbbbb: Waiting\n\
         aaaaaaaaaaaa: Pull complete\nbbbbbbbbbbbb: Already exists\nDigest: {DIGEST}\n\
         Status: Downloaded newer image for r.example:5000/team/base:1\nr.example:5000/team/base:latest\n"
    );
    assert_eq!(ran.stdout, expected, "{ran}");
    let pulled = |args: [&str; 3]| {
        let ran = engine.cli_run(cli, args).run().expect_code(0);
        (ran.stdout, engine.asked().last().unwrap().target.clone())
    };
    assert_eq!(
        pulled(["pull", "-q", "redis"]),
        ("docker.io/library/redis:latest\n".into(), "/images/create?fromImage=redis&tag=latest".into())
    );
    let by_digest = format!("a/b@{DIGEST}");
    let target = pulled(["pull", "--platform=linux/arm64", &by_digest]).1;
    for part in ["fromImage=a%2Fb", &format!("tag={}", DIGEST.replace(':', "%3A")), "platform=linux%2Farm64"]
    {
        assert!(target.contains(part), "{part}: {target}");
    }
    assert_eq!(pulled(["pull", "-a", "r.example:5000/a"]).1, "/images/create?fromImage=r.example%3A5000%2Fa");
}

#[rstest]
fn an_error_in_the_stream_ends_with_its_words(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let engine = Scripted::start("1.51", |_| {
        let error = "unauthorized: authentication required";
        stream(&[
            json!({"id": "1", "status": "Pulling from a/b"}),
            json!({"errorDetail": {"message": error}, "error": error}),
        ])
    });
    for args in [["pull", "a/b:1"], ["push", "a/b:1"]] {
        let ran = engine.cli_run(cli, args).run().expect_code(1);
        assert_eq!(ran.stdout, "1: Pulling from a/b\n", "{ran}");
        assert_eq!(ran.stderr, "unauthorized: authentication required\n", "{ran}");
    }
    let engine = Scripted::start("1.51", |_| refused(404, "pull access denied for a/b"));
    let ran = engine.cli_run(cli, ["pull", "a/b:1"]).run().expect_code(1);
    assert_eq!(ran.stderr, "Error response from daemon: pull access denied for a/b\n");
}

#[rstest]
fn create_pulls_what_is_missing_and_keeps_standard_output_for_the_id(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let missing = || {
        let pulled = AtomicBool::new(false);
        Scripted::start("1.51", move |asked: &Asked| {
            if asked.target.starts_with("/images/create") {
                pulled.store(true, Ordering::Relaxed);
                return pull();
            }
            match pulled.load(Ordering::Relaxed) {
                true => (201, json!({"Id": "1234"}).to_string()),
                false => refused(404, "No such image: r.example:5000/team/base:1"),
            }
        })
    };
    let engine = missing();
    let args = ["create", "--platform", "linux/amd64", "r.example:5000/team/base:1", "true"];
    let ran = engine.cli_run(cli, args).run().expect_code(0).expect_exact("1234\n");
    assert!(
        ran.stderr.starts_with(
            "Unable to find image 'r.example:5000/team/base:1' locally\n1: Pulling from team/base\naaaaaaaaaaaa: Pulling"
        ),
        "{ran}"
    );
    let asked: Vec<_> = engine.asked().iter().map(|asked| asked.target.clone()).collect();
    assert!(
        asked.iter().any(|target| target.starts_with("/images/create?") && target.contains("platform=linux")),
        "{asked:?}"
    );
    let engine = missing();
    let ran = engine.cli_run(cli, ["create", "-q", "r.example:5000/team/base:1"]).run().expect_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1234\n", ""));
    let engine = missing();
    let ran = engine.cli_run(cli, ["create", "--pull", "never", "r.example:5000/team/base:1"]).run();
    assert!(ran.code != Some(0) && ran.stderr.contains("No such image"), "{ran}");
    assert_eq!(engine.asked().len(), 1, "nothing was pulled");
    let engine = missing();
    let ran = engine.cli_run(cli, ["create", "--pull", "always", "r.example:5000/team/base:1"]).run();
    assert!(!ran.stderr.contains("Unable to find") && ran.stderr.contains("Pull complete"), "{ran}");
}

#[test]
fn a_push_sends_one_tag_unless_all_are_wanted() {
    let pushed = stream(&[
        json!({"status": "The push refers to repository [r.example:5000/team/base]"}),
        json!({"id": "aaaaaaaaaaaa", "status": "Pushed", "progressDetail": {}}),
        json!({"status": format!("1: digest: {DIGEST} size: 405")}),
        json!({"aux": {"Tag": "1", "Digest": DIGEST, "Size": 405}}),
    ]);
    let engine = Scripted::start("1.51", move |_| pushed.clone());
    let ran = engine.minke(["push", "r.example:5000/team/base:1"]).run().expect_code(0);
    assert_eq!(
        ran.stdout,
        format!(
            "The push refers to repository [r.example:5000/team/base]\naaaaaaaaaaaa: Pushed\n1: digest: {DIGEST} size: 405\n"
        )
    );
    assert_eq!(engine.minke(["push", "-q", "a/b"]).ok(), "docker.io/a/b:latest");
    engine.minke(["push", "-a", "a/b"]).ok();
    let _ = engine
        .minke(["push", "--platform", "linux/arm64", "a/b:2"])
        .run()
        .expect_code(0)
        .expect_stderr("Only the manifest");
    let targets: Vec<_> = engine.asked().iter().map(|asked| asked.target.clone()).collect();
    assert_eq!(
        targets[..3],
        ["/images/r.example:5000/team/base/push?tag=1", "/images/a/b/push?tag=latest", "/images/a/b/push",]
    );
    assert!(targets[3].starts_with("/images/a/b/push?tag=2&platform=%7B%22"), "{targets:?}");
    assert!(engine.asked().iter().all(|asked| asked.auth == Some(json!({}))));
    let _ = engine
        .minke(["push", &format!("a/b@{DIGEST}")])
        .run()
        .expect_code(1)
        .expect_stderr("cannot push a digest");
}

#[test]
fn what_an_old_engine_can_not_do_is_refused() {
    let engine = Scripted::start("1.45", |_| (200, "[]".to_owned()));
    for (run, flag, version) in [
        (engine.minke(["push", "--platform", "linux/arm64", "a/b"]), "--platform", "1.46"),
        (engine.minke(["images", "--tree"]), "--tree", "1.47"),
    ] {
        let ran = run.run().expect_code(1);
        let expected =
            format!("\"{flag}\" requires API version {version}, but the Docker daemon API version is 1.45");
        assert!(ran.stderr.contains(&expected), "{ran}");
    }
    assert!(engine.asked().is_empty());
}

#[rstest]
fn a_search_prints_what_docker_prints(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let found = json!([
        {"name": "redis", "description": "Redis is the world's fastest data platform for caching, and more",
         "star_count": 13_000, "is_official": true, "is_automated": false},
        {"name": "a/redis", "description": "", "star_count": 0, "is_official": false, "is_automated": false},
    ]);
    let engine = Scripted::start("1.51", move |_| (200, found.to_string()));
    let searched = |args: [&str; 6]| engine.cli_run(cli, args).run().expect_code(0).stdout;
    assert_eq!(
        searched(["search", "--limit", "5", "-f", "stars=3", "redis"]),
        "NAME      DESCRIPTION                                     STARS     OFFICIAL\n\
         redis     Redis is the world's fastest data platform f…   13000     [OK]\n\
         a/redis                                                   0         \n"
    );
    let asked = engine.asked().last().unwrap().target.clone();
    for part in ["/images/search?", "term=redis", "limit=5", "filters=%7B%22stars%22%3A"] {
        assert!(asked.contains(part), "{asked}");
    }
    assert_eq!(
        searched(["search", "--no-trunc", "redis", "--format", "{{.Name}} {{.StarCount}}", "--limit=1"]),
        "redis 13000\na/redis 0\n"
    );
}
