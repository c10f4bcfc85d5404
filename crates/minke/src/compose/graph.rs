//! `compose graph`: services, networks, volumes and the order of the start as a picture.

use std::{io::Write as _, path::PathBuf};

use clap::Parser;
use minke_compose::{model::Select, plan};

use super::session::Session;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// Flags of `graph`.
#[derive(Debug, Parser)]
pub(crate) struct Graph {
    /// Format the output. Values: [terminal | mermaid | svg]
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Write to a file, instead of STDOUT; its ending (.svg, .mmd) decides on the format where none is given
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// The services
    services: Vec<String>,
}

pub(crate) static GRAPH: Verb = client_verb!(
    Graph,
    graph,
    Arity::Any,
    "[OPTIONS] [SERVICE...]",
    "Show services, networks, volumes and the order of the start"
);

async fn graph(context: &Context, args: Graph) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    session.select(&args.services, Select::WithDependencies)?;
    let ending = args.output.as_ref().and_then(|path| path.extension()).and_then(|ending| ending.to_str());
    let format = args.format.as_deref().unwrap_or(match ending {
        Some("svg") => "svg",
        Some("mmd" | "mermaid") => "mermaid",
        _ => "terminal",
    });
    let text = match format {
        "terminal" | "text" => plan::outline(&session.project)?,
        "mermaid" => plan::mermaid(&session.project)?,
        "svg" => plan::svg(&session.project)?,
        other => {
            return Err(Failure::new(format!("unsupported format {other:?}, want terminal, mermaid or svg")));
        }
    };
    match &args.output {
        None => output::print(&text),
        Some(path) => {
            let written = std::fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|error| Failure::doing(format!("write {}", path.display()), error))
        }
    }
}
