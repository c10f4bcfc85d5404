//! `build`: what only BuildKit can do, from a Compose file, and what is left without it.

use minke_testkit::Host;

use super::Application;

const FILE: &str = r#"
name: built
services:
  base:
    image: built-base
    build:
      context: .
      dockerfile_inline: |
        FROM busybox
        ARG WHO
        RUN echo "$$WHO" >/who
      args: {WHO: base}
  app:
    build:
      context: app
      dockerfile: ../elsewhere.Dockerfile
      additional_contexts: {base: "service:base", more: more}
      secrets: [key, word]
      tags: ["built-app:extra"]
      labels: {a: b}
      shm_size: 64m
      ulimits: {nofile: {soft: 100, hard: 200}}
      extra_hosts: {there: 10.1.2.3}
      target: last
    command: cat /who /key /word /in /hosts
secrets:
  key: {file: key.txt}
  word: {environment: WORD}
"#;

const DOCKERFILE: &str = "FROM base AS last\n\
    RUN --mount=type=secret,id=key cat /run/secrets/key >/key\n\
    RUN --mount=type=secret,id=word cat /run/secrets/word >/word\n\
    COPY --from=more in /in\n\
    RUN grep there /etc/hosts >/hosts\n\
    FROM base AS never\nRUN false\n";

#[test]
fn a_file_asks_for_secrets_and_contexts_of_its_builds() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "built", FILE);
    for folder in ["app", "more"] {
        std::fs::create_dir(application.folder.join(folder)).expect("a folder");
    }
    application.write("elsewhere.Dockerfile", DOCKERFILE);
    application.write("key.txt", "key\n");
    application.write("more/in", "in\n");
    let _ = application.run("build").env("WORD", "word").run().expect_code(0);
    let ran = application.run("run --rm app").env("WORD", "word").run().expect_code(0);
    for line in ["base", "key", "word", "in", "10.1.2.3"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    let _ = host.minke(["image", "inspect", "built-app:extra"]).expect_code(0);
    let classic = application.run("build app").env("WORD", "word").env("DOCKER_BUILDKIT", "0").run();
    let _ = classic.expect_code(1).expect_stderr("services.app.build.secrets: needs BuildKit");
    let classic = application.run("build base").env("WORD", "word").env("DOCKER_BUILDKIT", "0").run();
    let _ = classic.expect_code(0);
    drop(application);
    host.expect_nothing_left();
}
