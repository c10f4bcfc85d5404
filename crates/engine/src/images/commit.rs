//! `commit`: an image of what a container has changed, frozen meanwhile if it runs.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use bollard_stubs::models::ContainerConfig;
use minke_image::{CommitError, RunConfig, changes};
use time::OffsetDateTime;

use super::load_error;
use crate::{
    CommitOptions, Engine, Error, ErrorKind,
    container::{Container, Phase, Record, merge},
    engine::Inner,
    error::chain,
    files,
};

impl Engine {
    /// Makes an image of a container's changes, and gives its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] while it is being removed; [`ErrorKind::InvalidParameter`] for a bad
    /// name or change.
    pub async fn commit(&self, name: &str, options: CommitOptions) -> Result<String, Error> {
        let container = self.inner().find(name)?;
        refuse_doomed(&container)?;
        let record = container.record();
        let config = configuration(&record, &options)?;
        let frozen = match options.pause && container.phase() == Phase::Running {
            true => self.freeze_for_commit(&container).await?,
            false => false,
        };
        let committed = {
            let container = Arc::clone(&container);
            self.blocking(move |inner| commit(&inner, &container, &record, config, &options)).await
        };
        if frozen {
            self.thaw_after_commit(&container).await;
        }
        committed
    }

    /// Whether it is frozen now because of this; one that has just ended need not be.
    async fn freeze_for_commit(&self, container: &Container) -> Result<bool, Error> {
        let mark = self.inner().places(&container.id).frozen();
        fs::write(&mark, "").map_err(|error| Error::internal(format!("write {}", mark.display()), &error))?;
        match self.pause(container.id.as_str()).await {
            Ok(()) => Ok(true),
            Err(error) => {
                remove_mark(&mark);
                if error.kind() == ErrorKind::Conflict { Ok(false) } else { Err(error) }
            }
        }
    }

    async fn thaw_after_commit(&self, container: &Container) {
        // Somebody else may have thawed, killed or removed it meanwhile.
        if let Err(error) = self.unpause(container.id.as_str()).await
            && container.phase() == Phase::Paused
        {
            tracing::warn!(%error, container = container.id.short(), "thaw after a commit");
        }
        remove_mark(&self.inner().places(&container.id).frozen());
    }
}

fn remove_mark(mark: &Path) {
    if let Err(error) = fs::remove_file(mark)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, mark = %mark.display(), "remove the mark of a commit");
    }
}

fn refuse_doomed(container: &Container) -> Result<(), Error> {
    let why = match container.phase() {
        Phase::Dead => "Dead",
        Phase::Removing => "being removed",
        _ => return Ok(()),
    };
    Err(Error::conflict(format!("You cannot commit container {} which is {why}", container.id)))
}

/// What the new image's containers run: the request's configuration or the container's, changed, and the container's where
/// that says nothing.
fn configuration(record: &Record, options: &CommitOptions) -> Result<RunConfig, Error> {
    let own: RunConfig = same(&record.config)?;
    let mut wanted: RunConfig = match &options.config {
        Some(config) => same(config)?,
        None => own.clone(),
    };
    changes::apply(&mut wanted, &options.changes).map_err(|error| Error::invalid(chain(&error)))?;
    let mut merged: ContainerConfig = same(&wanted)?;
    merge::merge(&mut merged, &own)?;
    same(&merged)
}

/// The same configuration as another type of it; both have the fields of Docker's JSON.
fn same<T: serde::de::DeserializeOwned>(config: &impl serde::Serialize) -> Result<T, Error> {
    let json = serde_json::to_value(config).and_then(serde_json::from_value);
    json.map_err(|error| Error::invalid(format!("the configuration can't be an image's: {error}")))
}

fn commit(
    inner: &Inner,
    container: &Container,
    record: &Record,
    config: RunConfig,
    options: &CommitOptions,
) -> Result<String, Error> {
    // A removal deletes the files only when this is over.
    let _reading = container.files.read().unwrap_or_else(PoisonError::into_inner);
    let _ = inner.find(container.id.as_str())?;
    let failed = |error: io::Error| Error::internal("open what the container has changed", &error);
    let upper = fs::File::open(inner.places(&record.id).directory.join("upper")).map_err(failed)?;
    let leave_out = engine_made(inner, record, Path::new(&format!("/proc/self/fd/{}", upper.as_raw_fd())))?;
    let made = minke_image::CommitOptions {
        parent: record.image,
        name: options.name.clone(),
        config,
        author: options.author.clone(),
        comment: options.comment.clone(),
        created_by: record.config.cmd.clone().unwrap_or_default().join(" "),
        container: record.id.to_string(),
        created: OffsetDateTime::now_utc(),
        leave_out,
    };
    let id =
        inner.images.commit(upper.as_fd(), made).map_err(|error| inner.commit_error(&error))?.to_string();
    inner.image_event("create", &id, &id);
    let name = options.name.as_deref().map(super::familiar).unwrap_or_default();
    if !name.is_empty() {
        inner.image_event("tag", &id, &name);
    }
    let told = [("comment", options.comment.clone()), ("imageID", id.clone()), ("imageRef", name)];
    inner.container_event(container, "commit", told.map(|(key, value)| (key.to_owned(), value)));
    Ok(id)
}

fn engine_made(inner: &Inner, record: &Record, upper: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let image = inner.layers(record)?.image_only();
    let made = image.and_then(|image| files::engine_made(upper, &record.mounts, &image));
    made.map_err(|error| Error::internal("look at the container's files", &error))
}

impl Inner {
    fn commit_error(&self, error: &CommitError) -> Error {
        match error {
            CommitError::Parent(error) => self.find_error(error),
            CommitError::Name(_) => Error::invalid(chain(error)),
            CommitError::Layer(error) => load_error("commit", error),
            CommitError::Changes(_) | CommitError::Store(_) => Error::internal("commit the container", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(changes: &[&str], config: Option<&str>) -> RunConfig {
        let mut record = Record::for_tests();
        record.config.working_dir = Some("/srv".to_owned());
        record.config.exposed_ports = Some(vec!["80/tcp".to_owned()]);
        let options = CommitOptions {
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
            config: config.map(|json| serde_json::from_str(json).unwrap()),
            ..CommitOptions::default()
        };
        configuration(&record, &options).unwrap()
    }

    #[test]
    fn without_a_word_the_image_runs_what_the_container_ran() {
        let config = configured(&[], None);
        assert_eq!(config.cmd.unwrap(), ["sh", "-c", "true"]);
        assert_eq!(
            (config.env.as_slice(), config.working_dir.as_str()),
            (&["A=1", "B=2"].map(str::to_owned)[..], "/srv")
        );
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp"]);
    }

    #[test]
    fn changes_come_on_top_of_the_containers_configuration() {
        let config = configured(&["ENV B=3 C=$A", "EXPOSE 53/udp", "LABEL k=v"], None);
        assert_eq!(config.env, ["A=1", "B=3", "C=1"]);
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.labels.get("k").map(String::as_str), Some("v"));
    }

    #[test]
    fn a_requests_configuration_is_filled_up_with_the_containers() {
        let config = configured(&["USER me"], Some(r#"{"Cmd":["date"],"Env":["B=9"],"WorkingDir":"/w"}"#));
        assert_eq!((config.cmd.unwrap(), config.user.as_str()), (vec!["date".to_owned()], "me"));
        assert!(config.env.contains(&"A=1".to_owned()) && config.env.contains(&"B=9".to_owned()));
        assert_eq!(config.working_dir, "/w");
    }

    #[test]
    fn a_new_entry_point_forgets_the_containers_command() {
        let config = configured(&[r#"ENTRYPOINT ["/go"]"#], None);
        assert_eq!((config.entrypoint.unwrap(), config.cmd), (vec!["/go".to_owned()], None));
    }

    #[test]
    fn a_wrong_change_is_told() {
        let options = CommitOptions { changes: vec!["RUN rm -rf /".to_owned()], ..CommitOptions::default() };
        let error = configuration(&Record::for_tests(), &options).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::InvalidParameter, "RUN is not a valid change command")
        );
    }
}
