//! `minke`: the command line and the engine in one program.
//!
//! Only wiring: read the arguments, run the verb they name, turn its outcome into an exit code. The verbs are
//! clients of the Docker Engine API and nothing else; `minke daemon` serves it.

#![forbid(unsafe_code)]
#![expect(
    rustdoc::invalid_html_tags,
    reason = "the help of a flag is its doc comment, with docker's <placeholders>"
)]

mod cli;
mod command;
mod compose;
mod config_file;
mod context;
mod contexts;
mod copy;
mod credentials;
mod daemon;
mod endpoint;
mod explore;
mod failure;
mod format;
mod layers;
mod monitor;
mod output;
mod paint;
mod progress;
mod prompt;
mod run;
mod template;
mod terminal;
mod transfer;

fn main() {
    let arguments = std::env::args_os().collect();
    let code = cli::main(arguments);
    terminal::restore();
    // Not a return: reads of standard input that still wait in a thread must not hold the program back.
    std::process::exit(code);
}
