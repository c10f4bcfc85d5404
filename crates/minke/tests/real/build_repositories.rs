//! Building from repositories: `ADD` of one, contexts that are URLs of one; servers of several kinds; hostile ones.

use std::{fs, os::unix::fs::symlink};

use minke_testkit::{GitHttp, GitHttpKind, Host, Repository, Serving, Ssh};

use crate::{
    build::{Project, build},
    buildx,
};

#[test]
fn add_brings_a_branch_a_tag_a_commit_a_folder_and_the_history_if_asked() {
    let host = Host::with_busybox();
    let repository = Repository::new(&host, "app");
    let first = repository.commit(&[("file", "first"), ("sub/inner", "inner")]);
    repository.git(&["tag", "--annotate", "--message", "one", "v1"]);
    repository.commit(&[("file", "second")]);
    let server = Serving::git_daemon(&host);
    let url = "git://127.0.0.1/app";
    let project = Project::new(&format!(
        "FROM busybox\nADD {url}#main /main/\nADD {url}?tag=v1 /tag/\nADD --checksum={first} {url}#{first}:sub /sub\n\
         ADD --keep-git-dir=true {url}?branch=main /whole\n\
         RUN cat /main/file /tag/file /sub/inner >/said && ls -a /main | grep -c git >>/said; cat /whole/.git/HEAD >>/said; stat -c '%u %a' /main/file >>/said\n"
    ));
    let _ = build(&host, &project, ["-t", "one"]).expect_code(0);
    let second = repository.git(&["rev-parse", "HEAD"]);
    let said = host.docker(["run", "--rm", "one", "cat", "/said"]).ok();
    assert_eq!(said, format!("secondfirstinner0\n{second}\n0 644"));
    let refs = host
        .docker(["run", "--rm", "one", "cat", "/whole/.git/config", "/whole/.git/refs/remotes/origin/main"])
        .ok();
    assert!(refs.contains(&second) && refs.contains(url), "{refs}");
    // Nothing is fetched for a commit that is known, and a new one is another step.
    let again = build(&host, &project, ["-t", "two"]).expect_code(0);
    assert!(again.stdout.matches("Using cache").count() >= 5, "{}", again.stdout);
    repository.commit(&[("file", "third")]);
    let _ = build(&host, &project, ["-t", "three"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "three", "cat", "/main/file", "/tag/file"]).ok(), "thirdfirst");
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn what_a_repository_has_not_is_said_and_a_wrong_commit_refused() {
    let host = Host::with_busybox();
    let repository = Repository::new(&host, "app");
    repository.commit(&[("file", "x")]);
    let server = Serving::git_daemon(&host);
    let absent = "1".repeat(40);
    for (source, error) in [
        ("--checksum=abcdef git://127.0.0.1/app#main", "expected checksum to match abcdef"),
        ("git://127.0.0.1/app#nowhere", "repository does not contain ref nowhere"),
        ("git://127.0.0.1/app#main:nowhere", "No such file"),
        (&format!("git://127.0.0.1/app#{absent}"), &absent),
        ("git://127.0.0.1/none#main", "git repository git://127.0.0.1/none"),
        ("git://127.0.0.1/app#--upload-pack=id", "invalid ref"),
        ("git://127.0.0.1:1/app#main", "Connection refused"),
    ] {
        let project = Project::new(&format!("FROM busybox\nADD {source} /x/\n"));
        let _ = build(&host, &project, ["-t", "x"]).expect_code(1).expect_stderr(error);
    }
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn a_repository_is_a_context_for_both_command_lines_and_under_a_name() {
    let host = buildx::host();
    let repository = Repository::new(&host, "app");
    repository.commit(&[
        ("Dockerfile", "FROM base\nCOPY file /\n"),
        ("sub/Dockerfile", "FROM base\nCOPY . /all/\nRUN ls -a /all >/list\n"),
        ("sub/.dockerignore", "left*\n"),
        ("sub/left-out", "x"),
        ("file", "of the repository"),
    ]);
    let server = GitHttp::start(&host, GitHttpKind::Smart(""));
    let url = server.url("app");
    let _ = host.minke(["build", "-t", "one", &url]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "one", "cat", "/file"]).ok(), "of the repository");
    let folder = format!("{url}#main:sub");
    let told = buildx::build(&host, ["build", "-t", "two", &folder]).expect_code(0).stderr;
    assert!(told.contains("load git source") && told.contains("refs/heads/main"), "{told}");
    assert_eq!(host.docker(["run", "--rm", "two", "cat", "/list"]).ok(), ".\n..\n.dockerignore\nDockerfile");
    let context =
        buildx::files(&host, "context", &[("Dockerfile", "FROM base\nCOPY --from=far file /far\n")]);
    let named = format!("far={url}");
    let _ = buildx::build(&host, ["buildx", "build", "-t", "three", "--build-context", &named, &context])
        .expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "three", "cat", "/far"]).ok(), "of the repository");
    // What the repository's own builds leave out is there by name.
    let text = [("Dockerfile", "FROM base\nCOPY --from=far left-out /\n")];
    let other = buildx::files(&host, "other", &text);
    let named_folder = format!("far={folder}");
    let words = ["buildx", "build", "-t", "left", "--build-context", &named_folder, &other];
    let _ = buildx::build(&host, words).expect_code(0);
    // The commit is asked for again, its files are not.
    let before = server.heard().len();
    let again = ["buildx", "build", "-t", "three", "--build-context", &named, &context];
    let told = buildx::build(&host, again).expect_code(0).stderr;
    assert!(told.contains("CACHED"), "{told}");
    let heard = server.heard().split_off(before);
    let posts = heard.iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(posts, 1, "{heard:?}");
    // With its history, when that is asked for.
    repository.commit(&[("Dockerfile", "FROM base\nCOPY .git/HEAD /\n")]);
    let argument = "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1";
    let _ = buildx::build(&host, ["build", "-t", "four", &url]).expect_code(1).expect_stderr("not found");
    let _ = buildx::build(&host, ["build", "-t", "four", "--build-arg", argument, &url]).expect_code(0);
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn a_repository_is_looked_into_for_what_it_bakes() {
    let host = buildx::host();
    let repository = Repository::new(&host, "app");
    let bake = "group \"default\" { targets = [\"whole\", \"part\"] }\n\
        target \"whole\" { tags = [\"whole\"] }\n\
        target \"part\" {\n  tags = [\"part\"]\n  context = \"sub\"\n  contexts = { base = \"target:whole\" }\n}\n";
    repository.commit(&[
        ("docker-bake.hcl", bake),
        ("Dockerfile", "FROM base\nCOPY file /\n"),
        ("file", "of the repository"),
        ("sub/Dockerfile", "FROM base\nCOPY inner /\n"),
        ("sub/inner", "inner"),
    ]);
    let server = GitHttp::start(&host, GitHttpKind::Smart(""));
    let url = server.url("app");
    let _ = buildx::build(&host, ["buildx", "bake", &url]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "part", "cat", "/file", "/inner"]).ok(), "of the repositoryinner");
    let missing = buildx::build(&host, ["buildx", "bake", "-f", "other.hcl", &url]);
    let _ = missing.expect_code(1).expect_stderr("other.hcl: no such file or directory");
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn a_private_repository_is_opened_with_the_clients_token_which_nobody_sees() {
    let host = buildx::host();
    let repository = Repository::new(&host, "private");
    repository.commit(&[("Dockerfile", "FROM base\nCOPY file /\n"), ("file", "private")]);
    let header = "basic eC1hY2Nlc3MtdG9rZW46dG9wLXNlY3JldA==";
    let server = GitHttp::start(&host, GitHttpKind::Smart(header));
    let url = server.url("private");
    let _ = buildx::build(&host, ["build", &url]).expect_code(1).expect_stderr("could not read Username");
    fs::write(host.path("token"), "top-secret\n").unwrap();
    let secret = format!("id=GIT_AUTH_TOKEN,src={}", host.path("token").display());
    let told = buildx::build(&host, ["build", "-t", "one", "--secret", &secret, &url]).expect_code(0).stderr;
    fs::write(host.path("header"), header).unwrap();
    let secret = format!("id=GIT_AUTH_HEADER.127.0.0.1,src={}", host.path("header").display());
    let context = format!("FROM base\nADD --keep-git-dir {url} /x/\nRUN cat /x/.git/config >/config\n");
    let context = buildx::files(&host, "context", &[("Dockerfile", &context)]);
    // A port is part of a host's name.
    let _ = buildx::build(&host, ["build", "-t", "two", "--secret", &secret, &context]).expect_code(1);
    let authority = url.trim_start_matches("http://").split('/').next().unwrap();
    let secret = secret.replace("127.0.0.1", authority);
    let _ = buildx::build(&host, ["build", "-t", "two", "--secret", &secret, &context]).expect_code(0);
    let config = host.docker(["run", "--rm", "two", "cat", "/config"]).ok();
    let log = host.daemon_log();
    for text in [&told, &config, &log] {
        assert!(!text.contains("top-secret") && !text.contains("eC1hY2Nlc3M"), "{text}");
    }
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn ssh_has_the_clients_agent_and_trusts_a_host_as_it_was_first_seen() {
    let host = buildx::host();
    let repository = Repository::new(&host, "team");
    repository.commit(&[("Dockerfile", "FROM base\nCOPY file /\n"), ("file", "by ssh")]);
    let ssh = Ssh::start(&host);
    let url = format!("ssh://root@127.0.0.1:2222{}", repository.path().display());
    let refused = host.minke(["build", &url]).expect_code(1);
    assert!(refused.stderr.contains("no ssh agent was forwarded"), "{}", refused.stderr);
    let agent = format!("default={}", ssh.agent().display());
    let _ = buildx::build(&host, ["build", "-t", "one", "--ssh", &agent, &url]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "one", "cat", "/file"]).ok(), "by ssh");
    // Another key at the same place is another host.
    let known = host.path("root/build/git/known_hosts");
    let other = fs::read_to_string(&known).unwrap();
    let key = fs::read_to_string(host.path("ssh/key.pub")).unwrap();
    let host_key = fs::read_to_string(host.path("ssh/host_key.pub")).unwrap();
    let word = |text: &str| text.split(' ').nth(1).unwrap().to_owned();
    fs::write(&known, other.replace(&word(&host_key), &word(&key))).unwrap();
    let refused = buildx::build(&host, ["build", "--ssh", &agent, &url]).expect_code(1);
    assert!(refused.stderr.contains("Host key verification failed"), "{}", refused.stderr);
    drop(ssh);
    host.expect_nothing_left();
}

#[test]
fn a_server_of_files_alone_will_do() {
    let host = Host::with_busybox();
    let repository = Repository::new(&host, "files");
    let first = repository.commit(&[("file", "first")]);
    repository.commit(&[("file", "second")]);
    repository.git(&["update-server-info"]);
    let server = GitHttp::start(&host, GitHttpKind::Dumb);
    let url = server.url("files");
    let project = Project::new(&format!("FROM busybox\nADD {url} /new/\nADD {url}#{first} /old/\n"));
    let _ = build(&host, &project, ["-t", "one"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "one", "cat", "/new/file", "/old/file"]).ok(), "secondfirst");
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn submodules_come_along_by_the_network_alone() {
    let host = Host::with_busybox();
    let library = Repository::new(&host, "library");
    library.commit(&[("code", "of the library")]);
    let repository = Repository::new(&host, "app");
    repository.git(&["submodule", "add", "--quiet", "../library", "lib"]);
    repository.git(&["config", "--file", ".gitmodules", "submodule.lib.url", "../library"]);
    repository.commit(&[("file", "x")]);
    let server = Serving::git_daemon(&host);
    let project = Project::new(
        "FROM busybox\nADD git://127.0.0.1/app /with/\nADD git://127.0.0.1/app?submodules=false /without/\n\
         RUN cat /with/lib/code >/said; ls -a /with /with/lib | grep -c '^.git$' >>/said; ls /without/lib | wc -l >>/said\n",
    );
    let _ = build(&host, &project, ["-t", "one"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "one", "cat", "/said"]).ok(), "of the library0\n0");
    // A repository of this host is nobody's business, and a command even less.
    for (url, transport) in [
        (library.path().display().to_string(), "file"),
        ("ext::sh -c 'touch /made-by-git'".to_owned(), "ext"),
    ] {
        let url = if transport == "file" { format!("file://{url}") } else { url };
        repository.git(&["config", "--file", ".gitmodules", "submodule.lib.url", &url]);
        repository.commit(&[]);
        let refused = build(&host, &project, ["-t", "two"]).expect_code(1);
        assert!(
            refused.stderr.contains(&format!("transport '{transport}' not allowed")),
            "{}",
            refused.stderr
        );
    }
    assert!(!std::path::Path::new("/made-by-git").exists());
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn links_and_hooks_of_a_repository_reach_nothing_of_the_host() {
    let host = Host::with_busybox();
    fs::write(host.path("secret"), "of the host").unwrap();
    let repository = Repository::new(&host, "evil");
    symlink(host.path("secret"), repository.path().join("link")).unwrap();
    symlink("/", repository.path().join("top")).unwrap();
    let mark = host.path("made-by-git");
    let run = format!("!touch {}", mark.display());
    repository.commit(&[
        ("Dockerfile", "FROM busybox\nCOPY link /stolen\n"),
        (".gitattributes", "* filter=evil\n"),
        (".gitmodules", &format!("[submodule \"x\"]\n\tpath = x\n\turl = ../x\n\tupdate = {run}\n")),
        ("inside/file", "inside"),
    ]);
    let server = Serving::git_daemon(&host);
    let refused = host.minke(["build", "git://127.0.0.1/evil"]).expect_code(1);
    assert!(!refused.stderr.contains("of the host"), "{}", refused.stderr);
    // A folder that is a link to the top leads to the repository's.
    let refused = host.minke(["build", "git://127.0.0.1/evil#main:top/etc"]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    let project = Project::new(
        "FROM busybox\nADD git://127.0.0.1/evil#main:top/inside /x/\nADD git://127.0.0.1/evil /y/\n",
    );
    let _ = build(&host, &project, ["-t", "one"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "one", "cat", "/x/file"]).ok(), "inside");
    let link = host.docker(["run", "--rm", "one", "readlink", "/y/link"]).ok();
    assert_eq!(link, host.path("secret").display().to_string());
    assert!(!mark.exists());
    drop(server);
    host.expect_nothing_left();
}

#[test]
fn a_client_that_leaves_ends_what_a_server_holds_up() {
    let host = Host::with_busybox();
    let server = GitHttp::start(&host, GitHttpKind::Silent);
    let url = server.url("any");
    let mut child = host.minke_run(["build", &url]).spawn();
    host.until("git has connected", || !server.heard().is_empty());
    let path = host.path("root").display().to_string();
    let running = || {
        let names = fs::read_dir("/proc").unwrap().flatten();
        names
            .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&path)))
            .count()
    };
    assert!(running() > 0);
    child.kill().unwrap();
    let _ = child.wait();
    host.until("git is gone", || running() == 0);
    host.until("its files are gone", || fs::read_dir(host.path("root/containers")).unwrap().count() == 0);
    drop(server);
    host.expect_nothing_left();
}
