//! A container's configuration at creation: what the request says, and the image's where it says nothing.

use bollard_stubs::models::{ContainerConfig, ContainerCreateBody, HealthConfig};
use minke_image::{Healthcheck, RunConfig};

use crate::{Error, spec::env};

/// The request without its host part.
pub(crate) fn config_of(body: ContainerCreateBody) -> ContainerConfig {
    ContainerConfig {
        hostname: body.hostname,
        domainname: body.domainname,
        user: body.user,
        attach_stdin: body.attach_stdin,
        attach_stdout: body.attach_stdout,
        attach_stderr: body.attach_stderr,
        exposed_ports: body.exposed_ports,
        tty: body.tty,
        open_stdin: body.open_stdin,
        stdin_once: body.stdin_once,
        env: body.env,
        cmd: body.cmd,
        healthcheck: body.healthcheck,
        args_escaped: body.args_escaped,
        image: body.image,
        volumes: body.volumes,
        working_dir: body.working_dir,
        entrypoint: body.entrypoint,
        network_disabled: body.network_disabled,
        on_build: body.on_build,
        labels: body.labels,
        stop_signal: body.stop_signal,
        stop_timeout: body.stop_timeout,
        shell: body.shell,
    }
}

/// Fills in the image's part.
///
/// # Errors
/// `InvalidParameter` when there is no command in the end, a variable without a name, or a working
/// directory that isn't absolute.
pub(crate) fn merge(config: &mut ContainerConfig, image: &RunConfig) -> Result<(), Error> {
    let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    if empty(&config.user) {
        config.user = Some(image.user.clone());
    }
    let mut ports: Vec<String> = config.exposed_ports.take().unwrap_or_default();
    ports.extend(
        image
            .exposed_ports
            .keys()
            .map(|port| normal_port(port))
            .filter(|port| !ports.contains(port))
            .collect::<Vec<_>>(),
    );
    ports.sort();
    config.exposed_ports = Some(ports).filter(|ports| !ports.is_empty());

    let user_env = config.env.take().unwrap_or_default();
    if let Some(bad) =
        user_env.iter().find(|entry| entry.is_empty() || entry.starts_with('=') || entry.contains('\0'))
    {
        return Err(Error::invalid(format!("invalid environment variable: {}", bad.escape_debug())));
    }
    config.env = Some(env::merge(&image.env, &user_env)).filter(|env| !env.is_empty());

    let mut labels = config.labels.take().unwrap_or_default();
    for (key, value) in &image.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    config.labels = Some(labels);

    // A new entry point makes the image's command meaningless (Docker, "CMD and ENTRYPOINT"), and an empty one is none at all.
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) && config.cmd.as_ref().is_none_or(Vec::is_empty) {
        config.cmd = image.cmd.clone();
    }
    if config.entrypoint.is_none() {
        config.entrypoint = image.entrypoint.clone();
    }
    if empty(&config.working_dir) {
        config.working_dir = Some(image.working_dir.clone());
    }
    if config.working_dir.as_deref().is_some_and(|dir| !dir.is_empty() && !dir.starts_with('/')) {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir.as_deref().unwrap_or("")
        )));
    }
    if let Some(directory) = config.working_dir.as_mut().filter(|dir| !dir.is_empty()) {
        *directory = crate::volumes::clean_path(directory);
    }
    let mut volumes = config.volumes.take().unwrap_or_default();
    volumes.extend(image.volumes.keys().filter(|path| !volumes.contains(path)).cloned().collect::<Vec<_>>());
    volumes.sort();
    config.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
    if empty(&config.stop_signal) {
        config.stop_signal = image.stop_signal.clone();
    }
    config.healthcheck = merge_health(config.healthcheck.take(), image.healthcheck.as_ref());
    if crate::spec::arguments(config).is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    Ok(())
}

/// An image's check as the API has it: what is zero isn't said.
pub(crate) fn health_config(check: &Healthcheck) -> HealthConfig {
    let said = |number: i64| Some(number).filter(|number| *number != 0);
    HealthConfig {
        test: Some(check.test.clone()),
        interval: said(check.interval),
        timeout: said(check.timeout),
        retries: said(check.retries),
        start_period: said(check.start_period),
        start_interval: said(check.start_interval),
    }
}

/// The user's times with the image's test, as `--health-interval` alone means.
fn merge_health(user: Option<HealthConfig>, image: Option<&Healthcheck>) -> Option<HealthConfig> {
    let image = image.map(health_config);
    let Some(mut user) = user else { return image };
    let Some(image) = image else { return Some(user) };
    if user.test.as_ref().is_none_or(Vec::is_empty) {
        user.test = image.test;
    }
    let fill = |mine: &mut Option<i64>, other: Option<i64>| {
        if mine.is_none_or(|value| value == 0) {
            *mine = other;
        }
    };
    fill(&mut user.interval, image.interval);
    fill(&mut user.timeout, image.timeout);
    fill(&mut user.retries, image.retries);
    fill(&mut user.start_period, image.start_period);
    fill(&mut user.start_interval, image.start_interval);
    Some(user)
}

/// `80` is `80/tcp`.
fn normal_port(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn image() -> RunConfig {
        serde_json::from_str(
            r#"{"User":"app","Env":["PATH=/bin","A=1"],"Entrypoint":["/entry"],"Cmd":["serve"],"WorkingDir":"/srv",
                "ExposedPorts":{"80":{}},"Volumes":{"/data":{}},"Labels":{"a":"image","b":"image"},"StopSignal":"SIGQUIT",
                "Healthcheck":{"Test":["CMD","true"],"Retries":7}}"#,
        )
        .unwrap()
    }

    fn merged(mut config: ContainerConfig) -> ContainerConfig {
        merge(&mut config, &image()).unwrap();
        config
    }

    #[test]
    fn a_silent_request_gets_everything_from_the_image() {
        let config = merged(ContainerConfig::default());
        assert_eq!((config.entrypoint, config.cmd), (words(&["/entry"]), words(&["serve"])));
        assert_eq!((config.user.as_deref(), config.working_dir.as_deref()), (Some("app"), Some("/srv")));
        assert_eq!((config.exposed_ports, config.volumes), (words(&["80/tcp"]), words(&["/data"])));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    }

    #[test]
    fn a_command_keeps_the_entry_point_and_a_new_entry_point_drops_the_command() {
        let config = merged(ContainerConfig { cmd: words(&["-v"]), ..ContainerConfig::default() });
        assert_eq!((config.entrypoint, config.cmd), (words(&["/entry"]), words(&["-v"])));
        let config = merged(ContainerConfig { entrypoint: words(&["sh"]), ..ContainerConfig::default() });
        assert_eq!((config.entrypoint, config.cmd), (words(&["sh"]), None));
        let without =
            |cmd| ContainerConfig { entrypoint: Some(Vec::new()), cmd, ..ContainerConfig::default() };
        let config = merged(without(words(&["echo"])));
        assert_eq!((config.entrypoint, config.cmd), (Some(Vec::new()), words(&["echo"])));
        assert_eq!(merged(without(None)).cmd, words(&["serve"]));
    }

    #[test]
    fn labels_and_health_are_merged_by_field() {
        let config = merged(ContainerConfig {
            labels: Some([("a".to_owned(), "user".to_owned())].into()),
            healthcheck: Some(HealthConfig { interval: Some(5), ..HealthConfig::default() }),
            ..ContainerConfig::default()
        });
        let labels = config.labels.unwrap();
        assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("user", "image"));
        let health = config.healthcheck.unwrap();
        assert_eq!(
            (health.test, health.interval, health.retries),
            (words(&["CMD", "true"]), Some(5), Some(7))
        );
    }

    #[test]
    fn nothing_to_run_and_nonsense_are_refused() {
        let mut config = ContainerConfig::default();
        assert_eq!(
            merge(&mut config, &RunConfig::default()).unwrap_err().to_string(),
            "no command specified"
        );
        let mut config =
            ContainerConfig { env: words(&["=x"]), cmd: words(&["sh"]), ..ContainerConfig::default() };
        assert!(merge(&mut config, &image()).is_err());
        let mut config = ContainerConfig {
            working_dir: Some("srv".into()),
            cmd: words(&["sh"]),
            ..ContainerConfig::default()
        };
        assert!(merge(&mut config, &image()).unwrap_err().to_string().contains("'srv'"));
    }
}
