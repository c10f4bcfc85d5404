//! `inspect`: everything about one container.

use bollard_stubs::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, DriverData, Health, HealthStatusEnum,
    NetworkSettings,
};

use super::{Container, Phase, Record, RunView, links, summary};
use crate::{Engine, Error, disk, engine::Inner, spec, system::STORAGE_DRIVER};

impl Engine {
    /// Everything about a container; `size` also measures its files.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub async fn inspect(&self, name: &str, size: bool) -> Result<ContainerInspectResponse, Error> {
        let container = self.inner().find(name)?;
        self.blocking(move |inner| {
            let mut response = inspect(&inner, &container);
            if size {
                let written = disk::usage(&inner.places(&container.id).directory.join("upper"));
                response.size_rw = Some(written);
                response.size_root_fs = Some(written + inner.image_size(&container.record().image));
            }
            Ok(response)
        })
        .await
    }
}

impl Engine {
    /// The hardware address that was asked for on the network of a container's mode, if any.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn asked_mac(&self, name: &str) -> Result<Option<String>, Error> {
        let record = self.inner().find(name)?.record();
        let mode = record.host.network_mode.as_deref().filter(|mode| !matches!(*mode, "" | "default"));
        let mode = mode.unwrap_or("bridge");
        // By its name, whether it is there or not, or by its id.
        let by_id = || record.networks.get(&self.inner().network_table.find(mode).ok()?.name);
        let settings = record.networks.get(mode).or_else(by_id);
        Ok(settings.and_then(|settings| settings.mac_address.clone()).filter(|mac| !mac.is_empty()))
    }
}

fn inspect(inner: &Inner, container: &Container) -> ContainerInspectResponse {
    let (record, run) = (container.record(), container.run());
    let places = inner.places(&record.id);
    let mut command = spec::arguments(&record.config).into_iter();
    let file = |name: &str| Some(places.directory.join(name).to_string_lossy().into_owned());
    let logs = record.host.log_config.as_ref().and_then(|log| log.typ.as_deref()) == Some("json-file");
    ContainerInspectResponse {
        id: Some(record.id.to_string()),
        created: Some(record.created.clone()),
        path: Some(command.next().unwrap_or_default()),
        args: Some(command.collect()),
        state: Some(state(&run)),
        image: Some(record.image.to_string()),
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: Some(if logs {
            places.log(&record.id).to_string_lossy().into_owned()
        } else {
            String::new()
        }),
        name: Some(format!("/{}", record.name)),
        restart_count: Some(run.restart_count.into()),
        driver: Some(STORAGE_DRIVER.to_owned()),
        platform: Some("linux".to_owned()),
        mount_label: Some(String::new()),
        process_label: Some(String::new()),
        app_armor_profile: Some(String::new()),
        exec_ids: Some(inner.execs.of(record.id.as_str())).filter(|ids| !ids.is_empty()),
        host_config: Some(bollard_stubs::models::HostConfig {
            links: links::shown(inner, &record),
            ..record.host.clone()
        }),
        graph_driver: Some(graph_driver(inner, &record)),
        mounts: Some(summary::mount_points(inner, &record)),
        config: Some(record.config.clone()),
        network_settings: Some(network_settings(inner, &record, &run)),
        ..ContainerInspectResponse::default()
    }
}

fn state(run: &RunView) -> ContainerState {
    let status = match run.phase {
        Phase::Created => ContainerStateStatusEnum::CREATED,
        Phase::Running => ContainerStateStatusEnum::RUNNING,
        Phase::Paused => ContainerStateStatusEnum::PAUSED,
        Phase::Restarting => ContainerStateStatusEnum::RESTARTING,
        Phase::Removing => ContainerStateStatusEnum::REMOVING,
        Phase::Exited => ContainerStateStatusEnum::EXITED,
        Phase::Dead => ContainerStateStatusEnum::DEAD,
    };
    ContainerState {
        status: Some(status),
        // Docker counts a container that is about to start again as running.
        running: Some(run.phase.is_alive() || run.phase == Phase::Restarting),
        paused: Some(run.phase == Phase::Paused),
        restarting: Some(run.phase == Phase::Restarting),
        oom_killed: Some(run.oom_killed),
        dead: Some(run.phase == Phase::Dead),
        pid: Some(run.process.map_or(0, |(pid, _)| pid.into())),
        exit_code: Some(run.exit_code),
        error: Some(run.error.clone()),
        started_at: Some(run.started_at.clone()),
        finished_at: Some(run.finished_at.clone()),
        health: run.health.as_ref().map(|health| Health {
            status: Some(if run.phase.is_alive() { health.status } else { HealthStatusEnum::UNHEALTHY }),
            failing_streak: Some(health.failing_streak),
            log: Some(health.log.clone()),
        }),
    }
}

fn graph_driver(inner: &Inner, record: &Record) -> DriverData {
    let places = inner.places(&record.id);
    let layers = inner.layers(record).unwrap_or_default();
    let lower: Vec<_> = layers.lower.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let place = |name: &str| places.directory.join(name).to_string_lossy().into_owned();
    let data = [
        ("LowerDir", lower.join(":")),
        ("UpperDir", place("upper")),
        ("WorkDir", place("work")),
        ("MergedDir", place("rootfs")),
    ];
    DriverData {
        name: STORAGE_DRIVER.to_owned(),
        data: data.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

fn network_settings(inner: &Inner, record: &Record, run: &RunView) -> NetworkSettings {
    NetworkSettings {
        sandbox_id: Some(if run.phase.is_alive() { record.id.to_string() } else { String::new() }),
        sandbox_key: Some(run.process.map_or_else(String::new, |(pid, _)| format!("/proc/{pid}/ns/net"))),
        ports: Some(
            run.attachment
                .as_ref()
                .map(|attachment| summary::port_map(record, attachment))
                .unwrap_or_default(),
        ),
        networks: Some(summary::endpoints(inner, record, run)),
    }
}
