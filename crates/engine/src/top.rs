//! `top`: the processes of a container, read from /proc with no forked `ps`. The column sets of `ps -ef`
//! (the default), of `ps aux`, and
//! `-o` with column names, and `--sort`; other arguments are refused.

mod columns;
mod process;

use bollard_stubs::models::ContainerTopResponse;

use self::{
    columns::Columns,
    process::{Clock, ProcessInfo},
};
use crate::{Engine, Error, container::running};

impl Engine {
    /// The processes of a running container.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when it does not run,
    /// [`crate::ErrorKind::InvalidParameter`] for
    /// arguments that aren't understood.
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<ContainerTopResponse, Error> {
        let container = self.inner().find(name)?;
        running(&container)?;
        let columns = Columns::parse(ps_args)?;
        self.blocking(move |inner| {
            let cgroup = inner.cgroup_of(&container.record());
            let cgroup = inner.open_cgroup(&cgroup);
            let cgroup = cgroup
                .ok_or_else(|| Error::conflict(format!("container {} is not running", container.id)))?;
            let pids =
                cgroup.pids().map_err(|error| Error::internal("list the container's processes", &error))?;
            let clock = Clock::read().map_err(|error| Error::internal("read the time since boot", &error))?;
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            // Those that end meanwhile are not there any more.
            let processes = pids.iter().filter_map(|pid| ProcessInfo::read(pid.as_raw_nonzero().get()));
            let mut processes: Vec<_> = processes.collect();
            columns.sort(&mut processes, &clock, &users);
            let rows = processes.iter().map(|process| columns.row(process, &clock, &users)).collect();
            inner.container_event(&container, "top", []);
            Ok(ContainerTopResponse { titles: Some(columns.titles()), processes: Some(rows) })
        })
        .await
    }
}
