//! `minke top`: a container's processes, or with none named, all containers live.

use clap::Parser;
use serde::Deserialize;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::text::or_default,
    monitor, output, terminal,
};

/// `top` has no flags of its own: what follows the container is for ps.
#[derive(Debug, Parser)]
pub(crate) struct Top {
    /// The container; without one, all that run are watched
    container: Option<String>,
    /// Options of ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    ps_options: Vec<String>,
}

pub(crate) static TOP: Verb = client_verb!(
    Top,
    top,
    Arity::Any,
    "[CONTAINER [ps OPTIONS]]",
    "Display the running processes of a container, or watch all containers",
    false
);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Processes {
    #[serde(deserialize_with = "or_default")]
    titles: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    processes: Vec<Vec<String>>,
}

async fn top(context: &Context, args: Top) -> Result<(), Failure> {
    let Some(container) = &args.container else { return watch(context).await };
    let query: Vec<_> =
        (!args.ps_options.is_empty()).then(|| ("ps_args", args.ps_options.join(" "))).into_iter().collect();
    let found: Processes = context.client()?.get(&format!("/containers/{container}/top"), &query).await?;
    output::print(&table(&found))
}

async fn watch(context: &Context) -> Result<(), Failure> {
    if !(terminal::stdin_is_terminal() && terminal::stdout_is_terminal()) {
        return Err(Failure::new(
            "minke top: watching all containers needs a terminal: name a container for its processes, or use minke stats",
        ));
    }
    terminal::unless_ended(monitor::run(context.client()?)).await
}

/// At least 20 wide and 1 apart, as the docker CLI prints it; the last column is open.
fn table(found: &Processes) -> String {
    const WIDTH: usize = 20;
    let lines: Vec<&Vec<String>> = std::iter::once(&found.titles).chain(&found.processes).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count() + 1).max().unwrap_or(0).max(WIDTH)
    };
    let widths: Vec<_> = (0..found.titles.len()).map(width).collect();
    let mut out = String::new();
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if at + 1 < line.len() {
                let width = widths.get(at).copied().unwrap_or(WIDTH);
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_listed_in_wide_columns() {
        let found = Processes {
            titles: ["PID", "CMD"].map(str::to_owned).to_vec(),
            processes: vec![["1", "sh -c x"].map(str::to_owned).to_vec()],
        };
        assert_eq!(table(&found), "PID                 CMD\n1                   sh -c x\n");
    }
}
