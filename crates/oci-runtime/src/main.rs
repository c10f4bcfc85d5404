//! `minke-oci`: the OCI runtime's command line, a drop-in for runc, and `supervise` for the engine. Under the name
//! `docker-init` it is a container's init.

// The harness of tests brings a main of its own.
#![cfg_attr(not(test), no_main)]

mod cli;
mod docker_init;

// Small, and the same with either C library (record 46).
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(not(test))]
minke_kernel::program!(run);

/// Returns the exit code.
#[cfg_attr(test, expect(dead_code, reason = "the harness runs instead"))]
fn run() -> u8 {
    if docker_init::is_called() {
        return docker_init::run();
    }
    cli::run()
}
