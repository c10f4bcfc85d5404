//! Where the programs are that tests run.
//!
//! minke's own are the ones cargo just built; the others were put in place by `scripts/setup test`.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// One of minke's own two programs, as built in the profile of the running test.
///
/// # Panics
/// When it was not built: tests of the programs want `cargo build --workspace --bins` first.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own executable");
    let found = test.ancestors().skip(1).take(3).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built beside {}: cargo build --workspace --bins", test.display())
    })
}

/// The path of `minke-oci`: another than the one that was built beside the test where MINKE_TEST_RUNTIME says so, as `make unit` does
/// to try what is shipped.
///
/// # Panics
/// As [`program`].
pub fn runtime() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        std::env::var("MINKE_TEST_RUNTIME").unwrap_or_else(|_| program("minke-oci").display().to_string())
    });
    &PATH
}

/// The docker command line of Debian.
///
/// # Panics
/// When there is none on PATH: `scripts/setup test` fetches it, `make test` puts it on PATH.
pub fn docker_cli() -> PathBuf {
    on_path("docker")
}

/// Docker's command line for BuildKit, of Debian.
///
/// # Panics
/// When there is none on PATH: `scripts/setup test` fetches it.
pub fn buildx() -> PathBuf {
    on_path("docker-buildx")
}

/// Docker's own Compose, version 2.
///
/// # Panics
/// When there is none on PATH: `scripts/setup test` fetches it, `make test` puts it on PATH.
pub fn docker_compose() -> PathBuf {
    on_path("docker-compose")
}

/// A busybox that needs no libraries, to be the inside of test images.
///
/// # Panics
/// When Debian's busybox-static is not installed: `scripts/setup test` does that.
pub fn busybox() -> &'static Path {
    let path = Path::new("/bin/busybox");
    assert!(path.is_file(), "/bin/busybox is missing: run scripts/setup test");
    path
}

/// Libraries that speak the Docker API, in a folder for each language: `python`, and `node` with its `node_modules`.
///
/// # Panics
/// When `scripts/setup test` has not fetched them.
pub fn api_clients(language: &str) -> PathBuf {
    unpacked("clients").join(language)
}

/// The tree of Debian's packages that `scripts/setup test` keeps under this name: nothing of it is installed.
///
/// # Panics
/// When it has not.
pub fn unpacked(name: &str) -> PathBuf {
    let folder = fetched().join(name);
    assert!(folder.is_dir(), "{} is missing: run scripts/setup test", folder.display());
    folder
}

/// A program of the host, or one that `scripts/setup test` fetched in its place.
///
/// # Panics
/// When there is none.
pub fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(fetched().join("bin"))
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on PATH: run scripts/setup test"))
}

/// Where `scripts/setup` keeps what it fetches.
fn fetched() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = given("MINKE_CACHE").or_else(|| Some(given("XDG_CACHE_HOME")?.join("minke")));
    cache.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".cache/minke")).join("tools")
}
