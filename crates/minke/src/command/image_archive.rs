//! `minke load`, `save` and `import`: images as tar archives.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use clap::Parser;
use indicatif::ProgressBar;
use minke_docker_client::{Body, HeaderMap, Method, StreamResponse};
use tokio::io::AsyncWriteExt;

use super::images::{platform_query, split_tag};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
    progress::{Counted, Progress, Screen},
    terminal,
};

/// Flags of `load`.
#[derive(Debug, Parser)]
pub(crate) struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<PathBuf>,
    /// Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

/// Flags of `save`.
#[derive(Debug, Parser)]
pub(crate) struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// The images
    images: Vec<String>,
}

/// Flags of `import`.
#[derive(Debug, Parser)]
pub(crate) struct Import {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// A file, a URL, or - for standard input
    source: String,
    /// The image's name
    reference: Option<String>,
}

pub(crate) static LOAD: Verb =
    client_verb!(Load, load, Arity::None, "[OPTIONS]", "Load an image from a tar archive or STDIN");

pub(crate) static SAVE: Verb = client_verb!(
    Save,
    save,
    Arity::AtLeast(1),
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)"
);

pub(crate) static IMPORT: Verb = client_verb!(
    Import,
    import,
    Arity::Between(1, 2),
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image"
);

const TAR: &str = "application/x-tar";

async fn load(context: &Context, args: Load) -> Result<(), Failure> {
    // Progress is for eyes only.
    let quiet = args.quiet || !terminal::stdout_is_terminal();
    let mut progress = Progress::new(Screen::Stdout);
    let sent =
        |size| if quiet { ProgressBar::hidden() } else { progress.counter("archive", "Sending", size) };
    let body = match &args.input {
        Some(path) => {
            let file = open(path).await?;
            let size = file.metadata().await.ok().filter(Metadata::is_file).map(|meta| meta.len());
            Body::reader(TAR, Counted::new(file, sent(size)))
        }
        None if terminal::stdin_is_terminal() => {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        None => Body::reader(TAR, Counted::new(tokio::io::stdin(), sent(None))),
    };
    let mut query = vec![("quiet", u8::from(quiet).to_string())];
    query.extend(platform_query(args.platform.as_deref())?);
    let client = context.client()?;
    let response = client.stream(Method::POST, "/images/load", &query, body, HeaderMap::new()).await?;
    progress.follow(response, |_| {}).await
}

async fn open(path: &Path) -> Result<tokio::fs::File, Failure> {
    tokio::fs::File::open(path)
        .await
        .map_err(|error| Failure::doing(format!("open {}", path.display()), error))
}

async fn save(context: &Context, args: Save) -> Result<(), Failure> {
    let mut query: Vec<_> = args.images.iter().map(|image| ("names", image.clone())).collect();
    query.extend(platform_query(args.platform.as_deref())?);
    write_stream(args.output.as_deref(), "save", async || {
        Ok(context
            .client()?
            .stream(Method::GET, "/images/get", &query, Body::Empty, HeaderMap::new())
            .await?)
    })
    .await
}

/// Writes an answer to standard output, or to a file that takes its name only when it is complete.
///
/// # Errors
/// When standard output is a terminal, or writing fails.
pub(super) async fn write_stream(
    path: Option<&Path>,
    verb: &str,
    ask: impl AsyncFn() -> Result<StreamResponse, Failure>,
) -> Result<(), Failure> {
    let Some(path) = path else {
        if terminal::stdout_is_terminal() {
            return Err(Failure::new(format!(
                "cowardly refusing to {verb} to a terminal. Use the -o flag or redirect"
            )));
        }
        let mut body = ask().await?.body;
        let mut stdout = tokio::io::stdout();
        tokio::io::copy(&mut body, &mut stdout).await.map_err(output::lost)?;
        return stdout.flush().await.map_err(output::lost);
    };
    let failed = |error: io::Error| Failure::doing(format!("write {}", path.display()), error);
    if let Ok(meta) = fs::metadata(path) {
        if meta.is_dir() {
            return Err(Failure::new(format!("write {}: it is a directory", path.display())));
        }
        if !meta.is_file() {
            // A device or a pipe is written as it is.
            let mut body = ask().await?.body;
            let mut file = tokio::fs::OpenOptions::new().write(true).open(path).await.map_err(failed)?;
            tokio::io::copy(&mut body, &mut file).await.map_err(failed)?;
            return file.flush().await.map_err(failed);
        }
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".unfinished-{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let mut body = ask().await?.body;
    let written = async {
        let mut file = tokio::fs::File::create(&unfinished).await?;
        tokio::io::copy(&mut body, &mut file).await?;
        file.flush().await?;
        fs::rename(&unfinished, path)
    };
    written.await.map_err(|error| {
        // Nothing half-done is left behind.
        let _ = fs::remove_file(&unfinished);
        failed(error)
    })
}

async fn import(context: &Context, args: Import) -> Result<(), Failure> {
    let is_url = args.source.contains("://");
    let body = match args.source.as_str() {
        _ if is_url => Body::Empty,
        "-" => Body::reader(TAR, tokio::io::stdin()),
        path => Body::reader(TAR, open(Path::new(path)).await?),
    };
    let mut query = vec![("fromSrc", if is_url { args.source.clone() } else { "-".to_owned() })];
    if let Some(reference) = &args.reference {
        let (repository, tag) = split_tag(reference);
        query.push(("repo", repository.to_owned()));
        query.push(("tag", tag.to_owned()));
    }
    query.extend(args.message.map(|message| ("message", message)));
    query.extend(args.change.iter().map(|change| ("changes", change.clone())));
    query.extend(args.platform.map(|platform| ("platform", platform)));
    let client = context.client()?;
    let response = client.stream(Method::POST, "/images/create", &query, body, HeaderMap::new()).await?;
    Progress::new(Screen::Stdout).follow(response, |_| {}).await
}
