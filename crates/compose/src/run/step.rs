//! One command of a plan as requests to the engine.

use std::time::Duration;

use futures_util::StreamExt;
use minke_docker_client::{Body, Error, Method, json_lines};
use serde_json::{Value, json};

use super::{
    build,
    create::create_container,
    error::RunError,
    exec,
    execute::Execution,
    files,
    report::{Event, Phase},
};
use crate::plan::{Command, CreateContainer, labels, shared_hash};

impl Execution<'_> {
    /// Carries out anything but a wait.
    pub(super) async fn carry_out(&self, command: &Command) -> Result<(), RunError> {
        match command {
            Command::PullImage { service, image, platform, may_fail } => {
                let pulled = self.pull(service, image, platform.as_deref()).await;
                if *may_fail && pulled.is_err() { Ok(()) } else { pulled }
            }
            Command::BuildImage { service, image } => self.build(service, image).await,
            Command::CreateNetwork { name, request } => {
                let creating = async {
                    let created = self.client.post::<_, Value>("/networks/create", &[], Some(request)).await;
                    // Another `up` may have been faster.
                    created.map(drop).or_else(conflict_is_fine)
                };
                self.shown(format!("Network {name}"), "Creating", "Created", creating).await
            }
            Command::CreateVolume { name, request } => {
                let creating = async {
                    self.client.post::<_, Value>("/volumes/create", &[], Some(request)).await.map(drop)
                };
                self.shown(format!("Volume {name}"), "Creating", "Created", creating).await
            }
            Command::RemoveNetwork { name, id } => {
                self.removed(format!("Network {name}"), &format!("/networks/{id}"), &[]).await
            }
            Command::RemoveVolume { name } => {
                self.removed(format!("Volume {name}"), &format!("/volumes/{name}"), &[("force", "1".into())])
                    .await
            }
            Command::RemoveImage { name } => {
                self.removed(format!("Image {name}"), &format!("/images/{name}"), &[]).await
            }
            Command::CreateContainer(create) => self.create(create).await,
            Command::StartContainer { service, name } => self.start(service, name).await,
            Command::StopContainer { service, name, timeout } => {
                let stopping = self.stop(service, name, *timeout);
                self.shown(format!("Container {name}"), "Stopping", "Stopped", stopping).await
            }
            Command::RestartContainer { service, name, timeout } => {
                let restarting = async {
                    self.hooks(service, name, "pre_stop").await?;
                    let query = seconds(*timeout);
                    let path = format!("/containers/{}/restart", self.id(name));
                    self.client.post_empty::<()>(&path, &query).await.map_err(RunError::from)
                };
                self.shown(format!("Container {name}"), "Restarting", "Started", restarting).await
            }
            Command::RemoveContainer { name, volumes } => {
                let query = [("force", "1".to_owned()), ("v", u8::from(*volumes).to_string())];
                let path = format!("/containers/{}", self.id(name));
                self.removed(format!("Container {name}"), &path, &query).await
            }
            Command::RenameContainer { from, to } => {
                let query = [("name", to.clone())];
                self.client
                    .post_empty::<()>(&format!("/containers/{}/rename", self.id(from)), &query)
                    .await?;
                self.renamed(from, to);
                Ok(())
            }
            Command::Wait(wait) => self.wait(wait).await,
            Command::CallProvider { service, call } => self.call_provider(service, *call).await,
            Command::RunBefore { service, name, requests } => self.run_before(service, name, requests).await,
        }
    }

    /// Does something, and tells before and after.
    pub(super) async fn shown<T, E: Into<RunError>>(
        &self,
        resource: String,
        before: &str,
        after: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, RunError> {
        self.report(Event::new(&resource, before, Phase::Working));
        match work.await {
            Ok(done) => {
                self.report(Event::new(resource, after, Phase::Done));
                Ok(done)
            }
            Err(error) => {
                let error = error.into();
                self.report(Event::new(resource, "Error", Phase::Failed));
                Err(error)
            }
        }
    }

    /// Removes something; that it is gone already or that others still use it is no failure.
    async fn removed(&self, resource: String, path: &str, query: &[(&str, String)]) -> Result<(), RunError> {
        self.report(Event::new(&resource, "Removing", Phase::Working));
        let is_container = resource.starts_with("Container");
        let (text, phase) = match self.client.delete::<Value>(path, query).await {
            Ok(_) => ("Removed", Phase::Done),
            Err(error) if error.is_not_found() => ("Removed", Phase::Done),
            // A container whose removal is on its way; a network, volume or image that is in use.
            Err(error) if error.status() == Some(409) && is_container => ("Removed", Phase::Done),
            Err(error) if matches!(error.status(), Some(403 | 409)) => {
                ("Resource is still in use", Phase::Warning)
            }
            Err(error) => {
                self.report(Event::new(resource, "Error", Phase::Failed));
                return Err(error.into());
            }
        };
        self.report(Event::new(resource, text, phase));
        Ok(())
    }

    async fn create(&self, create: &CreateContainer) -> Result<(), RunError> {
        let recreates = create.shown != create.name;
        let (before, after) = if recreates { ("Recreate", "Recreated") } else { ("Creating", "Created") };
        let creating = async {
            let mut request = create.request.clone();
            self.resolve(&mut request);
            self.rehash(&create.service, &mut request);
            let mut query = vec![("name", create.name.clone())];
            query.extend(create.platform.clone().map(|platform| ("platform", platform)));
            create_container(self.client, &create.service, request, self.around().proxies(), &query).await
        };
        let id = self.shown(format!("Container {}", create.shown), before, after, creating).await?;
        self.learn(&create.name, id);
        Ok(())
    }

    /// Puts ids where the request names containers of the project.
    pub(super) fn resolve(&self, request: &mut Value) {
        let host = &mut request["HostConfig"];
        for mode in ["NetworkMode", "IpcMode", "PidMode"] {
            if let Some(name) = host[mode].as_str().and_then(|mode| mode.strip_prefix("container:")) {
                host[mode] = format!("container:{}", self.id(name)).into();
            }
        }
        for from in host["VolumesFrom"].as_array_mut().into_iter().flatten() {
            let text = from.as_str().unwrap_or_default().to_owned();
            let (name, mode) =
                text.split_once(':').map_or((text.as_str(), None), |(name, mode)| (name, Some(mode)));
            let id = self.id(name);
            *from = mode.map_or(id.clone(), |mode| format!("{id}:{mode}")).into();
        }
    }

    /// The hash of a service that shares another's namespaces has their ids, which may be known only now.
    fn rehash(&self, service: &str, request: &mut Value) {
        let Some(service) = self.project.services.get(service) else { return };
        if let Some(hash) = shared_hash(self.project, service, &|name| Some(self.id(name))) {
            request["Labels"][labels::CONFIG_HASH] = hash.into();
        }
    }

    async fn start(&self, service: &str, name: &str) -> Result<(), RunError> {
        let starting = async {
            let id = self.id(name);
            if let Some(service) = self.project.services.get(service) {
                files::put(self.client, self.project, service, &id).await?;
            }
            self.client.post_empty::<()>(&format!("/containers/{id}/start"), &[]).await?;
            self.hooks(service, name, "post_start").await
        };
        self.shown(format!("Container {name}"), "Starting", "Started", starting).await
    }

    async fn stop(&self, service: &str, name: &str, timeout: Option<Duration>) -> Result<(), RunError> {
        match self.hooks(service, name, "pre_stop").await {
            // One that has ended by itself meanwhile has nothing to run hooks in.
            Err(RunError::Engine(error)) if matches!(error.status(), Some(404 | 409)) => {}
            done => done?,
        }
        let stopped = self
            .client
            .post_empty::<()>(&format!("/containers/{}/stop", self.id(name)), &seconds(timeout))
            .await;
        match stopped {
            Err(error) if error.is_not_found() => Ok(()),
            done => Ok(done?),
        }
    }

    async fn hooks(&self, service: &str, name: &str, kind: &'static str) -> Result<(), RunError> {
        let Some(service) = self.project.services.get(service) else { return Ok(()) };
        let hooks = if kind == "post_start" { &service.post_start } else { &service.pre_stop };
        for hook in hooks {
            let ran = exec::run_in(self.client, &self.id(name), hook).await?;
            for line in ran.output.lines() {
                self.around().message(&service.name, &json!({"stream": format!("{line}\n")}));
            }
            if ran.code != 0 {
                return Err(RunError::Hook { kind, container: name.to_owned(), code: ran.code });
            }
        }
        Ok(())
    }

    async fn pull(&self, service: &str, image: &str, platform: Option<&str>) -> Result<(), RunError> {
        let mut query = image_query(image);
        query.extend(platform.map(|platform| ("platform", platform.to_owned())));
        let headers = self.around().registry_headers(image);
        let pulling =
            self.told(service, format!("pull {image}"), "/images/create", &query, Body::Empty, headers);
        self.shown(service.to_owned(), "Pulling", "Pulled", pulling).await
    }

    /// Pushes an image.
    ///
    /// # Errors
    /// The engine's own.
    pub async fn push(&self, service: &str, image: &str) -> Result<(), RunError> {
        let (name, tag) = split_tag(image);
        let query = [("tag", tag.unwrap_or("latest").to_owned())];
        let headers = self.around().registry_headers(image);
        let path = format!("/images/{name}/push");
        let pushing = self.told(service, format!("push {image}"), &path, &query, Body::Empty, headers);
        self.shown(service.to_owned(), "Pushing", "Pushed", pushing).await
    }

    async fn build(&self, service: &str, image: &str) -> Result<(), RunError> {
        let Some(config) = self.project.services.get(service) else { return Ok(()) };
        let flags = self.build_flags();
        let building = build::build(self.client, self.project, config, image, flags, self.around());
        self.shown(service.to_owned(), "Building", "Built", building).await
    }

    /// A request whose answer is the engine's progress.
    async fn told(
        &self,
        service: &str,
        what: String,
        path: &str,
        query: &[(&str, String)],
        body: Body,
        headers: minke_docker_client::HeaderMap,
    ) -> Result<(), RunError> {
        let response = self.client.stream(Method::POST, path, query, body, headers).await?;
        let mut messages = json_lines::<Value>(response.body);
        while let Some(message) = messages.next().await {
            let message = message?;
            if let Some(problem) = problem(&message) {
                return Err(RunError::Told { what, message: problem.to_owned() });
            }
            self.around().message(service, &message);
        }
        Ok(())
    }
}

/// Why an engine gave up in the middle of its messages.
pub(super) fn problem(message: &Value) -> Option<&str> {
    message["errorDetail"]["message"].as_str().or_else(|| message["error"].as_str())
}

fn conflict_is_fine(error: Error) -> Result<(), Error> {
    if error.status() == Some(409) { Ok(()) } else { Err(error) }
}

fn seconds(timeout: Option<Duration>) -> Vec<(&'static str, String)> {
    timeout.map(|timeout| ("t", timeout.as_secs().to_string())).into_iter().collect()
}

/// The name, and apart from it the tag or digest.
fn image_query(image: &str) -> Vec<(&'static str, String)> {
    let (name, tag) = match image.split_once('@') {
        Some((name, digest)) => (split_tag(name).0, Some(digest)),
        None => split_tag(image),
    };
    vec![("fromImage", name.to_owned()), ("tag", tag.unwrap_or("latest").to_owned())]
}

/// Splits `host:5000/name:tag` at the tag's colon.
fn split_tag(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_names_the_tag_or_the_digest_apart() {
        let of = |image| image_query(image).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(of("redis"), ["redis", "latest"]);
        assert_eq!(of("r:5000/a/b:1"), ["r:5000/a/b", "1"]);
        assert_eq!(of("r:5000/a"), ["r:5000/a", "latest"]);
        assert_eq!(of("a:1@sha256:00"), ["a", "sha256:00"]);
    }
}
