//! COPY, ADD and WORKDIR: files onto the layers so far.

use std::{
    collections::HashSet,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use minke_dockerfile::evaluate::{CopySource, CopyStep, MakeDirectory};
use minke_engine::{Workspace, owner_in};
use minke_image::archive::{self, AbsoluteNames, Parents, UnpackOptions};
use minke_kernel::path::Root;
use minke_model::Digest;
use rustix::fs::OFlags;

use super::{Claim, Files, State, Work};
use crate::{
    BuildError,
    cache::{Key, failed},
    copy::Copier,
    exclude::{Exclude, Ignored},
    files::{ContentHash, Match, matches, matches_below, unreadable},
    remote::Download,
    walk::{Stop, Walk, apart},
};

/// A source that is here.
#[derive(Clone)]
enum Input {
    Files { files: Files, path: String, parents: Option<String>, must_exist: bool, unpack: bool },
    Download { file: Arc<Download>, name: String, unpack: bool },
    Inline { name: String, content: String },
}

/// Everything that the blocking part of a copy needs.
struct Job {
    inputs: Vec<Input>,
    copy: CopyStep,
    exclude: Exclude,
    epoch: Option<i64>,
}

impl Work<'_> {
    pub(super) async fn copy(&self, copy: &CopyStep, state: State) -> Result<(bool, State), BuildError> {
        let mut inputs = Vec::new();
        for source in &copy.sources {
            inputs.push(self.input(source).await?);
        }
        let job = Arc::new(Job {
            inputs,
            copy: copy.clone(),
            exclude: Exclude::new(&copy.exclude)?,
            epoch: self.build.request.source_date_epoch,
        });
        let base = key_words(copy);
        let key = {
            let (job, state_key) = (Arc::clone(&job), state.key);
            let digest = apart(move |stop| job.content(stop)).await?;
            Key::new("copy").and(base).and(state_key.hex()).and(digest.hex()).digest()
        };
        let _turn = match self.claim(&key).await {
            Claim::Done(found) => return Ok((true, found)),
            Claim::Ours(turn) => turn,
        };
        self.node.start();
        for input in &job.inputs {
            if let Input::Download { file, .. } = input {
                file.bring(&self.build.engine, &self.build.cache.urls).await?;
            }
        }
        let workspace = self.workspace()?;
        let lower = self.build.lower(&state.layers)?;
        {
            let workspace = Arc::clone(&workspace);
            apart(move |stop| job.copy(&workspace, &lower, stop)).await?;
        }
        Ok((false, self.commit(workspace, key, &state).await?))
    }

    async fn input(&self, source: &CopySource) -> Result<Input, BuildError> {
        Ok(match source {
            CopySource::Path(path) => Input::Files {
                files: self.build.files(&path.from).await?,
                path: path.path.clone(),
                parents: path.parents.clone(),
                must_exist: path.must_exist,
                unpack: path.unpack,
            },
            CopySource::Http(http) => {
                self.node.start();
                let file =
                    self.build.downloads.http(&self.build.engine, &self.build.cache.urls, http).await?;
                Input::Download { file, name: http.file_name.clone(), unpack: http.unpack }
            }
            CopySource::Git(git) => {
                let repositories = self.build.repositories();
                let commit = repositories.commit(git).await?;
                let tree = repositories.tree(git, &commit, self.node).await?;
                Input::Files {
                    files: Files::of_tree(&tree, Ignored::default())?,
                    path: "/".to_owned(),
                    parents: None,
                    must_exist: true,
                    unpack: false,
                }
            }
            CopySource::Inline { name, content } => {
                Input::Inline { name: name.clone(), content: content.clone() }
            }
        })
    }

    pub(super) async fn make_directory(
        &self,
        directory: &MakeDirectory,
        state: State,
    ) -> Result<(bool, State), BuildError> {
        let key = Key::new("directory").and(format!("{directory:?}")).and(state.key.hex()).digest();
        let _turn = match self.claim(&key).await {
            Claim::Done(found) => return Ok((true, found)),
            Claim::Ours(turn) => turn,
        };
        self.node.start();
        let workspace = self.workspace()?;
        let lower = self.build.lower(&state.layers)?;
        let epoch = self.build.request.source_date_epoch;
        {
            let (workspace, directory) = (Arc::clone(&workspace), directory.clone());
            let made = tokio::task::spawn_blocking(move || {
                let to = workspace
                    .writable(&lower)
                    .map_err(|error| super::run::local("open the layers", &error))?;
                let owner = owner(&to, Some(directory.user.as_str()).filter(|user| !user.is_empty()))?;
                let links = Default::default();
                let copier = Copier { to: &to, owner, chmod: None, whole: false, made_at: epoch, links };
                copier.directory(&directory.path).map(drop)
            });
            made.await.map_err(|error| failed(&error))??;
        }
        Ok((false, self.commit(workspace, key, &state).await?))
    }
}

/// The step's words without where its files come from: their content counts.
pub(crate) fn key_words(copy: &CopyStep) -> String {
    let CopyStep { is_add, destination, chown, chmod, exclude, link, sources } = copy;
    let sources: Vec<String> = sources
        .iter()
        .map(|source| match source {
            CopySource::Path(path) => format!("path {:?} {:?} {}", path.path, path.parents, path.unpack),
            CopySource::Http(http) => format!("http {:?} {}", http.file_name, http.unpack),
            // Not by which name it was asked for.
            CopySource::Git(_) => "git".to_owned(),
            CopySource::Inline { name, content } => format!("inline {name:?} {content:?}"),
        })
        .collect();
    format!("{is_add} {destination:?} {chown:?} {chmod:?} {exclude:?} {link} {sources:?}")
}

/// A digest of the context's files that a step copies, for its definition.
pub(crate) fn context_content(files: &Files, copy: &CopyStep, stop: &Stop) -> Result<Digest, BuildError> {
    let paths = copy.sources.iter().filter_map(|source| match source {
        CopySource::Path(path) if path.from == minke_dockerfile::plan::Origin::Context => Some(path),
        _ => None,
    });
    let inputs = paths.map(|path| Input::Files {
        files: files.clone(),
        path: path.path.clone(),
        parents: path.parents.clone(),
        must_exist: false,
        unpack: path.unpack,
    });
    let job = Job {
        inputs: inputs.collect(),
        copy: copy.clone(),
        exclude: Exclude::new(&copy.exclude)?,
        epoch: None,
    };
    job.content(stop)
}

impl Job {
    /// What the inputs have.
    fn content(&self, stop: &Stop) -> Result<Digest, BuildError> {
        let mut key = Key::new("content");
        for input in &self.inputs {
            match input {
                Input::Files { files, path, parents, must_exist, .. } => {
                    for found in self.found(files, path, parents.as_deref(), *must_exist, stop)? {
                        let excluded = self.excluded(files, &found);
                        let mut hash = ContentHash::new(Walk::new(&excluded, stop), files.lower.is_some());
                        hash.add(&files.root, &found)?;
                        key = key.and(hash.finish().hex());
                    }
                }
                Input::Download { file, .. } => key = key.and(file.digest.hex()),
                Input::Inline { .. } => {}
            }
        }
        Ok(key.digest())
    }

    fn found(
        &self,
        files: &Files,
        path: &str,
        parents: Option<&str>,
        must_exist: bool,
        stop: &Stop,
    ) -> Result<Vec<Match>, BuildError> {
        let excluded = |path: &Path| files.ignored.is_excluded(path);
        let walk = Walk::new(&excluded, stop);
        let found = match parents {
            Some(below) => matches_below(&files.root, path, below, walk)?,
            None => matches(&files.root, path, walk)?,
        };
        if found.is_empty() && must_exist {
            let of = if files.lower.is_some() { "stage" } else { "context" };
            let path = match parents {
                Some(below) => format!("{}/{}", path.trim_end_matches('/'), below.trim_start_matches('/')),
                None => path.to_owned(),
            };
            return Err(BuildError::Invalid(format!(
                "failed to compute cache key: failed to calculate checksum of ref {of}: {path:?}: not found"
            )));
        }
        Ok(found)
    }

    /// Which files below a match are left out.
    fn excluded<'a>(&'a self, files: &'a Files, found: &'a Match) -> impl Fn(&Path) -> bool + Sync + 'a {
        move |path: &Path| files.ignored.is_excluded(path) || self.exclude.is_excluded(path, &found.path)
    }

    fn copy(&self, workspace: &Workspace, lower: &[PathBuf], stop: &Stop) -> Result<(), BuildError> {
        let lower = if self.copy.link { &[] } else { lower };
        let to = workspace.writable(lower).map_err(|error| super::run::local("open the layers", &error))?;
        let accounts = match self.copy.link {
            true => None,
            false => Some(&to),
        };
        let asked = self.copy.chown.as_deref();
        let owner = match accounts {
            Some(root) => owner(root, asked)?,
            None => linked_owner(asked)?,
        };
        let mut matched = Vec::new();
        for input in &self.inputs {
            if let Input::Files { files, path, parents, must_exist, .. } = input {
                matched.push(self.found(files, path, parents.as_deref(), *must_exist, stop)?);
            } else {
                matched.push(Vec::new());
            }
        }
        let count: usize = matched.iter().map(Vec::len).sum::<usize>()
            + self.inputs.iter().filter(|i| !i.is_files()).count();
        let place = Place { job: self, to: &to, owner, stop };
        if count == 0 && self.inputs.iter().any(Input::keeps_parents) {
            place.copier(owner).directory(&self.copy.destination)?;
        }
        for (input, matched) in self.inputs.iter().zip(matched) {
            place.put(input, matched)?;
        }
        Ok(())
    }
}

impl Input {
    fn keeps_parents(&self) -> bool {
        matches!(self, Self::Files { parents: Some(_), .. })
    }

    fn is_files(&self) -> bool {
        matches!(self, Self::Files { .. })
    }
}

/// Where a step's files go.
struct Place<'a> {
    job: &'a Job,
    to: &'a Root,
    owner: Option<(u32, u32)>,
    stop: &'a Stop,
}

impl Place<'_> {
    /// Whether the destination is a directory, in which a file gets its name. Each file is looked at by itself, as in BuildKit: what
    /// was copied before it may have made one, and several files onto a name that is none replace each other.
    fn is_directory(&self) -> bool {
        let destination = self.job.copy.destination.as_str();
        let there = || self.to.open_at(Path::new(destination), OFlags::PATH | OFlags::DIRECTORY).is_ok();
        destination.ends_with('/') || destination.ends_with("/.") || there()
    }

    fn copier(&self, owner: Option<(u32, u32)>) -> Copier<'_> {
        Copier {
            to: self.to,
            owner,
            chmod: self.job.copy.chmod.as_ref(),
            whole: false,
            made_at: self.job.epoch,
            links: Default::default(),
        }
    }

    fn put(&self, input: &Input, matched: Vec<Match>) -> Result<(), BuildError> {
        let destination = self.job.copy.destination.clone();
        // What a client's files belong to on its side means nothing here.
        let owner_of = |files: &Files, owner: Option<(u32, u32)>| match files.lower {
            Some(_) => owner,
            None => Some(owner.unwrap_or((0, 0))),
        };
        match input {
            Input::Files { files, parents: Some(_), .. } => {
                self.put_with_parents(files, &matched, owner_of(files, self.owner))
            }
            Input::Files { files, unpack, .. } => {
                for found in &matched {
                    if *unpack && self.unpack(files, found, &destination)? {
                        continue;
                    }
                    let excluded = self.job.excluded(files, found);
                    // Files are one file under two names within a match only.
                    let mut copier = self.copier(owner_of(files, self.owner));
                    let walk = Walk::new(&excluded, self.stop);
                    copier.copy(&files.root, found, &destination, self.is_directory(), walk)?;
                }
                Ok(())
            }
            Input::Download { file, name, unpack } => {
                let mut source = file.open().map_err(|error| unreadable(Path::new(name), &error))?;
                if *unpack && is_archive(&mut source)? {
                    return self.unpack_into(source, &destination);
                }
                let (into, owner) = (self.is_directory(), Some(self.owner.unwrap_or((0, 0))));
                let copier = self.copier(owner);
                let mode = copier.chmod.map_or(0o600, |chmod| chmod.apply(0o600, false));
                let place = copier.place(&destination, into.then_some(Path::new(name)))?;
                copier.open(&place).and_then(|(directory, name)| {
                    file.write_to(&directory, &name, owner, mode, self.job.epoch)
                        .map_err(|error| super::run::local("write a download", &error))
                })
            }
            Input::Inline { name, content } => {
                let (into, owner) = (self.is_directory(), Some(self.owner.unwrap_or((0, 0))));
                self.copier(owner).write(name, content.as_bytes(), &destination, into)
            }
        }
    }

    /// `--parents`: each match goes its own way below the destination, and the directories on it are as those of the source.
    fn put_with_parents(
        &self,
        files: &Files,
        matched: &[Match],
        owner: Option<(u32, u32)>,
    ) -> Result<(), BuildError> {
        let top = self.job.copy.destination.trim_end_matches('/');
        let below = |way: &Path| format!("{top}/{}", way.display());
        // Those that one match has made are right for the others.
        let mut done = HashSet::new();
        for found in matched {
            // The pivot is where the destination is, and gives it nothing.
            let whole = !found.name.as_os_str().is_empty();
            let mut copier = Copier { whole, ..self.copier(owner) };
            copier.directory(&below(Path::new("")))?;
            for parent in found.parents() {
                let source = found.pivot.join(parent);
                if !done.contains(&source) {
                    copier.parent(&files.root, &source, &below(parent))?;
                    done.insert(source);
                }
            }
            let path = Path::new("/").join(&found.path);
            let is_directory = files.root.open_at(&path, OFlags::PATH | OFlags::DIRECTORY).is_ok();
            let way = if is_directory { Some(found.name.as_path()) } else { found.name.parent() };
            let last = Match { name: found.name.file_name().unwrap_or_default().into(), ..found.clone() };
            let (destination, excluded) =
                (below(way.unwrap_or(Path::new(""))), self.job.excluded(files, found));
            let walk = Walk::new(&excluded, self.stop);
            copier.copy(&files.root, &last, &destination, !is_directory, walk)?;
            done.insert(found.pivot.join(&found.name));
        }
        Ok(())
    }

    /// Unpacks a local archive; `false` when it is none.
    fn unpack(&self, files: &Files, found: &Match, destination: &str) -> Result<bool, BuildError> {
        let path = Path::new("/").join(&found.path);
        let opened = files.root.open_at(&path, OFlags::RDONLY | OFlags::NONBLOCK);
        let mut source = File::from(opened.map_err(|error| unreadable(&found.path, &error))?);
        let is_file = source.metadata().is_ok_and(|metadata| metadata.is_file());
        if !is_file || !is_archive(&mut source)? {
            return Ok(false);
        }
        self.unpack_into(source, destination).map(|()| true)
    }

    fn unpack_into(&self, source: File, destination: &str) -> Result<(), BuildError> {
        let copier = Copier {
            to: self.to,
            owner: self.owner,
            chmod: None,
            whole: false,
            made_at: self.job.epoch,
            links: Default::default(),
        };
        copier.directory(destination)?;
        let into = self.to.open_at(Path::new(destination), OFlags::RDONLY | OFlags::DIRECTORY);
        let into = into.map_err(|error| super::run::local("open the destination", &error))?;
        let options = UnpackOptions {
            owner: self.owner,
            absolute_names: AbsoluteNames::UnderRoot,
            parents: Parents::InRoot,
            keep_root: true,
            ..UnpackOptions::default()
        };
        let unpacked = archive::decompress(source)
            .map_err(archive::UnpackError::Read)
            .and_then(|source| archive::unpack(self.stop.reading(source), into.as_fd(), &options));
        match unpacked {
            Ok(_) => Ok(()),
            Err(error) => match failed(&error) {
                BuildError::Failed(text) => Err(BuildError::Invalid(format!("unpack an archive: {text}"))),
                error => Err(error),
            },
        }
    }
}

/// Whether a file is a tar, plain or compressed. It is read from its beginning afterwards.
fn is_archive(file: &mut File) -> Result<bool, BuildError> {
    let read = |file: &mut File| -> std::io::Result<bool> {
        let mut block = Vec::new();
        let source = archive::decompress(file.try_clone()?)?;
        let read = source.take(512).read_to_end(&mut block);
        file.seek(SeekFrom::Start(0))?;
        Ok(read.is_ok() && archive::is_header(&block))
    };
    read(file).map_err(|error| super::run::local("look at an archive", &error))
}

/// `--chown`, and the user of a WORKDIR: names are the image's own.
fn owner(root: &Root, asked: Option<&str>) -> Result<Option<(u32, u32)>, BuildError> {
    Ok(asked.map(|asked| owner_in(root, asked)).transpose()?)
}

/// With `--link` there is no image to look names up in.
fn linked_owner(asked: Option<&str>) -> Result<Option<(u32, u32)>, BuildError> {
    let Some(asked) = asked else { return Ok(None) };
    let number = |text: &str| match text {
        "root" => Ok(0),
        text => text
            .parse::<u32>()
            .map_err(|_| BuildError::Failed(format!("--chown={asked} of linked files is no number"))),
    };
    let (user, group) = asked.split_once(':').unwrap_or((asked, asked));
    Ok(Some((number(user)?, number(group)?)))
}
