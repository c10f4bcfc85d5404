//! Lets the linker enter `minke-oci` at the kernel crate's own entry point (`early.rs` there), where it has one.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| {
        env::var(format!("CARGO_CFG_{name}")).is_ok_and(|list| list.split(',').any(|one| one == value))
    };
    if is("TARGET_ARCH", "x86_64") && is("TARGET_ENV", "gnu") && is("TARGET_FEATURE", "crt-static") {
        println!("cargo::rustc-link-arg-bin=minke-oci=-Wl,--entry=minke_early_start");
    }
}
