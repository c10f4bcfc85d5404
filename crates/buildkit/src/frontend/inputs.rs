//! What a build needs of its client, gathered: the Dockerfile, folders, secrets, agents, credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use minke_build::{
    BuildRequest, CacheEndpoint, Client, Context, LinkedBuild, NamedContext, Subdirectory,
    lower_case_dockerfile, read_dockerfile,
};

use super::attributes::{Attributes, Files, Named};
use super::sources::Source;
use super::{links, sources};
use crate::builder::Builder;
use crate::builds::Builds;
use crate::control::solve;
use crate::files::slots::Slots;
use crate::grpc::{Code, Status};
use crate::pb::control::{CacheOptionsEntry, SolveRequest};
use crate::progress::{DEFINITION, Feed};
use crate::session::content::Stores;
use crate::session::files::{Folder, WithIgnoreFile};
use crate::session::keys::Keys;
use crate::session::{Session, Sessions, upload};

/// The most bytes of a Dockerfile, and of its `.dockerignore`.
const DOCKERFILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The input that the Dockerfile is in, where it is in one.
const DOCKERFILE: &str = "dockerfile";

/// Where a build's files come from.
pub(crate) struct Sources<'a> {
    pub(crate) sessions: &'a Sessions,
    /// The build's own session.
    pub(crate) session: &'a Arc<Session>,
    pub(crate) slots: &'a Slots,
    pub(crate) feed: &'a Feed,
    pub(crate) posted: Option<Arc<dyn Context>>,
    pub(crate) builder: &'a dyn Builder,
    pub(crate) builds: &'a Builds,
    /// How many other builds it is built on, at any depth.
    pub(crate) links: &'a AtomicUsize,
}

/// The most other builds that one is built on.
const LINKS: usize = 100;

/// Puts in what a solve says beside its attributes, but for where things go.
pub(crate) fn of_solve(request: &mut BuildRequest, solve: &SolveRequest) {
    if request.cache_from.is_empty() {
        let imports = solve.cache.iter().flat_map(|cache| cache.imports.iter().cloned());
        request.cache_from = imports.map(endpoint).collect();
    }
    request.entitlements.clone_from(&solve.entitlements);
}

/// A cache elsewhere.
pub(crate) fn endpoint(entry: CacheOptionsEntry) -> CacheEndpoint {
    CacheEndpoint { kind: entry.kind, attributes: entry.attrs }
}

/// Gathers it.
///
/// # Errors
/// When the client hasn't what it said, or the Dockerfile isn't there.
pub(crate) async fn gather(
    sources: &Sources<'_>,
    attributes: &Attributes,
) -> Result<(BuildRequest, Client), Status> {
    let mut request = attributes.request.clone();
    let mut ignore_file = None;
    let beside = attributes.dockerfile.as_ref().filter(|_| !attributes.inputs.contains_key(DOCKERFILE));
    if let Some(name) = beside {
        let (text, ignore) =
            dockerfile(&sources.folder(attributes, name).await?, &request.dockerfile).await?;
        sources.feed.set_source(&request.dockerfile, Bytes::from(text.clone()));
        request.dockerfile_text = Some(text);
        ignore_file = Some(ignore);
    }
    let mut client = client(sources.session, sources.feed);
    if let Some(source) = sources.source(attributes, DOCKERFILE, &client)? {
        let text = dockerfile_in(&*source, &request.dockerfile).await?;
        sources.feed.set_source(&request.dockerfile, Bytes::from(text.clone()));
        request.dockerfile_text = Some(text);
    }
    client.context = match &attributes.context {
        Files::Local(name) if attributes.inputs.contains_key(name) => {
            let source = sources.source(attributes, name, &client)?;
            Some(source.ok_or_else(solve::no_graphs)?)
        }
        Files::Local(name) => {
            let inner = sources.folder(attributes, name).await?;
            Some(match ignore_file {
                Some(content) => Arc::new(WithIgnoreFile {
                    inner,
                    name: format!("{}.dockerignore", request.dockerfile),
                    content,
                }),
                None => Arc::new(inner),
            })
        }
        Files::Upload(id) => {
            let step = sources.feed.step("[internal] load remote build context");
            let context = sources
                .builder
                .unpack(upload::pull(sources.session, id)?)
                .await
                .map_err(|error| Status::invalid(error.to_string()))?;
            step.done();
            Some(context)
        }
        Files::Remote(url) => {
            let context = sources.builder.remote(url, &client, request.keeps_git_dir());
            let context = context.map_err(|error| Status::invalid(error.to_string()))?;
            request.remote = Some(url.clone());
            Some(context)
        }
        Files::Posted => sources.posted.clone(),
    };
    let is_elsewhere = match &attributes.context {
        Files::Local(name) => attributes.inputs.contains_key(name),
        Files::Upload(_) | Files::Remote(_) | Files::Posted => true,
    };
    if let Some(directory) = attributes.subdirectory.as_ref().filter(|_| is_elsewhere)
        && let Some(whole) = client.context.take()
    {
        // The Dockerfile isn't looked for there.
        if request.dockerfile_text.is_none() {
            request.dockerfile_text = Some(dockerfile_in(&*whole, &request.dockerfile).await?);
        }
        client.context = Some(Arc::new(Subdirectory::new(whole, directory)));
    }
    for (name, named) in &attributes.named {
        request.named_contexts.insert(
            name.clone(),
            match named {
                Named::Local(folder) => {
                    NamedContext::Files(Arc::new(sources.folder(attributes, folder).await?))
                }
                Named::Image(reference) => NamedContext::Image(reference.clone()),
                Named::Layout(store, digest) => {
                    NamedContext::Layout { store: store.clone(), digest: *digest }
                }
                Named::Url(url) => NamedContext::Url(url.clone()),
                Named::Input(input) => match attributes.inputs.get(input).and_then(sources::read) {
                    Some(source) => NamedContext::Files(sources.open(&source, &client)?),
                    None => NamedContext::Build(sources.linked(attributes, input).await?),
                },
            },
        );
    }
    Ok((request, client))
}

/// What a session's client has.
pub(crate) fn client(session: &Arc<Session>, feed: &Feed) -> Client {
    let keys = Arc::new(Keys(session.clone()));
    Client {
        context: None,
        secrets: Some(keys.clone()),
        ssh: Some(keys.clone()),
        auth: Some(keys),
        stores: Some(Arc::new(Stores(session.clone()))),
        progress: Arc::new(feed.clone()),
    }
}

/// The Dockerfile of a context.
pub(crate) async fn dockerfile_in(context: &dyn Context, name: &str) -> Result<Vec<u8>, Status> {
    read_dockerfile(context, name).await.map_err(|error| Status::unknown(error.to_string()))
}

impl Sources<'_> {
    /// The source elsewhere that an input is; `None` where there is no such input.
    fn source(
        &self,
        attributes: &Attributes,
        input: &str,
        client: &Client,
    ) -> Result<Option<Arc<dyn Context>>, Status> {
        let Some(graph) = attributes.inputs.get(input) else { return Ok(None) };
        self.open(&sources::read(graph).ok_or_else(solve::no_graphs)?, client).map(Some)
    }

    fn open(&self, source: &Source, client: &Client) -> Result<Arc<dyn Context>, Status> {
        self.builder.source(source, client).map_err(|error| Status::invalid(error.to_string()))
    }

    async fn folder(&self, attributes: &Attributes, name: &str) -> Result<Folder, Status> {
        let session = match attributes.sessions.get(name) {
            Some(id) => self.sessions.get(id).await?,
            None => self.session.clone(),
        };
        Ok(Folder { session, name: name.to_owned(), slots: self.slots.clone(), feed: self.feed.clone() })
    }

    /// The build whose result an input is. What it does is told to those who watch it.
    async fn linked(&self, attributes: &Attributes, input: &str) -> Result<Arc<LinkedBuild>, Status> {
        if self.links.fetch_add(1, Ordering::Relaxed) >= LINKS {
            return Err(Status::invalid(format!("a build on more than {LINKS} other builds")));
        }
        let graph = attributes.inputs.get(input);
        let graph = graph.ok_or_else(|| Status::invalid(format!("there is no input {input:?}")))?;
        let reference = links::reference(graph).ok_or_else(solve::no_graphs)?;
        let (build, attributes) = self.builds.result(&reference).await?;
        let session = self.sessions.get(&build.request.session).await?;
        let sources = Sources { session: &session, feed: &build.feed, posted: build.files(), ..*self };
        let (mut request, client) = Box::pin(gather(&sources, &attributes)).await?;
        of_solve(&mut request, &build.request);
        Ok(Arc::new(LinkedBuild { request, client }))
    }
}

/// The Dockerfile, and the `.dockerignore` beside it that is for it alone.
async fn dockerfile(folder: &Folder, name: &str) -> Result<(Vec<u8>, Option<Vec<u8>>), Status> {
    let ignore = format!("{name}.dockerignore");
    let title = format!("{DEFINITION} from {name}");
    let lower = lower_case_dockerfile(name);
    let names: Vec<&str> = [name, &ignore].into_iter().chain(lower.as_deref()).collect();
    let mut files = folder.read(&names, DOCKERFILE_LIMIT, &title).await?.into_iter();
    let mut next = || files.next().flatten();
    let (dockerfile, ignore) = (next(), next());
    let dockerfile = dockerfile.or_else(next).ok_or_else(|| {
        let text = format!("failed to read dockerfile: open {name}: no such file or directory");
        Status::new(Code::Unknown, text)
    })?;
    Ok((dockerfile, ignore))
}
