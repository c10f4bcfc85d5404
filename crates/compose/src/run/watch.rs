//! `develop.watch`: while files of the project change, containers are kept up to date.
//!
//! ```text
//!   inotify ──▶ paths ──(quiet for a moment)──▶ triggers: which rules fit ──▶ copy, remove, rebuild, restart, exec
//! ```
//! Which rules fit is decided by [`actions`], which touches nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use minke_docker_client::{Body, Client};
use tokio::time::{Instant, timeout_at};

use super::{error::RunError, exec, ignore::Ignore, inotify::Watcher};
use crate::model::{Hook, Project, Service, Trigger};

/// Editors write a file in several steps, and a checkout many files.
const QUIET: Duration = Duration::from_millis(300);

/// However busy it is, so long at most.
const LONGEST: Duration = Duration::from_secs(3);

/// What a change of files asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Actions {
    /// By service: files of the host and where they go.
    pub copies: BTreeMap<String, BTreeMap<PathBuf, String>>,
    /// Services whose image is built again, and whose containers are made anew.
    pub rebuilds: BTreeSet<String>,
    /// Services whose containers are restarted once the files are there.
    pub restarts: BTreeSet<String>,
    /// What runs in the containers of a service once the files are there.
    pub execs: BTreeMap<String, Vec<Hook>>,
}

/// A rule with its patterns.
#[derive(Debug, Clone)]
pub struct Rule {
    service: String,
    trigger: Trigger,
    include: Option<Ignore>,
    ignore: Ignore,
}

/// What is never a source file: version control, and what editors write beside a file.
const NEVER: [&str; 8] =
    ["**/.git", "**/.hg", "**/.svn", "**/.idea", "**/*~", "**/*.sw?", "**/.#*", "**/4913"];

/// The rules of these services (all where none is named).
///
/// # Errors
/// When a build context's ignore file can't be read.
pub fn rules(project: &Project, named: &[String]) -> Result<Vec<Rule>, RunError> {
    let mut rules = Vec::new();
    for service in project.services.values() {
        if !named.is_empty() && !named.contains(&service.name) {
            continue;
        }
        for trigger in service.develop.iter().flat_map(|develop| &develop.watch) {
            let failed = |source| RunError::Patterns { service: service.name.clone(), source };
            let mut patterns = dockerignore(service, Path::new(&trigger.path))?;
            patterns.extend(trigger.ignore.iter().cloned());
            patterns.extend(NEVER.map(str::to_owned));
            let ignore = Ignore::of(patterns).map_err(failed)?;
            let include = &trigger.include;
            let include = (!include.is_empty()).then(|| Ignore::of(include)).transpose().map_err(failed)?;
            rules.push(Rule { service: service.name.clone(), trigger: trigger.clone(), include, ignore });
        }
    }
    Ok(rules)
}

/// What the build leaves out is not watched either, where the watched path is the build's context.
fn dockerignore(service: &Service, watched: &Path) -> Result<Vec<String>, RunError> {
    match &service.build {
        Some(build) if Path::new(&build.context) == watched => {
            Ok(Ignore::patterns(&watched.join(".dockerignore"))?.unwrap_or_default())
        }
        _ => Ok(Vec::new()),
    }
}

impl Rule {
    /// The path below the rule's own; none where the rule is not about it.
    fn below<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let below = path.strip_prefix(&self.trigger.path).ok()?;
        let taken = self.include.as_ref().is_none_or(|include| include.excludes(below));
        (taken && !self.ignore.excludes(below)).then_some(below)
    }
}

/// What changed paths ask for.
pub fn actions(rules: &[Rule], changed: &BTreeSet<PathBuf>) -> Actions {
    let mut actions = Actions::default();
    for rule in rules {
        let trigger = &rule.trigger;
        let mut fits = false;
        for path in changed {
            let Some(below) = rule.below(path) else { continue };
            fits = true;
            if trigger.action.starts_with("sync") {
                let target = match below.as_os_str().is_empty() {
                    true => trigger.target.clone(),
                    false => format!("{}/{}", trigger.target.trim_end_matches('/'), below.display()),
                };
                actions.copies.entry(rule.service.clone()).or_default().insert(path.clone(), target);
            }
        }
        if !fits {
            continue;
        }
        match trigger.action.as_str() {
            "rebuild" => drop(actions.rebuilds.insert(rule.service.clone())),
            "restart" | "sync+restart" => drop(actions.restarts.insert(rule.service.clone())),
            "sync+exec" => actions.execs.entry(rule.service.clone()).or_default().push(trigger.exec.clone()),
            _ => {}
        }
    }
    // What is made anew has all the rest already.
    for service in &actions.rebuilds {
        actions.copies.remove(service);
        actions.restarts.remove(service);
        actions.execs.remove(service);
    }
    actions
}

/// The files of rules that want to be copied once when the watch begins.
pub fn initial(rules: &[Rule]) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for rule in rules.iter().filter(|rule| rule.trigger.initial_sync) {
        let mut folders = vec![PathBuf::from(&rule.trigger.path)];
        while let Some(path) = folders.pop() {
            if rule.ignore.excludes(path.strip_prefix(&rule.trigger.path).unwrap_or(&path)) {
                continue;
            }
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                folders.push(entry.path());
            }
            if !path.is_dir() {
                paths.insert(path);
            }
        }
    }
    paths
}

/// Folders that are watched for rules.
#[derive(Debug)]
pub struct Watch {
    watcher: Watcher,
    rules: Vec<Rule>,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When a path is not there, or the kernel's limit of watches is reached.
    pub fn begin(rules: Vec<Rule>) -> Result<Self, RunError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            let what = "watch (where the limit is reached, raise fs.inotify.max_user_watches)".to_owned();
            move |source| RunError::File { what, path, source }
        };
        let mut watcher = Watcher::new().map_err(failed(Path::new("")))?;
        for rule in &rules {
            let path = Path::new(&rule.trigger.path);
            watcher.watch(path, &|path| skipped(&rules, path)).map_err(failed(path))?;
        }
        Ok(Self { watcher, rules })
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Waits for changes, and for a moment of quiet after them.
    ///
    /// # Errors
    /// When the kernel's events can't be read.
    pub async fn changes(&mut self) -> Result<BTreeSet<PathBuf>, RunError> {
        let failed = |source| RunError::File {
            what: "read what has changed".to_owned(),
            path: PathBuf::new(),
            source,
        };
        let rules = &self.rules;
        let skip = |path: &Path| skipped(rules, path);
        let mut paths: BTreeSet<_> = self.watcher.changed(&skip).await.map_err(failed)?.into_iter().collect();
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet, self.watcher.changed(&skip)).await {
                Ok(more) => paths.extend(more.map_err(failed)?),
                Err(_) => return Ok(paths),
            }
        }
    }
}

/// Whether no rule is about what is in a folder.
fn skipped(rules: &[Rule], folder: &Path) -> bool {
    !rules.iter().any(|rule| {
        folder
            .strip_prefix(&rule.trigger.path)
            .is_ok_and(|below| !rule.ignore.excludes(below) || rule.ignore.takes_in_below(below))
    })
}

/// Puts files into a container, and removes those that are gone from the host.
///
/// # Errors
/// When a file can't be read, or the engine's own.
pub async fn sync(
    client: &Client,
    container: &str,
    files: &BTreeMap<PathBuf, String>,
) -> Result<(), RunError> {
    let (present, gone): (Vec<_>, Vec<_>) =
        files.iter().partition(|(path, _)| fs::symlink_metadata(path).is_ok());
    if !gone.is_empty() {
        let targets = gone.iter().map(|(_, target)| (*target).clone());
        let command =
            ["rm".to_owned(), "-rf".to_owned(), "--".to_owned()].into_iter().chain(targets).collect();
        let hook = Hook { command: Some(command), user: "0".to_owned(), ..Hook::default() };
        let ran = exec::run_in(client, container, &hook).await?;
        if ran.code != 0 {
            let what = format!("remove files from {container}");
            return Err(RunError::Told { what, message: ran.output.trim().to_owned() });
        }
    }
    if present.is_empty() {
        return Ok(());
    }
    let archive = archive(&present)?;
    let body = Body::Bytes { content_type: "application/x-tar", bytes: archive.into() };
    client
        .put::<()>(&format!("/containers/{container}/archive"), &[("path", "/".to_owned())], body)
        .await
        .map_err(RunError::doing(format!("copy files into {container}")))
}

fn archive(files: &[(&PathBuf, &String)]) -> Result<Vec<u8>, RunError> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, target) in files {
        let failed = |source| RunError::File { what: "read".to_owned(), path: (*path).clone(), source };
        match append(&mut tar, path, target.trim_start_matches('/')) {
            // Gone since it was looked for: its removal is the next change.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(failed)?,
        }
    }
    tar.into_inner().map_err(|source| RunError::File {
        what: "pack".to_owned(),
        path: PathBuf::new(),
        source,
    })
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &Path, target: &str) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(metadata.mode() & 0o7777);
    if metadata.is_symlink() {
        header.set_size(0);
        return tar.append_link(&mut header, target, fs::read_link(path)?);
    }
    if metadata.is_dir() {
        header.set_size(0);
        return tar.append_data(&mut header, target, io::empty());
    }
    if !metadata.is_file() {
        return Ok(());
    }
    let content = fs::read(path)?;
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, target, content.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Develop;

    fn trigger(path: &str, action: &str, target: &str, ignore: &[&str]) -> Trigger {
        Trigger {
            path: path.into(),
            action: action.into(),
            target: target.into(),
            ignore: ignore.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Trigger::default()
        }
    }

    fn decided(triggers: Vec<Trigger>, changed: &[&str]) -> Actions {
        let develop = Develop { watch: triggers, ..Develop::default() };
        let service = Service { name: "web".into(), develop: Some(develop), ..Service::default() };
        let services = BTreeMap::from([("web".to_owned(), service)]);
        let project = Project { services, ..Project::default() };
        actions(&rules(&project, &[]).unwrap(), &changed.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn a_changed_file_goes_to_its_place_below_the_target() {
        let actions = decided(
            vec![trigger("/p/src", "sync", "/app/", &["*.tmp"])],
            &["/p/src/a/b.py", "/p/src/x.tmp", "/p/src/.git/index", "/p/other"],
        );
        let copies = BTreeMap::from([(PathBuf::from("/p/src/a/b.py"), "/app/a/b.py".to_owned())]);
        assert_eq!(actions.copies["web"], copies);
        assert!(actions.rebuilds.is_empty() && actions.restarts.is_empty());
    }

    #[test]
    fn a_rebuild_makes_all_else_needless() {
        let actions = decided(
            vec![trigger("/p/src", "sync+restart", "/app", &[]), trigger("/p/lock", "rebuild", "", &[])],
            &["/p/src/a", "/p/lock"],
        );
        assert_eq!(actions.rebuilds, BTreeSet::from(["web".to_owned()]));
        assert!(actions.copies.is_empty() && actions.restarts.is_empty());
    }

    #[test]
    fn a_file_may_be_watched_by_itself() {
        let actions = decided(vec![trigger("/p/conf", "sync+restart", "/etc/conf", &[])], &["/p/conf"]);
        assert_eq!(actions.copies["web"][Path::new("/p/conf")], "/etc/conf");
        assert_eq!(actions.restarts.len(), 1);
    }
}
