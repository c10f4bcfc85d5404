//! `minke context ls`, `inspect`, `show`, `use` and `rm`.

use clap::Parser;
use serde_json::{json, value::RawValue};

use super::{load, store};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    command::{batch, inspect},
    config_file::edit,
    context::Context,
    contexts::{DEFAULT, Meta},
    failure::Failure,
    format::{
        self, Layout,
        contexts::{KIND, Listed},
    },
    output,
};

/// Flags of `context ls`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only show context names
    #[arg(short, long)]
    quiet: bool,
}

/// Flags of `context inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// The contexts
    names: Vec<String>,
}

/// `context show` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Show {}

/// Words of `context use`.
#[derive(Debug, Parser)]
pub(crate) struct Use {
    /// The context
    name: String,
}

/// Flags of `context rm`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Force the removal of a context in use
    #[arg(short, long)]
    force: bool,
    /// The contexts
    names: Vec<String>,
}

pub(crate) static LS: Verb = client_verb!(Ls, ls, Arity::None, "[OPTIONS]", "List contexts");

pub(crate) static INSPECT: Verb = client_verb!(
    Inspect,
    inspect_contexts,
    Arity::Any,
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Display detailed information on one or more contexts"
);

pub(crate) static SHOW: Verb =
    client_verb!(Show, show, Arity::None, "", "Print the name of the current context");

pub(crate) static USE: Verb =
    client_verb!(Use, make_current, Arity::Exactly(1), "CONTEXT", "Set the current docker context");

pub(crate) static RM: Verb =
    client_verb!(Rm, rm, Arity::AtLeast(1), "[OPTIONS] CONTEXT [CONTEXT...]", "Remove one or more contexts");

/// What stands for the folders of a context that is in none.
const IN_MEMORY: &str = "<IN MEMORY>";

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    let layout = Layout::choose(args.format.as_deref(), "", args.quiet, &KIND)?;
    let current = context.name();
    let mut all = vec![default_line(context)];
    all.extend(store(context)?.list()?.iter().map(line));
    if !all.iter().any(|line| line.name == current) {
        let error = load(context, &current).err().map(|failure| failure.message).unwrap_or_default();
        all.push(Listed { name: current.clone(), error, ..Listed::default() });
    }
    for line in &mut all {
        line.is_current = line.name == current;
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Vec<_> = all.iter().map(Listed::row).collect();
    output::print(&layout.render(&KIND, rows, format::terminal_width())?)?;
    warn_of_host("a context");
    Ok(())
}

fn default_line(context: &Context) -> Listed {
    let (host, error) = match load(context, DEFAULT).and_then(|(meta, _)| meta.endpoint()) {
        Ok(endpoint) => (endpoint.host, String::new()),
        Err(failure) => (String::new(), failure.message),
    };
    let description = "Current DOCKER_HOST based configuration".to_owned();
    Listed { name: DEFAULT.to_owned(), description, host, error, is_current: false }
}

fn line(meta: &Meta) -> Listed {
    let (host, error) = match meta.endpoint() {
        Ok(endpoint) => (endpoint.host, String::new()),
        Err(failure) => (String::new(), failure.message),
    };
    Listed {
        name: meta.name.clone(),
        description: meta.description().to_owned(),
        host,
        error,
        is_current: false,
    }
}

async fn inspect_contexts(context: &Context, args: Inspect) -> Result<(), Failure> {
    let names = if args.names.is_empty() { vec![context.name()] } else { args.names };
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        match described(context, name) {
            Ok(json) => found.push(json),
            Err(failure) => failures.push(failure.message),
        }
    }
    inspect::print(&found, failures, args.format.as_deref())
}

fn described(context: &Context, name: &str) -> Result<Box<RawValue>, Failure> {
    let (meta, tls) = load(context, name)?;
    let files: serde_json::Map<_, _> = tls
        .iter()
        .map(|(endpoint, files)| (endpoint.clone(), json!(files.keys().collect::<Vec<_>>())))
        .collect();
    let (meta_path, tls_path) = match name {
        DEFAULT => (IN_MEMORY.to_owned(), IN_MEMORY.to_owned()),
        name => {
            let store = store(context)?;
            (store.meta_folder(name).display().to_string(), store.tls_folder(name).display().to_string())
        }
    };
    let value = json!({
        "Name": meta.name,
        "Metadata": meta.metadata,
        "Endpoints": meta.endpoints,
        "TLSMaterial": files,
        "Storage": { "MetadataPath": meta_path, "TLSPath": tls_path },
    });
    serde_json::value::to_raw_value(&value).map_err(|error| Failure::doing("write a context", error))
}

async fn show(context: &Context, _: Show) -> Result<(), Failure> {
    output::line(&context.name())
}

async fn make_current(context: &Context, args: Use) -> Result<(), Failure> {
    let name = (args.name != DEFAULT).then_some(args.name.as_str());
    if let Some(name) = name {
        store(context)?.get(name)?;
    }
    remember(context, name)?;
    output::line(&args.name)?;
    output::note(&format!("Current context is now {:?}", args.name));
    if name.is_some() {
        warn_of_host(&format!("{:?}", args.name));
    }
    Ok(())
}

fn remember(context: &Context, name: Option<&str>) -> Result<(), Failure> {
    edit::current_context(context.config().path.as_deref(), name)
        .map_err(|error| Failure::doing("set the current context", error))
}

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let (store, current) = (store(context)?, context.name());
    batch::in_order(&args.names, async |name| {
        if name == DEFAULT {
            return Err(Failure::new("context \"default\" cannot be removed"));
        }
        if !args.force && !store.has(name) {
            return Err(Failure::new(format!("context {name:?} does not exist")));
        }
        if name == current {
            if !args.force {
                return Err(Failure::new(format!("context {name:?} is in use, set -f flag to force remove")));
            }
            remember(context, None)?;
        }
        store.remove(name)?;
        Ok(name.to_owned())
    })
    .await
}

/// A context has no effect where the environment names an engine.
fn warn_of_host(what: &str) {
    if std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        output::note(&format!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use {what}, either set the global --context \
             flag, or unset DOCKER_HOST environment variable."
        ));
    }
}
