//! What plans are made of which projects and observations.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::*;
use crate::model::{Dependency, Hook, Project, Service, ServiceNetwork, Volume};
use crate::render;

/// A project of services `name: dependencies`, each on the default network.
pub(crate) fn project(services: &[(&str, &[(&str, &str)])]) -> Project {
    let mut project = Project { name: "p".into(), working_dir: "/p".into(), ..Project::default() };
    let default = crate::model::Network { name: "p_default".into(), ..Default::default() };
    project.networks.insert("default".into(), default);
    for (name, dependencies) in services {
        let depends_on = dependencies.iter().map(|(name, condition)| {
            let condition = format!("service_{condition}");
            ((*name).to_owned(), Dependency { condition, required: true, ..Dependency::default() })
        });
        let networks = BTreeMap::from([("default".to_owned(), None::<ServiceNetwork>)]);
        let service = Service {
            name: (*name).to_owned(),
            image: format!("{name}:1"),
            depends_on: depends_on.collect(),
            networks,
            ..Service::default()
        };
        project.services.insert((*name).to_owned(), service);
    }
    project
}

const NONE: &BTreeMap<String, String> = &BTreeMap::new();

fn origin<'a>(project: &'a Project, observed: &'a Observed) -> Origin<'a> {
    Origin { project, observed, env_files: &[], profiles: NONE }
}

fn image(name: &str) -> Image {
    Image { id: format!("sha256:{name}"), ..Image::default() }
}

/// A running container just as `up` makes it.
pub(crate) fn running(project: &Project, service: &Service, number: u32) -> Container {
    let image_name = names::image(&project.name, service);
    let networks = service.networks.keys().map(|key| {
        let name = project.networks[key].name.clone();
        let id = format!("id-of-{name}");
        (name, Endpoint { network_id: id })
    });
    let labels = [
        (labels::PROJECT, project.name.clone()),
        (labels::SERVICE, service.name.clone()),
        (labels::NUMBER, number.to_string()),
        (labels::ONEOFF, "False".to_owned()),
        (labels::CONFIG_HASH, render::service_hash(service)),
        (labels::IMAGE, image(&image_name).id),
    ];
    let volumes = service.volumes.iter().filter_map(|mount| project.volumes.get(&mount.source));
    let mounts =
        volumes.map(|volume| Mount { kind: "volume".into(), name: volume.name.clone(), ..Mount::default() });
    Container {
        id: format!("{}{number}000000000000", service.name),
        names: vec![format!("/{}", names::container(&project.name, service, number))],
        image: image_name,
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        state: "running".into(),
        status: "Up 1 second".into(),
        network_settings: Networks { networks: networks.collect() },
        mounts: mounts.collect(),
        ..Container::default()
    }
}

/// All of a project, as it is after `up`.
fn converged(project: &Project) -> Observed {
    let mut observed = Observed::default();
    for service in project.services.values() {
        for number in 1..=names::scale(service) {
            observed.containers.push(running(project, service, number));
        }
        let name = names::image(&project.name, service);
        observed.images.insert(name.clone(), image(&name));
    }
    for network in project.networks.values() {
        let labels = BTreeMap::from([
            (labels::PROJECT.to_owned(), project.name.clone()),
            (labels::CONFIG_HASH.to_owned(), render::network_hash(network)),
        ]);
        observed.networks.push(Network {
            name: network.name.clone(),
            id: format!("id-of-{}", network.name),
            labels,
        });
    }
    for volume in project.volumes.values() {
        let labels = BTreeMap::from([
            (labels::PROJECT.to_owned(), project.name.clone()),
            (labels::CONFIG_HASH.to_owned(), render::volume_hash(volume)),
        ]);
        observed.volumes.push(observed::Volume { name: volume.name.clone(), labels, ..Default::default() });
    }
    observed
}

fn up_with(project: &Project, observed: &Observed, change: impl FnOnce(&mut Up)) -> Plan {
    let mut options = Up { start: true, ..Up::default() };
    change(&mut options);
    up(origin(project, observed), &options).unwrap()
}

fn up_of(project: &Project, observed: &Observed) -> Plan {
    up_with(project, observed, |_| {})
}

#[test]
fn from_nothing_everything_is_made_at_once_and_started_in_order() {
    let project = project(&[("web", &[("app", "started")]), ("app", &[("db", "healthy")]), ("db", &[])]);
    assert_eq!(
        up_of(&project, &Observed::default()).to_string(),
        "1. create network p_default\n\
         2. create container p-db-1 (missing) after 1\n\
         3. create container p-app-1 (missing) after 1\n\
         4. create container p-web-1 (missing) after 1\n\
         5. start container p-db-1 after 2\n\
         6. wait until db is healthy after 5\n\
         7. start container p-app-1 after 3, 6\n\
         8. start container p-web-1 after 4, 7\n"
    );
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let mut project = project(&[("web", &[("db", "healthy")]), ("db", &[])]);
    project.services.get_mut("web").unwrap().scale = Some(3);
    let observed = converged(&project);
    let plan = up_of(&project, &observed);
    assert!(plan.is_empty() && plan.warnings.is_empty(), "{plan}");
}

#[test]
fn a_changed_service_is_made_anew_beside_the_old_container_and_the_others_stay() {
    let mut project = project(&[("web", &[("db", "started")]), ("db", &[])]);
    let observed = converged(&project);
    project.services.get_mut("db").unwrap().user = "nobody".into();
    assert_eq!(
        up_of(&project, &observed).to_string(),
        "1. create container db1000000000_p-db-1 (configuration changed)\n\
         2. stop container p-db-1 after 1\n\
         3. remove container p-db-1 after 1, 2\n\
         4. rename container db1000000000_p-db-1 to p-db-1 after 3\n\
         5. start container p-db-1 after 4\n"
    );
}

#[test]
fn those_that_ask_for_it_stop_and_start_with_their_dependency() {
    let mut project = project(&[("web", &[("db", "started")]), ("db", &[])]);
    project.services.get_mut("web").unwrap().depends_on.get_mut("db").unwrap().restart = true;
    let observed = converged(&project);
    project.services.get_mut("db").unwrap().user = "nobody".into();
    let lines = up_of(&project, &observed).lines();
    let place = |line: &str| lines.iter().position(|other| other == line).expect(line);
    assert!(place("stop container p-web-1") < place("stop container p-db-1"));
    assert!(place("start container p-db-1") < place("start container p-web-1"));
}

#[test]
fn a_new_image_makes_a_container_anew() {
    let project = project(&[("db", &[])]);
    let mut observed = converged(&project);
    observed.images.insert("db:1".into(), Image { id: "sha256:other".into(), ..Image::default() });
    assert_eq!(up_of(&project, &observed).lines()[0], "create container db1000000000_p-db-1 (image changed)");
}

#[test]
fn force_and_never_are_for_the_named_services_unless_told_otherwise() {
    let project = project(&[("web", &[("db", "started")]), ("db", &[])]);
    let observed = converged(&project);
    let plan = up_with(&project, &observed, |up| {
        up.services = vec!["web".into()];
        up.recreate = Recreate::Force;
    });
    assert!(plan.lines().iter().all(|line| line.contains("web")), "{plan}");
    let plan = up_with(&project, &observed, |up| {
        up.recreate = Recreate::Force;
        up.recreate_dependencies = Recreate::Force;
    });
    assert_eq!(plan.lines().iter().filter(|line| line.starts_with("create")).count(), 2);
    let mut changed = project.clone();
    changed.services.get_mut("db").unwrap().user = "nobody".into();
    let plan = up_with(&changed, &observed, |up| up.recreate = Recreate::Never);
    assert!(plan.is_empty(), "{plan}");
}

#[test]
fn scaling_adds_the_next_numbers_and_takes_away_the_highest() {
    let mut project = project(&[("web", &[])]);
    project.services.get_mut("web").unwrap().scale = Some(2);
    let observed = converged(&project);
    project.services.get_mut("web").unwrap().scale = Some(4);
    assert_eq!(
        up_of(&project, &observed).lines(),
        [
            "create container p-web-3 (missing)",
            "create container p-web-4 (missing)",
            "start container p-web-3",
            "start container p-web-4"
        ]
    );
    project.services.get_mut("web").unwrap().scale = Some(1);
    assert_eq!(up_of(&project, &observed).lines(), ["stop container p-web-2", "remove container p-web-2"]);
    project.services.get_mut("web").unwrap().scale = Some(0);
    assert_eq!(up_of(&project, &observed).steps.len(), 4);
}

#[test]
fn stopped_containers_are_started_again() {
    let project = project(&[("web", &[("db", "started")]), ("db", &[])]);
    let mut observed = converged(&project);
    for container in &mut observed.containers {
        container.state = "exited".into();
    }
    assert_eq!(
        up_of(&project, &observed).to_string(),
        "1. start container p-db-1\n2. start container p-web-1 after 1\n"
    );
}

#[test]
fn an_interrupted_replacement_is_finished_or_begun_again() {
    let project = project(&[("db", &[])]);
    let old = running(&project, &project.services["db"], 1);
    let mut new = old.clone();
    new.id = "newnewnewnew".into();
    new.names = vec!["/db1000000000_p-db-1".into()];
    new.state = "created".into();
    new.labels.insert(labels::REPLACE.into(), "p-db-1".into());
    // The old one is gone: the new one takes its name.
    let mut observed = Observed { containers: vec![new.clone()], ..converged(&project) };
    assert_eq!(
        up_of(&project, &observed).lines(),
        ["rename container db1000000000_p-db-1 to p-db-1", "start container p-db-1"]
    );
    // The old one is there, and differs: all over again, without the leftover.
    let mut differs = old;
    differs.labels.insert(labels::CONFIG_HASH.into(), "other".into());
    observed.containers = vec![differs, new];
    assert_eq!(up_of(&project, &observed).lines()[0], "remove container db1000000000_p-db-1");
}

#[test]
fn a_changed_network_is_made_anew_once_nothing_is_in_it() {
    let mut project = project(&[("web", &[])]);
    let observed = converged(&project);
    project.networks.get_mut("default").unwrap().internal = true;
    assert_eq!(
        up_of(&project, &observed).to_string(),
        "1. stop container p-web-1\n\
         2. remove container p-web-1 after 1\n\
         3. remove network p_default after 2\n\
         4. create network p_default after 3\n\
         5. create container p-web-1 (network changed) after 2, 4\n\
         6. start container p-web-1 after 5\n"
    );
}

fn with_volume(project: &mut Project) {
    let volume = Volume { name: "p_data".into(), ..Default::default() };
    project.volumes.insert("data".into(), volume);
    let mount = crate::model::Mount {
        kind: "volume".into(),
        source: "data".into(),
        target: "/data".into(),
        ..Default::default()
    };
    project.services.get_mut("db").unwrap().volumes.push(mount);
}

#[test]
fn a_changed_volume_is_kept_unless_the_user_agrees_to_lose_it() {
    let mut project = project(&[("db", &[])]);
    with_volume(&mut project);
    let observed = converged(&project);
    project.volumes.get_mut("data").unwrap().driver_opts.insert("type".into(), "tmpfs".into());
    assert_eq!(diverged_volumes(&project, &observed), ["p_data"]);
    assert!(up_of(&project, &observed).is_empty());
    let plan = up_with(&project, &observed, |up| up.replace_volumes = true);
    assert_eq!(
        plan.lines(),
        [
            "stop container p-db-1",
            "remove container p-db-1",
            "remove volume p_data",
            "create volume p_data",
            "create container p-db-1 (volume changed)",
            "start container p-db-1"
        ]
    );
}

#[test]
fn what_shares_a_namespace_is_made_after_its_owner_and_anew_with_it() {
    let mut project = project(&[("app", &[]), ("side", &[("app", "started")])]);
    let side = project.services.get_mut("side").unwrap();
    side.network_mode = "service:app".into();
    side.networks.clear();
    let plan = up_of(&project, &Observed::default());
    assert_eq!(plan.steps[2].command.to_string(), "create container p-side-1 (missing)");
    assert_eq!(plan.steps[2].after, [1]);
    let Command::CreateContainer(create) = &plan.steps[2].command else { panic!() };
    assert_eq!(create.request["HostConfig"]["NetworkMode"], json!("container:p-app-1"));

    let observed = converged(&project);
    project.services.get_mut("app").unwrap().user = "nobody".into();
    let lines = up_of(&project, &observed).lines();
    assert!(lines.iter().any(|line| line.ends_with("p-side-1 (what it shares is made anew)")), "{lines:?}");
}

#[test]
fn strangers_networks_are_used_with_a_warning_and_missing_external_ones_are_an_error() {
    let mut project = project(&[("web", &[])]);
    let mut observed = converged(&project);
    observed.networks[0].labels.clear();
    let plan = up_of(&project, &observed);
    assert!(plan.is_empty() && plan.warnings[0].contains("external: true"), "{:?}", plan.warnings);
    project.networks.get_mut("default").unwrap().external = true;
    observed.networks.clear();
    let error = up(origin(&project, &observed), &Up::default()).unwrap_err();
    assert_eq!(error.to_string(), "network p_default declared as external, but could not be found");
}

#[test]
fn orphans_are_told_or_removed() {
    let whole = project(&[("web", &[]), ("old", &[])]);
    let observed = converged(&whole);
    let project = project(&[("web", &[])]);
    let plan = up_of(&project, &observed);
    assert!(plan.is_empty() && plan.warnings[0].starts_with("Found orphan containers ([p-old-1])"));
    let plan = up_with(&project, &observed, |up| up.remove_orphans = true);
    assert_eq!(plan.lines(), ["stop container p-old-1", "remove container p-old-1"]);
}

#[test]
fn wait_waits_for_all_also_for_those_that_run() {
    let project = project(&[("db", &[])]);
    let observed = converged(&project);
    let plan = up_with(&project, &observed, |up| up.wait = true);
    assert_eq!(plan.lines(), ["wait until db is running or healthy"]);
}

#[test]
fn one_name_is_for_one_container() {
    let mut project = project(&[("a", &[]), ("b", &[])]);
    for service in project.services.values_mut() {
        service.container_name = "same".into();
    }
    let error = |project: &Project| up(origin(project, &Observed::default()), &Up::default()).unwrap_err();
    assert!(matches!(error(&project), PlanError::SameName { .. }));
    project.services.remove("b");
    project.services.get_mut("a").unwrap().scale = Some(2);
    assert!(matches!(error(&project), PlanError::NameTaken { .. }));
}

#[test]
fn down_goes_the_other_way_and_keeps_volumes_unless_told() {
    let mut project = project(&[("web", &[("db", "started")]), ("db", &[])]);
    with_volume(&mut project);
    let observed = converged(&project);
    let plan = down(&project, &observed, &Down::default()).unwrap();
    assert_eq!(
        plan.to_string(),
        "1. stop container p-web-1\n\
         2. remove container p-web-1 after 1\n\
         3. stop container p-db-1 after 2\n\
         4. remove container p-db-1 after 3\n\
         5. remove network p_default after 2, 4\n"
    );
    let options = Down { volumes: true, images: RemovedImages::All, ..Down::default() };
    let lines = down(&project, &observed, &options).unwrap().lines();
    assert_eq!(&lines[5..], ["remove volume p_data", "remove image db:1", "remove image web:1"]);
}

#[test]
fn a_project_without_its_file_is_recalled_from_labels() {
    let project = project(&[("web", &[("db", "healthy")]), ("db", &[])]);
    let mut observed = converged(&project);
    let web = observed.containers.iter_mut().find(|container| container.service() == "web").unwrap();
    web.labels.insert(labels::DEPENDS_ON.into(), "db:service_healthy:false".into());
    let recalled = recall("p", &observed);
    let plan = down(&recalled, &observed, &Down::default()).unwrap();
    assert_eq!(plan.lines()[0], "stop container p-web-1");
    assert_eq!(plan.lines().last().unwrap(), "remove network p_default");
}

#[test]
fn images_are_built_pulled_or_left_as_policies_say() {
    let mut project = project(&[("a", &[]), ("b", &[])]);
    project.services.get_mut("b").unwrap().build = Some(crate::model::Build::default());
    let observed = converged(&project);
    let needed = |project: &Project, observed: &Observed, pull, build| {
        images::needed(project, observed, pull, build).lines()
    };
    use images::{Build, Pull};
    assert!(needed(&project, &observed, Pull::Policy, Build::Missing).is_empty());
    let nothing = Observed::default();
    assert_eq!(
        needed(&project, &nothing, Pull::Policy, Build::Missing),
        ["pull image a:1", "build image b:1 of b"]
    );
    assert_eq!(needed(&project, &nothing, Pull::Never, Build::Never), Vec::<String>::new());
    assert_eq!(
        needed(&project, &observed, Pull::Always, Build::Always),
        ["pull image a:1", "build image b:1 of b"]
    );
    project.services.get_mut("a").unwrap().pull_policy = "always".into();
    assert_eq!(needed(&project, &observed, Pull::Policy, Build::Missing), ["pull image a:1"]);
}

#[test]
fn what_comes_before_a_start_runs_once_or_for_each_container() {
    let mut project = project(&[("web", &[("db", "started")]), ("db", &[])]);
    let web = project.services.get_mut("web").unwrap();
    web.scale = Some(2);
    let hook = |image: &str, per_replica| Hook { image: image.into(), per_replica, ..Hook::default() };
    web.pre_start = vec![hook("", false), hook("tool:1", true)];
    let plan = up_of(&project, &Observed::default());
    assert_eq!(
        plan.to_string(),
        "1. create network p_default\n\
         2. create container p-db-1 (missing) after 1\n\
         3. create container p-web-1 (missing) after 1\n\
         4. create container p-web-2 (missing) after 1\n\
         5. start container p-db-1 after 2\n\
         6. run 1 containers before web after 3, 5\n\
         7. run 1 containers before web after 3, 5, 6\n\
         8. start container p-web-1 after 3, 5, 7\n\
         9. run 1 containers before web after 4, 5, 6\n\
         10. start container p-web-2 after 4, 5, 9\n"
    );
    let Command::RunBefore { requests, .. } = &plan.steps[6].command else { panic!("{plan}") };
    assert_eq!(requests[0].0, 1);
    assert_eq!(requests[0].1["Image"], "tool:1");
    assert_eq!(requests[0].1["HostConfig"]["VolumesFrom"], json!(["p-web-1"]));
    let pulls = images::needed(&project, &Observed::default(), images::Pull::Policy, images::Build::Missing);
    assert!(pulls.lines().contains(&"pull image tool:1".to_owned()));
}

#[test]
fn an_image_is_pulled_again_when_its_time_has_come() {
    let mut project = project(&[("a", &[])]);
    let mut observed = converged(&project);
    let hour = Duration::from_secs(60 * 60);
    let mut pulled = |policy: &str, age| {
        project.services.get_mut("a").unwrap().pull_policy = policy.into();
        observed.images.get_mut("a:1").unwrap().age = age;
        !images::needed(&project, &observed, images::Pull::Policy, images::Build::Missing).is_empty()
    };
    assert!(!pulled("daily", Some(23 * hour)) && pulled("daily", Some(25 * hour)));
    assert!(!pulled("weekly", Some(25 * hour)) && pulled("weekly", Some(8 * 24 * hour)));
    assert!(!pulled("every_1h30m", Some(hour)) && pulled("every_1h30m", Some(2 * hour)));
    assert!(pulled("daily", None), "an engine that doesn't note when is asked each time");
    assert!(!pulled("missing", None) && !pulled("", Some(9 * 24 * hour)));
}

#[test]
fn pictures_name_services_networks_volumes_and_the_order_of_the_start() {
    let mut project = project(&[("web", &[("db", "healthy")]), ("db", &[])]);
    with_volume(&mut project);
    let chart = mermaid(&project).unwrap();
    assert!(
        chart.contains("s_db -->|is healthy| s_web") && chart.contains("v_data[(\"p_data\")]"),
        "{chart}"
    );
    let picture = svg(&project).unwrap();
    for text in [">web<", ">db<", ">p_default<", ">p_data<", ">is healthy<", "</svg>"] {
        assert!(picture.contains(text), "{text}");
    }
    assert_eq!(
        outline(&project).unwrap(),
        "p\n├─ start 1\n│  ├─ db  db:1\n│  │    in default\n│  │    volume data at /data\n├─ start 2\n│  ├─ web  web:1\n\
         │  │    after db is healthy\n│  │    in default\n├─ network p_default\n├─ volume p_data\n"
    );
}
