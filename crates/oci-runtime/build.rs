//! Lets the linker enter `minke-oci` at the kernel crate's own entry point (`early.rs` there), where it has one, and lay out
//! what a container's life calls in one place (`order.ld`).

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| {
        env::var(format!("CARGO_CFG_{name}")).is_ok_and(|list| list.split(',').any(|one| one == value))
    };
    if is("TARGET_ARCH", "x86_64") && is("TARGET_FEATURE", "crt-static") {
        println!("cargo::rerun-if-changed=order.ld");
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // For musl the linker is called as it is, else by the C compiler.
        let driver = if is("TARGET_ENV", "musl") { "" } else { "-Wl," };
        for argument in ["--entry=minke_early_start".to_owned(), format!("--script={here}/order.ld")] {
            println!("cargo::rustc-link-arg-bin=minke-oci={driver}{argument}");
        }
    }
}
