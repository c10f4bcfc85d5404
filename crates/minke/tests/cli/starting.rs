//! Commands without an engine, which start one. Each test has mounts and a network of its own, since such an engine
//! is at the default places.

use minke_testkit::{Run, program};

/// Runs a script in which `$M` is minke and the default folders are empty.
fn alone(script: &str) -> String {
    let script = format!(
        "set -e; mount --make-rprivate /; ip link set lo up; mkdir -p /var/lib/minke /run/minke
         mount -t tmpfs none /var/lib/minke; mount -t tmpfs none /run/minke
         {script}"
    );
    Run::new("unshare", ["-n", "-m", "sh", "-c", &script])
        .env("M", program("minke"))
        .env_remove("DOCKER_HOST")
        .run()
        .expect_code(0)
        .stdout
}

#[test]
fn many_at_once_start_one_engine_and_one_of_them_says_so() {
    let said = alone(
        "for i in 1 2 3 4 5; do $M version --format '{{.Server.Version}}' >/run/minke/out$i 2>&1 & done; wait
         cat /run/minke/out*
         kill $(sed -n 's/.*(pid \\([0-9]*\\)).*/\\1/p' /run/minke/out*)",
    );
    assert_eq!(said.matches("started an engine").count(), 1, "{said}");
    let version = concat!("+minke.", env!("CARGO_PKG_VERSION"));
    assert_eq!(said.lines().filter(|line| line.ends_with(version)).count(), 5, "{said}");
}

#[test]
fn an_engine_that_can_not_start_is_quoted_without_what_earlier_ones_said() {
    let said = alone(
        "mkdir /var/lib/minke/engine.db; echo an earlier engine >/var/lib/minke/engine.log
         $M ps 2>&1 && exit 1; true",
    );
    assert!(said.contains("the engine ended at once") && said.contains("engine.db"), "{said}");
    assert!(!said.contains("an earlier engine"), "{said}");
}
