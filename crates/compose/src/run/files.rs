//! Secrets and configs that are no files of the host: put into the container before it starts.

use std::io::Write as _;

use minke_docker_client::{Body, Client};

use super::error::RunError;
use crate::{
    model::{FileMode, Project, Service},
    plan::place,
};

/// One file that goes into a container.
struct File<'a> {
    /// Its absolute path there.
    path: String,
    text: &'a str,
    uid: &'a str,
    gid: &'a str,
    mode: Option<FileMode>,
}

/// The mode of a file for which none is given.
const READABLE: i64 = 0o444;

/// Puts them there, all in one archive.
///
/// # Errors
/// When an owner is no number, or the engine's own.
pub async fn put(client: &Client, project: &Project, service: &Service, id: &str) -> Result<(), RunError> {
    let files = files(project, service);
    if files.is_empty() {
        return Ok(());
    }
    let archive = archive(&files).map_err(|problem| {
        RunError::Unsupported(format!("services.{}: secrets and configs: {problem}", service.name))
    })?;
    // Without `copyUIDGID`, which would give all to the container's user: owners are those of the archive.
    let query = [("path", "/".to_owned())];
    let body = Body::Bytes { content_type: "application/x-tar", bytes: archive.into() };
    client
        .put::<()>(&format!("/containers/{id}/archive"), &query, body)
        .await
        .map_err(RunError::doing(format!("put secrets and configs into a container of {}", service.name)))
}

fn files<'a>(project: &'a Project, service: &'a Service) -> Vec<File<'a>> {
    let secrets = service.secrets.iter().filter_map(|mount| {
        let secret = project.secrets.get(&mount.source).filter(|secret| secret.file.is_empty())?;
        let path = place("/run/secrets/", &mount.target, &mount.source);
        Some(File {
            path,
            text: secret.content.as_deref()?,
            uid: &mount.uid,
            gid: &mount.gid,
            mode: mount.mode,
        })
    });
    let configs = service.configs.iter().filter_map(|mount| {
        let config = project.configs.get(&mount.source).filter(|config| config.file.is_empty())?;
        let path = place("/", &mount.target, &mount.source);
        Some(File { path, text: &config.content, uid: &mount.uid, gid: &mount.gid, mode: mount.mode })
    });
    secrets.chain(configs).collect()
}

fn archive(files: &[File<'_>]) -> Result<Vec<u8>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        let id = |text: &str, what: &str| match text {
            "" => Ok(0),
            text => text.parse::<u64>().map_err(|_| format!("{what} {text:?} is no number")),
        };
        header.set_size(file.text.len() as u64);
        header.set_mode(u32::try_from(file.mode.map_or(READABLE, |mode| mode.0)).unwrap_or(0o444));
        header.set_uid(id(file.uid, "uid")?);
        header.set_gid(id(file.gid, "gid")?);
        let path = file.path.trim_start_matches('/');
        tar.append_data(&mut header, path, file.text.as_bytes())
            .map_err(|error| format!("{path}: {error}"))?;
    }
    let mut bytes = tar.into_inner().map_err(|error| error.to_string())?;
    // It is memory, to which writing can't fail.
    let _ = bytes.flush();
    Ok(bytes)
}
