//! `minke context export` and `import`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
};

use clap::Parser;

use super::{check_new, load, store};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    contexts::archive,
    failure::Failure,
    output, terminal,
};

/// Words of `context export`.
#[derive(Debug, Parser)]
pub(crate) struct Export {
    /// The context
    name: String,
    /// Where to; - is standard output
    file: Option<String>,
}

/// Words of `context import`.
#[derive(Debug, Parser)]
pub(crate) struct Import {
    /// The context's name
    name: String,
    /// Where from; - is standard input
    file: String,
}

pub(crate) static EXPORT: Verb = client_verb!(
    Export,
    export,
    Arity::Between(1, 2),
    "CONTEXT [FILE|-]",
    "Export a context to a tar archive FILE or a tar stream on STDOUT."
);

pub(crate) static IMPORT: Verb =
    client_verb!(Import, import, Arity::Exactly(2), "CONTEXT FILE|-", "Import a context from a tar file");

async fn export(context: &Context, args: Export) -> Result<(), Failure> {
    let (meta, tls) = load(context, &args.name)?;
    let tar = archive::pack(&meta, &tls)?;
    let file = args.file.unwrap_or_else(|| format!("{}.dockercontext", args.name));
    if file == "-" {
        if terminal::stdout_is_terminal() {
            return Err(Failure::new("cowardly refusing to export to a terminal, specify a file path"));
        }
        return io::stdout().lock().write_all(&tar).map_err(output::lost);
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    let written = written.and_then(|mut file| file.write_all(&tar));
    written.map_err(|error| Failure::doing(format!("write {file}"), error))?;
    output::note(&format!("Written file {file:?}"));
    Ok(())
}

async fn import(context: &Context, args: Import) -> Result<(), Failure> {
    let store = store(context)?;
    check_new(&store, &args.name)?;
    let (meta, tls) = match args.file.as_str() {
        "-" => archive::unpack(&args.name, io::stdin().lock())?,
        file => {
            let opened = File::open(file).map_err(|error| Failure::doing(format!("read {file}"), error))?;
            archive::unpack(&args.name, opened)?
        }
    };
    store.put(&meta, &tls)?;
    output::line(&args.name)?;
    output::note(&format!("Successfully imported context {:?}", args.name));
    Ok(())
}
