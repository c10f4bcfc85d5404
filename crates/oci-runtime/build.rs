//! Lets the linker enter `minke-oci` at the kernel crate's own entry point (`early.rs` there), where it has one, and lay out
//! what a container's life calls in one place (`order.ld`).

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| {
        env::var(format!("CARGO_CFG_{name}")).is_ok_and(|list| list.split(',').any(|one| one == value))
    };
    if is("TARGET_ARCH", "x86_64") && is("TARGET_ENV", "gnu") && is("TARGET_FEATURE", "crt-static") {
        println!("cargo::rustc-link-arg-bin=minke-oci=-Wl,--entry=minke_early_start");
        println!("cargo::rerun-if-changed=order.ld");
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bin=minke-oci=-Wl,-T,{here}/order.ld");
    }
}
