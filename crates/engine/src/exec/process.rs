//! What `exec` runs, in the runtime's form: user, environment, directory and limits of the container, changed as it was asked.

use std::sync::Arc;

use bollard_stubs::models::ExecConfig;
use minke_kernel::path::Root;
use minke_model::runtime_spec::{ConsoleSize, Process};

use crate::{
    Error, ExecStart,
    container::{Container, links},
    engine::Inner,
    files, rootfs, spec,
};

/// The process of `exec`, in the runtime's form.
pub(super) async fn process(
    inner: &Arc<Inner>,
    container: &Arc<Container>,
    config: &ExecConfig,
    options: ExecStart,
) -> Result<Process, Error> {
    let (inner, container, config) = (Arc::clone(inner), Arc::clone(container), config.clone());
    let built = tokio::task::spawn_blocking(move || {
        let root = files::running_root(&container)?;
        let size = options.console_size.or_else(|| match config.console_size.as_deref() {
            Some([height, width]) => Some((u16::try_from(*height).ok()?, u16::try_from(*width).ok()?)),
            _ => None,
        });
        let mut process = build(&inner, &container, &root, &config)?;
        process.console_size =
            size.filter(|_| process.terminal).map(|(height, width)| ConsoleSize { height, width });
        Ok(process)
    });
    built.await.map_err(|error| Error::internal("prepare a process", &error))?
}

/// The process of a health check: the container's own user, environment and directory.
///
/// # Errors
/// `Conflict` when the container has ended.
pub(crate) async fn process_for(
    inner: &Arc<Inner>,
    container: &Arc<Container>,
    command: &[String],
) -> Result<Process, Error> {
    let config = ExecConfig { cmd: Some(command.to_vec()), ..ExecConfig::default() };
    process(inner, container, &config, ExecStart::default()).await
}

/// Whether the container has the user that is asked for. That it has one is looked at again when the process starts.
///
/// # Errors
/// `InvalidParameter` where not; `Conflict` when the container has ended.
pub(super) async fn check_user(container: &Arc<Container>, user: Option<&str>) -> Result<(), Error> {
    let Some(user) = user.filter(|user| !user.is_empty()) else { return Ok(()) };
    let (container, user) = (Arc::clone(container), user.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        accounts(&files::running_root(&container)?)?.resolve(&user, &[]).map(drop)
    });
    found.await.map_err(|error| Error::internal("look for the user", &error))?
}

fn accounts(root: &Root) -> Result<spec::user::Accounts, Error> {
    rootfs::accounts(root).map_err(|error| Error::internal("read the container's users", &error))
}

fn build(inner: &Inner, container: &Container, root: &Root, config: &ExecConfig) -> Result<Process, Error> {
    let (record, facts) = (container.record(), &inner.host.facts);
    let tty = config.tty.unwrap_or(false);
    let privileged = config.privileged.unwrap_or(false) || record.host.privileged == Some(true);
    let user = config
        .user
        .as_deref()
        .filter(|user| !user.is_empty())
        .or(record.config.user.as_deref())
        .unwrap_or("");
    let accounts = accounts(root)?;
    let groups = record.host.group_add.clone().unwrap_or_default();
    let user = accounts.resolve(user, &groups)?;
    let host = bollard_stubs::models::HostConfig { privileged: Some(privileged), ..record.host.clone() };
    let capabilities = spec::held(&host, facts)?;
    let mut env =
        spec::env::complete(&links::environment_of(inner, &record), Some(record.hostname()), tty, &user.home);
    for entry in config.env.iter().flatten() {
        spec::env::set(&mut env, entry);
    }
    let directory = config.working_dir.as_deref().filter(|path| !path.is_empty());
    let directory =
        directory.or(record.config.working_dir.as_deref()).filter(|path| !path.is_empty()).unwrap_or("/");
    let security = spec::security::parse(record.host.security_opt.as_deref().unwrap_or(&[]))?;
    Ok(Process {
        terminal: tty,
        user: user.to_spec(),
        args: config.cmd.clone().unwrap_or_default(),
        env,
        cwd: directory.to_owned(),
        capabilities: Some(spec::capabilities::sets(&capabilities, user.uid == 0)),
        rlimits: spec::limits::rlimits(record.host.ulimits.as_deref().unwrap_or(&[]), facts)?,
        no_new_privileges: security.no_new_privileges,
        ..Process::default()
    })
}
