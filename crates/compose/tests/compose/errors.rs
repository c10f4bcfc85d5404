//! What a user's mistakes are told as: the file, the line, the attribute, and what may have been meant.

use minke_compose::load::LoadError;

use crate::memory::Memory;

/// Files of a case; the first is `compose.yaml`.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("an unknown attribute", &[("compose.yaml", "services:\n  web:\n    imgae: nginx\n")]),
    ("an unknown attribute that is near none", &[("compose.yaml", "services:\n  web:\n    quux: 1\n")]),
    (
        "an unknown member of a long form",
        &[(
            "compose.yaml",
            "services:\n  web:\n    image: x\n    ports:\n      - \"80\"\n      - target: 81\n        publish: 8081\n",
        )],
    ),
    ("an unknown section", &[("compose.yaml", "service:\n  web: {image: x}\n")]),
    ("a list where a string belongs", &[("compose.yaml", "services:\n  web:\n    image: [nginx]\n")]),
    (
        "a string where a list belongs",
        &[("compose.yaml", "services:\n  web: {image: x, ports: \"80:80\"}\n")],
    ),
    ("a service that is nothing", &[("compose.yaml", "services:\n  web:\n")]),
    (
        "a choice there isn't",
        &[(
            "compose.yaml",
            "services:\n  a: {image: x, depends_on: {b: {condition: service_healty}}}\n  b: {image: x}\n",
        )],
    ),
    (
        "a dependency without its condition",
        &[(
            "compose.yaml",
            "services:\n  a: {image: x, depends_on: {b: {restart: true}}}\n  b: {image: x}\n",
        )],
    ),
    (
        "a port that is none",
        &[("compose.yaml", "services:\n  web: {image: x, ports: [\"80:80\", \"http:80\"]}\n")],
    ),
    ("a volume that is none", &[("compose.yaml", "services:\n  web: {image: x, volumes: [\"abc::/x\"]}\n")]),
    ("a duration that is none", &[("compose.yaml", "services:\n  web: {image: x, stop_grace_period: 10}\n")]),
    (
        "a duration without a unit",
        &[("compose.yaml", "services:\n  web: {image: x, stop_grace_period: \"10\"}\n")],
    ),
    ("a size that is none", &[("compose.yaml", "services:\n  web: {image: x, mem_limit: 10q}\n")]),
    ("a boolean that is none", &[("compose.yaml", "services:\n  web: {image: x, privileged: \"maybe\"}\n")]),
    ("a number out of range", &[("compose.yaml", "services:\n  web: {image: x, oom_score_adj: 2000}\n")]),
    (
        "a capability that stands twice",
        &[("compose.yaml", "services:\n  web: {image: x, security_opt: [a, b, a]}\n")],
    ),
    ("a name with a space", &[("compose.yaml", "services:\n  web server: {image: x}\n")]),
    ("a name that stands twice", &[("compose.yaml", "services:\n  web:\n    image: x\n    image: y\n")]),
    ("a name that is a number", &[("compose.yaml", "services:\n  web: {image: x, environment: {1: a}}\n")]),
    ("a tab for indentation", &[("compose.yaml", "services:\n\tweb: {}\n")]),
    ("a brace that isn't closed", &[("compose.yaml", "services: {web: {image: x}\n")]),
    ("an alias to nothing", &[("compose.yaml", "services:\n  web: *base\n")]),
    ("a top that is a list", &[("compose.yaml", "- services\n")]),
    ("an empty file", &[("compose.yaml", "# nothing\n")]),
    ("no file", &[("other.yaml", "")]),
    (
        "a variable that is required",
        &[("compose.yaml", "services:\n  web:\n    image: x:${TAG:?set TAG to a version}\n")],
    ),
    ("an interpolation that is none", &[("compose.yaml", "services:\n  web:\n    image: x:${TAG\n")]),
    (
        "a variable of another type",
        &[("compose.yaml", "services:\n  web:\n    image: x\n    scale: ${N}\n"), (".env", "N=many")],
    ),
    ("a broken .env", &[("compose.yaml", "services: {}\n"), (".env", "A=1\nB='x\n")]),
    ("an env_file that isn't there", &[("compose.yaml", "services: {a: {image: x, env_file: gone.env}}\n")]),
    (
        "an env_file of a format there isn't",
        &[
            ("compose.yaml", "services: {a: {image: x, env_file: [{path: a.env, format: json}]}}\n"),
            ("a.env", "A=1"),
        ],
    ),
    (
        "an undefined network",
        &[(
            "compose.yaml",
            "services:\n  web:\n    image: x\n    networks:\n      - frnt\nnetworks:\n  front:\n",
        )],
    ),
    ("an undefined volume", &[("compose.yaml", "services: {web: {image: x, volumes: [\"data:/data\"]}}\n")]),
    (
        "an undefined secret",
        &[(
            "compose.yaml",
            "services:\n  web:\n    image: x\n    secrets:\n      - one\n      - two\nsecrets: {one: {file: a}}\n",
        )],
    ),
    ("an undefined config", &[("compose.yaml", "services: {web: {image: x, configs: [c]}}\n")]),
    (
        "an undefined dependency",
        &[("compose.yaml", "services:\n  web: {image: x, depends_on: [dbb]}\n  db: {image: x}\n")],
    ),
    (
        "a dependency whose profile isn't active",
        &[(
            "compose.yaml",
            "services:\n  web: {image: x, depends_on: [db]}\n  db: {image: x, profiles: [data]}\n",
        )],
    ),
    (
        "a cycle of dependencies",
        &[(
            "compose.yaml",
            "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n  c: {image: x, links: [a]}\n",
        )],
    ),
    ("a service without an image", &[("compose.yaml", "services:\n  web:\n    command: x\n")]),
    (
        "a name for two containers",
        &[("compose.yaml", "services: {web: {image: x, container_name: one, scale: 2}}\n")],
    ),
    (
        "a name of two services' containers",
        &[(
            "compose.yaml",
            "services: {a: {image: x, container_name: one}, b: {image: x, container_name: one}}\n",
        )],
    ),
    (
        "two numbers of replicas",
        &[("compose.yaml", "services: {web: {image: x, scale: 2, deploy: {replicas: 3}}}\n")],
    ),
    (
        "two limits",
        &[(
            "compose.yaml",
            "services: {web: {image: x, mem_limit: 1m, deploy: {resources: {limits: {memory: 2m}}}}}\n",
        )],
    ),
    (
        "a network and a mode",
        &[(
            "compose.yaml",
            "services: {web: {image: x, network_mode: host, networks: [a]}}\nnetworks: {a: }\n",
        )],
    ),
    (
        "two mounts in one place",
        &[("compose.yaml", "services: {web: {image: x, tmpfs: /x, volumes: [/x]}}\n")],
    ),
    (
        "a health check that begins wrongly",
        &[("compose.yaml", "services: {web: {image: x, healthcheck: {test: [curl]}}}\n")],
    ),
    ("a secret from nowhere", &[("compose.yaml", "services: {}\nsecrets: {s: {labels: {a: b}}}\n")]),
    (
        "a config from two places",
        &[("compose.yaml", "configs:\n  c:\n    file: x\n    content: y\nservices: {}\n")],
    ),
    (
        "an external volume with a driver",
        &[("compose.yaml", "volumes: {v: {external: true, driver: x}}\nservices: {}\n")],
    ),
    (
        "a base that isn't there",
        &[("compose.yaml", "services:\n  web: {extends: bsae}\n  base: {image: x}\n")],
    ),
    (
        "a base in a file that isn't there",
        &[("compose.yaml", "services:\n  web: {extends: {file: x.yaml, service: y}}\n")],
    ),
    (
        "a base that is wrong",
        &[
            ("compose.yaml", "services:\n  web: {extends: {file: sub/base.yaml, service: base}}\n"),
            ("sub/base.yaml", "services:\n  base:\n    image: x\n    comand: y\n"),
        ],
    ),
    (
        "a cycle of extends",
        &[("compose.yaml", "services:\n  a: {extends: b}\n  b: {extends: c}\n  c: {extends: b}\n")],
    ),
    (
        "a cycle of includes",
        &[
            ("compose.yaml", "include: [sub/a.yaml]\nservices: {}\n"),
            ("sub/a.yaml", "include:\n  - ../compose.yaml\nservices: {}\n"),
        ],
    ),
    (
        "a conflict with what is included",
        &[
            ("compose.yaml", "include: [sub/a.yaml]\nservices:\n  web: {image: mine}\n"),
            ("sub/a.yaml", "services: {web: {image: theirs}}\n"),
        ],
    ),
    ("an include that isn't there", &[("compose.yaml", "include:\n  - sub/a.yaml\nservices: {}\n")]),
    (
        "a mistake in an override file",
        &[
            ("compose.yaml", "services:\n  web:\n    image: x\n"),
            ("compose.override.yaml", "services:\n  web:\n    enviroment: {A: 1}\n"),
        ],
    ),
    (
        "a list that an override makes a string",
        &[
            ("compose.yaml", "services:\n  web:\n    image: x\n    cap_add: [A]\n"),
            ("compose.override.yaml", "services:\n  web:\n    cap_add: B\n"),
        ],
    ),
    (
        "a line that is endless",
        &[(
            "compose.yaml",
            "services: {web: {image: x, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: 1, yyyy: 2}}\n",
        )],
    ),
];

fn told(error: &LoadError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mut all = String::new();
    for (title, files) in CASES {
        let error = match Memory::of(files).load() {
            Err(error) => told(&error),
            Ok(loaded) => panic!("{title}: taken as {:?}", loaded.project),
        };
        all += &format!("# {title}\n{error}\n\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_file_of_ten_megabytes_is_refused() {
    let text = format!("services:\n  web:\n    image: x\n    command: [{}]\n", "word, ".repeat(2 << 20));
    let error = Memory::of(&[("compose.yaml", &text)]).load().unwrap_err();
    assert_eq!(error.to_string(), "/srv/app/compose.yaml: larger than 4 MiB");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "services: {web: {image: x}}\nx-0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        text += &format!("x-{level}: &a{level} [{below}]\n");
    }
    let error = Memory::of(&[("compose.yaml", &text)]).load().unwrap_err();
    assert!(error.to_string().contains("more than 500000 values, with aliases expanded"), "{error}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let mut files = Memory::of(&[]);
    files.put("compose.yaml", b"services:\n  web: {image: \xff}\n");
    let error = files.load().unwrap_err();
    assert_eq!(error.to_string(), "/srv/app/compose.yaml:2: this is no UTF-8");
}

#[test]
fn a_thousand_services_are_loaded_and_printed_again() {
    let service = |n: usize| {
        format!(
            "  s{n}: {{image: x, ports: [\"{}:80\"], environment: {{A: b, N: {n}}}, depends_on: [s0]}}\n",
            1000 + n
        )
    };
    let text: String = (1..1000).map(service).collect();
    let text = format!("services:\n  s0: {{image: x}}\n{text}");
    let project = Memory::of(&[("compose.yaml", &text)]).load().unwrap().project;
    assert_eq!(project.services.len(), 1000);
    assert_eq!(minke_compose::render::yaml(&project).matches("condition: service_started").count(), 999);
}
