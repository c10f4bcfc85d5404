//! `minke-oci`: the OCI runtime's command line, a drop-in for runc, and `supervise` for the engine. Under the name
//! `docker-init` it is a container's init.

mod cli;
mod docker_init;

use std::process::ExitCode;

fn main() -> ExitCode {
    if docker_init::is_called() {
        return docker_init::run();
    }
    cli::run()
}
