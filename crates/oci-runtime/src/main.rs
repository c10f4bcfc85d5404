//! `minke-oci`: the OCI runtime's command line, a drop-in for runc, and `supervise` for the engine.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
