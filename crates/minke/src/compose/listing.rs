//! `compose ps`, `ls`, `top` and `port`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use minke_compose::{plan::Container, run};
use serde::Deserialize;
use serde_json::json;

use super::{looks, session::Session};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format, output,
};

/// Flags of `ps`.
#[derive(Debug, Parser)]
pub(crate) struct Ps {
    /// Show all stopped containers (including those created by the run command)
    #[arg(short, long)]
    all: bool,
    /// Filter services by a property (supported filters: status)
    #[arg(long, value_name = "string")]
    filter: Option<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Include orphaned services (not declared by project)
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    orphans: bool,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display services
    #[arg(long = "services")]
    only_services: bool,
    /// Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]
    #[arg(long, value_name = "stringArray")]
    status: Vec<String>,
    /// The services
    services: Vec<String>,
}

/// Flags of `ls`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Show all stopped Compose projects
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided (name=…)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Format the output. Values: [table | json]
    #[arg(long, value_name = "string", default_value = "table")]
    format: String,
    /// Only display project names
    #[arg(short, long)]
    quiet: bool,
}

/// `top` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Top {
    /// The services
    services: Vec<String>,
}

/// Flags of `port`.
#[derive(Debug, Parser)]
pub(crate) struct Port {
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// tcp or udp
    #[arg(long, value_name = "string", default_value = "tcp")]
    protocol: String,
    /// The service
    service: String,
    /// Its own port
    private_port: u16,
}

pub(crate) static PS: Verb = client_verb!(Ps, ps, Arity::Any, "[OPTIONS] [SERVICE...]", "List containers");
pub(crate) static LS: Verb = client_verb!(Ls, ls, Arity::None, "[OPTIONS]", "List running compose projects");
pub(crate) static TOP: Verb =
    client_verb!(Top, top, Arity::Any, "[SERVICES...]", "Display the running processes");
pub(crate) static PORT: Verb = client_verb!(
    Port,
    port,
    Arity::Exactly(2),
    "[OPTIONS] SERVICE PRIVATE_PORT",
    "Print the public port for a port binding"
);

async fn ps(context: &Context, mut args: Ps) -> Result<(), Failure> {
    if let Some(filter) = &args.filter {
        match filter.split_once('=') {
            Some(("status", status)) => args.status.push(status.to_owned()),
            _ => return Err(Failure::new(format!("unknown filter {filter}: want status=…"))),
        }
    }
    let session = Session::of_name(context).await?;
    let all = args.all || !args.status.is_empty();
    let mut containers = session.containers(&args.services, all).await?;
    let known = |container: &Container| session.project.services.contains_key(container.service());
    containers.retain(|container| {
        let fits = args.status.is_empty() || args.status.contains(&container.state);
        fits && (args.all || !container.is_oneoff()) && (args.orphans || known(container))
    });
    containers.sort_by(|a, b| a.name().cmp(b.name()));
    if args.quiet {
        let ids = containers.iter().map(|container| format!("{}\n", container.id));
        return output::print(&ids.collect::<String>());
    }
    if args.only_services {
        let services: BTreeSet<_> = containers.iter().map(Container::service).collect();
        return output::print(
            &services.into_iter().map(|service| format!("{service}\n")).collect::<String>(),
        );
    }
    let rows: Vec<_> =
        containers.iter().map(|container| looks::container(container, args.no_trunc)).collect();
    looks::print(&looks::CONTAINERS, rows, args.format.as_deref(), false)
}

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    let mut names = Vec::new();
    for filter in &args.filter {
        match filter.split_once('=') {
            Some(("name", name)) => names.push(name.to_owned()),
            _ => return Err(Failure::new(format!("invalid filter '{filter}'"))),
        }
    }
    let containers = run::containers(context.client()?, None, args.all).await?;
    let mut projects: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in containers.iter().filter(|container| !container.is_oneoff()) {
        projects.entry(container.project()).or_default().push(container);
    }
    projects
        .retain(|project, _| names.is_empty() || names.iter().any(|name| project.contains(name.as_str())));
    if args.quiet {
        return output::print(&projects.keys().map(|project| format!("{project}\n")).collect::<String>());
    }
    let rows: Vec<_> = projects
        .iter()
        .map(|(project, containers)| vec![(*project).to_owned(), states(containers), files(containers)])
        .collect();
    let values = rows.iter().map(|row| json!({"Name": row[0], "Status": row[1], "ConfigFiles": row[2]}));
    let values = values.collect();
    looks::table_or_json(&args.format, &["NAME", "STATUS", "CONFIG FILES"], &rows, values)
}

/// `exited(1), running(2)`
fn states(containers: &[&Container]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for container in containers {
        *counts.entry(&container.state).or_default() += 1;
    }
    counts.iter().map(|(state, count)| format!("{state}({count})")).collect::<Vec<_>>().join(", ")
}

fn files(containers: &[&Container]) -> String {
    let files: BTreeSet<_> =
        containers.iter().flat_map(|container| container.config_files().split(',')).collect();
    let files: Vec<_> = files.into_iter().filter(|file| !file.is_empty()).collect();
    if files.is_empty() { "N/A".to_owned() } else { files.join(",") }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Processes {
    titles: Vec<String>,
    processes: Option<Vec<Vec<String>>>,
}

async fn top(context: &Context, args: Top) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let mut containers = session.containers(&args.services, false).await?;
    containers.sort_by(|a, b| a.name().cmp(b.name()));
    let client = session.client()?;
    let mut titles = vec!["SERVICE".to_owned(), "#".to_owned()];
    let mut rows = Vec::new();
    for container in &containers {
        let path = format!("/containers/{}/top", container.id);
        let listed: Processes = client.get(&path, &[]).await?;
        titles.extend(
            listed.titles.iter().filter(|title| !titles.contains(title)).cloned().collect::<Vec<_>>(),
        );
        for process in listed.processes.unwrap_or_default() {
            let mut row: BTreeMap<String, String> = listed.titles.iter().cloned().zip(process).collect();
            row.insert("SERVICE".to_owned(), container.service().to_owned());
            row.insert("#".to_owned(), container.number().to_string());
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    // The command is long: it stands last.
    titles.sort_by_key(|title| title == "CMD");
    let cell = |row: &BTreeMap<String, String>, title: &String| {
        row.get(title).cloned().unwrap_or_else(|| "-".to_owned())
    };
    let lines =
        rows.iter().map(|row| titles.iter().map(|title| cell(row, title)).collect::<Vec<_>>().join("\t"));
    let lines = std::iter::once(titles.join("\t")).chain(lines);
    output::print(&format::aligned(&lines.map(|line| line + "\n").collect::<String>()))
}

async fn port(context: &Context, args: Port) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let container = session.container(&args.service, args.index, false).await?;
    let wanted = args.protocol.to_lowercase();
    let fits = |port: &&minke_compose::plan::Port| {
        port.private_port == args.private_port && port.protocol == wanted && port.public_port != 0
    };
    match container.ports.iter().find(fits) {
        Some(port) if port.ip.contains(':') => output::line(&format!("[{}]:{}", port.ip, port.public_port)),
        Some(port) => output::line(&format!("{}:{}", port.ip, port.public_port)),
        None => Err(Failure::new(format!(
            "no port {}/{wanted} for container {}",
            args.private_port,
            container.name()
        ))),
    }
}
