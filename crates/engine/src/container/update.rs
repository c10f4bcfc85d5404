//! Changing a container that exists: its name, its limits, its restart policy.

use bollard_stubs::models::{ContainerUpdateBody, ContainerUpdateResponse, HostConfig};

use super::{names, requests::Message, restart::RestartPolicy};
use crate::{
    Engine, Error,
    spec::{devices, resources},
};

impl Engine {
    /// Gives a container another name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when the name is in use,
    /// [`crate::ErrorKind::InvalidParameter`].
    pub async fn rename(&self, name: &str, new: &str) -> Result<(), Error> {
        let inner = self.inner();
        let container = inner.find(name)?;
        let told =
            |error: Error| Error::new(error.kind(), format!("Error when allocating new name: {error}"));
        let new = names::check(new).map_err(told)?.to_owned();
        let old = container.record().name.clone();
        if new == old {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        inner.reserve_name(Some(new.clone()), &container.id).map_err(told)?;
        let named = new.clone();
        let renamed = container
            .ask(|reply| Message::Replace { edit: Box::new(move |record| record.name = named), reply })
            .await;
        inner.release_name(if renamed.is_ok() { &old } else { &new });
        renamed?;
        inner.container_event(&container, "rename", [("oldName".to_owned(), format!("/{old}"))]);
        Ok(())
    }

    /// Changes limits and the restart policy; limits of a running container at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::InvalidParameter`],
    /// [`crate::ErrorKind::NotImplemented`] for what can't be changed later.
    pub async fn update(
        &self,
        name: &str,
        body: ContainerUpdateBody,
    ) -> Result<ContainerUpdateResponse, Error> {
        let inner = self.inner();
        let container = inner.find(name)?;
        refuse(&body)?;
        let record = container.record();
        let mut host = record.host.clone();
        check_against(&host, &body)?;
        apply(&mut host, &body);
        resources::check(&host, inner.host.facts.resources)?;
        resources::check_cpusets(body.cpuset_cpus.as_deref(), body.cpuset_mems.as_deref())?;
        if record.host.auto_remove == Some(true) && host.restart_policy != record.host.restart_policy {
            return Err(Error::conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
        let policy = RestartPolicy::parse(&host)?;
        let limits = resources::resources(&host, &devices::block_numbers)?;
        if let Some(supervisor) = container.run().supervisor {
            supervisor.update(limits).await.map_err(|error| {
                Error::internal(format!("Cannot update container {}", container.id), &error)
            })?;
        }
        container.ask(|reply| Message::Update { host: Box::new(host), policy, reply }).await?;
        inner.container_event(&container, "update", []);
        Ok(ContainerUpdateResponse { warnings: None })
    }
}

/// What would need the container to be made anew.
fn refuse(body: &ContainerUpdateBody) -> Result<(), Error> {
    let some = |list: bool, field: &str| match list {
        true => Err(Error::not_implemented(format!("{field} of a container can't be changed"))),
        false => Ok(()),
    };
    some(body.devices.as_ref().is_some_and(|list| !list.is_empty()), "Devices")?;
    some(body.ulimits.as_ref().is_some_and(|list| !list.is_empty()), "Ulimits")?;
    some(body.device_cgroup_rules.as_ref().is_some_and(|list| !list.is_empty()), "DeviceCgroupRules")?;
    some(body.device_requests.as_ref().is_some_and(|list| !list.is_empty()), "DeviceRequests")?;
    some(body.init == Some(true), "Init")?;
    some(body.cgroup_parent.as_deref().is_some_and(|parent| !parent.is_empty()), "CgroupParent")
}

/// What doesn't go together with what is set already.
fn check_against(host: &HostConfig, body: &ContainerUpdateBody) -> Result<(), Error> {
    let set = |number: Option<i64>| number.unwrap_or(0) > 0;
    for (is_so, new, old) in [
        (set(body.nano_cpus) && set(host.cpu_period), "Nano CPUs", "CPU Period"),
        (set(body.nano_cpus) && set(host.cpu_quota), "Nano CPUs", "CPU Quota"),
        (set(body.cpu_period) && set(host.nano_cpus), "CPU Period", "NanoCPUs"),
        (set(body.cpu_quota) && set(host.nano_cpus), "CPU Quota", "NanoCPUs"),
    ] {
        if is_so {
            return Err(Error::conflict(format!(
                "Conflicting options: {new} cannot be updated as {old} has already been set"
            )));
        }
    }
    let (memory, swap) = (body.memory.unwrap_or(0), host.memory_swap.unwrap_or(0));
    if memory > swap && swap > 0 && body.memory_swap.unwrap_or(0) == 0 {
        return Err(Error::conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ));
    }
    Ok(())
}

/// Zero and empty mean "as it is", as the clients send them.
fn apply(host: &mut HostConfig, body: &ContainerUpdateBody) {
    let set = |mine: &mut Option<i64>, new: Option<i64>| {
        if new.is_some_and(|new| new != 0) {
            *mine = new;
        }
    };
    set(&mut host.cpu_shares, body.cpu_shares);
    set(&mut host.memory, body.memory);
    set(&mut host.memory_swap, body.memory_swap);
    set(&mut host.memory_reservation, body.memory_reservation);
    set(&mut host.cpu_period, body.cpu_period);
    set(&mut host.cpu_quota, body.cpu_quota);
    set(&mut host.cpu_realtime_period, body.cpu_realtime_period);
    set(&mut host.cpu_realtime_runtime, body.cpu_realtime_runtime);
    set(&mut host.nano_cpus, body.nano_cpus);
    // Here zero is a value, too, and takes the limit away, as what is less does.
    if let Some(limit) = body.pids_limit {
        host.pids_limit = Some(limit.max(0));
    }
    if body.blkio_weight.is_some_and(|weight| weight != 0) {
        host.blkio_weight = body.blkio_weight;
    }
    for (mine, new) in
        [(&mut host.cpuset_cpus, &body.cpuset_cpus), (&mut host.cpuset_mems, &body.cpuset_mems)]
    {
        if new.as_deref().is_some_and(|new| !new.is_empty()) {
            mine.clone_from(new);
        }
    }
    if let Some(policy) = body
        .restart_policy
        .as_ref()
        .filter(|policy| policy.name.is_some_and(|name| !name.to_string().is_empty()))
    {
        host.restart_policy = Some(policy.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_what_is_set_is_refused() {
        let host = HostConfig {
            nano_cpus: Some(1),
            memory: Some(1 << 20),
            memory_swap: Some(2 << 20),
            ..HostConfig::default()
        };
        let refused = |body: ContainerUpdateBody| check_against(&host, &body).unwrap_err().to_string();
        let body = ContainerUpdateBody { cpu_quota: Some(5000), ..ContainerUpdateBody::default() };
        assert!(refused(body).contains("CPU Quota cannot be updated"));
        let mut body = ContainerUpdateBody { memory: Some(4 << 20), ..ContainerUpdateBody::default() };
        assert!(refused(body.clone()).contains("update the memoryswap at the same time"));
        body.memory_swap = Some(8 << 20);
        assert!(check_against(&host, &body).is_ok());
    }

    #[test]
    fn only_what_is_said_changes() {
        let mut host = HostConfig { memory: Some(1 << 30), cpu_shares: Some(5), ..HostConfig::default() };
        let body =
            ContainerUpdateBody { cpu_shares: Some(7), memory: Some(0), ..ContainerUpdateBody::default() };
        apply(&mut host, &body);
        assert_eq!((host.memory, host.cpu_shares), (Some(1 << 30), Some(7)));
    }
}
