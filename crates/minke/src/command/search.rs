//! `minke search`.

use clap::Parser;
use minke_docker_client::{Body, Method};
use minke_model::Reference;
use tokio::io::AsyncReadExt;

use super::filters;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    credentials::{self, server},
    failure::Failure,
    format::{
        self, Layout,
        search::{Found, KIND},
    },
    output, transfer,
};

/// Flags of `search`.
#[derive(Debug, Parser)]
pub(crate) struct Search {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true)]
    limit: u32,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// What to look for
    term: String,
}

pub(crate) static SEARCH: Verb =
    client_verb!(Search, search, Arity::Exactly(1), "[OPTIONS] TERM", "Search Docker Hub for images");

async fn search(context: &Context, args: Search) -> Result<(), Failure> {
    let layout = Layout::choose(args.format.as_deref(), "", false, &KIND)?;
    let mut query = vec![("term", args.term.clone())];
    query.extend((args.limit > 0).then(|| ("limit", args.limit.to_string())));
    query.extend(filters::query(&args.filter)?);
    let known = transfer::known_at(context.config(), server::of_domain(&domain(&args.term)));
    let headers = credentials::auth_header(&known)?;
    let client = context.client()?;
    let mut response = client.stream(Method::GET, "/images/search", &query, Body::Empty, headers).await?;
    let mut text = Vec::new();
    response
        .body
        .read_to_end(&mut text)
        .await
        .map_err(|error| Failure::doing("read the engine's search results", error))?;
    let found: Option<Vec<Found>> = serde_json::from_slice(&text)
        .map_err(|error| Failure::doing("read the engine's search results", error))?;
    let rows: Vec<_> = found.iter().flatten().map(|found| found.row(args.no_trunc)).collect();
    let width = format::terminal_width().filter(|_| !args.no_trunc);
    output::print(&layout.render(&KIND, rows, width)?)
}

/// The registry that a term names, `docker.io` where it is only a term.
fn domain(term: &str) -> String {
    term.parse().map_or_else(|_| "docker.io".to_owned(), |image: Reference| image.domain().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_a_registry() {
        for (term, expected) in [
            ("redis", "docker.io"),
            ("a/b", "docker.io"),
            ("r:5000/a", "r:5000"),
            ("some words", "docker.io"),
        ] {
            assert_eq!(domain(term), expected);
        }
    }
}
