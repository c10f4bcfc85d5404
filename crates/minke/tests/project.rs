//! What the project promises about itself.

use std::process::Command;

fn dependencies(package: &str) -> Vec<String> {
    let shown = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8_lossy(&shown.stdout);
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_runtime_carries_no_async_http_tls_or_regex_crate() {
    let heavy = [
        "async-", "futures", "h2", "hickory", "http", "hyper", "mio", "openssl", "regex", "ring", "rustls",
        "tokio", "tower",
    ];
    let found: Vec<_> = dependencies("minke-oci-runtime")
        .into_iter()
        .filter(|name| heavy.iter().any(|start| name.starts_with(start)))
        .collect();
    assert!(found.is_empty(), "minke-oci must stay small, and carries {found:?}");
}

#[test]
fn a_crate_imports_only_from_floors_below_its_own() {
    let floors: [&[&str]; 9] = [
        &["minke-model", "minke-patience"],
        &["minke-dockerfile", "minke-kernel", "minke-netlink", "minke-tls"],
        &["minke-oci-runtime"],
        &[
            "minke-buildkit-wire",
            "minke-distribution",
            "minke-dns",
            "minke-image",
            "minke-network",
            "minke-supervisor",
        ],
        &["minke-engine"],
        &["minke-build"],
        &[
            "minke-build-client",
            "minke-buildkit",
            "minke-docker-api",
            "minke-docker-client",
            "minke-metrics",
            "minke-registry",
        ],
        &["minke-compose"],
        &["minke"],
    ];
    let floor = |name: &str| floors.iter().position(|names| names.contains(&name));
    for name in floors.concat() {
        for used in dependencies(name).iter().filter(|used| used.starts_with("minke") && *used != name) {
            let below = floor(used).unwrap_or_else(|| panic!("{used} has no floor"));
            assert!(Some(below) < floor(name), "{name} imports {used}");
        }
    }
}
