//! `ps`: which containers, in which order; and pruning.

use std::{collections::BTreeSet, sync::Arc};

use bollard_stubs::models::{ContainerPruneResponse, ContainerSummary};

use super::{Container, Phase, Record, RunView, links, ports, summary};
use crate::{
    Engine, Error, Filters, ListOptions, RemoveOptions, disk, engine::Inner, events::About, time_text,
};

const FILTERS: [&str; 17] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "until",
];

impl Engine {
    /// Containers, the newest first: those that run, or all.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter or value,
    /// [`crate::ErrorKind::NotFound`] for the
    /// container that `before` and `since` name.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        self.blocking(move |inner| list(&inner, &options)).await
    }

    /// Removes containers that don't run.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter.
    pub async fn prune(&self, filters: &Filters) -> Result<ContainerPruneResponse, Error> {
        filters.expect(&["until", "label", "label!"])?;
        let until = filters.single("until")?.map(time_text::until).transpose()?;
        let mut response = ContainerPruneResponse { containers_deleted: None, space_reclaimed: Some(0) };
        for container in self.inner().containers() {
            let record = container.record();
            let ended = matches!(container.phase(), Phase::Created | Phase::Exited | Phase::Dead);
            let old = until
                .is_none_or(|until| time_text::parse(&record.created).is_some_and(|created| created < until));
            if !(ended && old && filters.labels(|key| record.label(key))) {
                continue;
            }
            let upper = self.inner().places(&container.id).directory.join("upper");
            let size = self.blocking(move |_| Ok(disk::usage(&upper))).await?;
            // One that was started or removed at this moment is none of ours any more.
            if self.remove(container.id.as_str(), RemoveOptions::default()).await.is_ok() {
                response.containers_deleted.get_or_insert_default().push(container.id.to_string());
                response.space_reclaimed = response.space_reclaimed.map(|sum| sum + size);
            }
        }
        let reclaimed = response.space_reclaimed.unwrap_or(0).to_string();
        self.inner().events.emit(About::Container, "prune", "", [("reclaimed".to_owned(), reclaimed)]);
        Ok(response)
    }
}

/// What the filters compare with, found once.
struct Wanted<'a> {
    inner: &'a Inner,
    filters: &'a Filters,
    /// Images that `ancestor` names, with all that is built on them.
    ancestors: Option<BTreeSet<String>>,
    before: Option<String>,
    since: Option<String>,
}

fn list(inner: &Arc<Inner>, options: &ListOptions) -> Result<Vec<ContainerSummary>, Error> {
    let wanted = Wanted::new(inner, &options.filters)?;
    let all = options.all || options.limit.is_some() || options.filters.get("status").is_some();
    let mut containers: Vec<(Arc<Container>, Arc<Record>)> = inner
        .containers()
        .into_iter()
        .map(|container| {
            let record = container.record();
            (container, record)
        })
        .collect();
    containers.sort_by(|(_, a), (_, b)| b.created.cmp(&a.created));
    let mut summaries = Vec::new();
    let mut images = inner.image_names();
    for (container, record) in containers {
        if options.limit.is_some_and(|limit| summaries.len() >= limit) {
            break;
        }
        let run = container.run();
        if (all || run.phase.is_alive() || run.phase == Phase::Restarting) && wanted.matches(&record, &run)? {
            let image = images.shown(&record);
            let mut line = summary::summary(inner, &container, &record, &run, image);
            if options.size {
                let size = disk::usage(&inner.places(&container.id).directory.join("upper"));
                line.size_rw = Some(size);
                line.size_root_fs = Some(size + inner.image_size(&record.image));
            }
            summaries.push(line);
        }
    }
    Ok(summaries)
}

impl<'a> Wanted<'a> {
    fn new(inner: &'a Inner, filters: &'a Filters) -> Result<Self, Error> {
        filters.expect(&FILTERS)?;
        let known = |name: &str, what: &str, values: &[&str]| match filters
            .get(name)
            .into_iter()
            .flatten()
            .find(|v| !values.contains(&v.as_str()))
        {
            Some(value) => Err(Error::invalid(format!(
                "invalid filter '{name}={value}': invalid value for {what} ({value}): must be one of {}",
                values.join(", ")
            ))),
            None => Ok(()),
        };
        for name in ["publish", "expose"] {
            if let Some(port) = filters.get(name).into_iter().flatten().find(|port| range(port).is_none()) {
                return Err(Error::invalid(format!(
                    "invalid filter '{name}={port}': want a port, or a range of ports, with or without /protocol"
                )));
            }
        }
        known(
            "status",
            "state",
            &["created", "running", "paused", "restarting", "removing", "exited", "dead"],
        )?;
        known("health", "health", &["none", "starting", "healthy", "unhealthy"])?;
        if let Some(code) =
            filters.get("exited").into_iter().flatten().find(|code| code.parse::<i64>().is_err())
        {
            return Err(Error::invalid(format!("invalid filter 'exited={code}'")));
        }
        let created = |name: &str| -> Result<Option<String>, Error> {
            filters.single(name)?.map(|name| Ok(inner.find(name)?.record().created.clone())).transpose()
        };
        let ancestors = filters.get("ancestor").map(|names| inner.image_descendants(names));
        Ok(Self { inner, filters, ancestors, before: created("before")?, since: created("since")? })
    }

    fn matches(&self, record: &Record, run: &RunView) -> Result<bool, Error> {
        let filters = self.filters;
        let health = run.health.as_ref().map_or("none".to_owned(), |health| health.status.to_string());
        let name = |wanted: &str| {
            let matches = |name: &String| {
                Filters::pattern_matches(wanted, name) || Filters::pattern_matches(wanted, &name[1..])
            };
            links::names(self.inner, record).iter().any(matches)
        };
        let volume = |wanted: &str| {
            record.mounts.iter().any(|mount| {
                mount.name.as_deref() == Some(wanted) || mount.destination == wanted || mount.source == wanted
            })
        };
        let network = |wanted: &str| {
            record.networks.keys().any(|name| {
                name == wanted || !wanted.is_empty() && self.inner.network_id(name).starts_with(wanted)
            })
        };
        Ok(filters.any("id", |id| record.id.as_str().starts_with(id))
            && filters.any("name", name)
            && filters.any("status", |status| status == run.phase.as_str())
            && filters.any("exited", |code| run.phase == Phase::Exited && code == run.exit_code.to_string())
            && filters.any("health", |wanted| wanted == health)
            && filters.labels(|key| record.label(key))
            && filters.any("volume", volume)
            && filters.any("network", network)
            && filters.any("is-task", |task| matches!(task, "false" | "0"))
            && filters.any("publish", |port| published(port, record, run))
            && filters.any("expose", |port| exposed(port, record))
            && self.ancestors.as_ref().is_none_or(|images| images.contains(&record.image.to_string()))
            && self.before.as_ref().is_none_or(|created| record.created < *created)
            && self.since.as_ref().is_none_or(|created| record.created > *created))
    }
}

/// `80`, `80/udp`, `8000-8080/tcp`.
fn range(text: &str) -> Option<(std::ops::RangeInclusive<u16>, String)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some((first.parse().ok()?..=last.parse().ok()?, protocol.to_owned()))
}

fn published(wanted: &str, record: &Record, run: &RunView) -> bool {
    let Some((range, protocol)) = range(wanted) else { return false };
    match &run.attachment {
        Some(attachment) => attachment
            .ports
            .iter()
            .any(|port| range.contains(&port.host_port) && port.protocol.to_string() == protocol),
        None => ports::requests(&record.config, &record.host).unwrap_or_default().iter().any(|port| {
            let asked = port.host_ports.as_ref().is_some_and(|ports| range.contains(ports.start()));
            asked && port.protocol.to_string() == protocol
        }),
    }
}

fn exposed(wanted: &str, record: &Record) -> bool {
    let Some((range, protocol)) = range(wanted) else { return false };
    let keys = record.config.exposed_ports.iter().flatten();
    keys.filter_map(|key| ports::parse(key).ok())
        .any(|(port, kind)| range.contains(&port) && kind.to_string() == protocol)
}
