//! Whole command lines of `run` and the requests they become.

use std::path::Path;

use clap::{ArgAction, Args, Command, FromArgMatches};
use serde_json::{Value, json};

use super::{
    body::{self, Surroundings},
    csv_fields,
    options::ContainerOptions,
};

fn request(line: &str) -> Result<Value, String> {
    let command =
        ContainerOptions::augment_args(Command::new("run").no_binary_name(true).disable_help_flag(true))
            .mut_args(|arg| match arg.get_action() {
                ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
                _ => arg,
            });
    let words = line.split(' ').filter(|word| !word.is_empty());
    let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
    let options = ContainerOptions::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    let from = Surroundings {
        folder: Path::new("/here"),
        lookup: &|name| (name == "HOME").then(|| "/root".to_owned()),
    };
    let body = body::create(&options, "img", &["sh".to_owned(), "-c".to_owned()], from)
        .map_err(|error| error.to_string())?;
    Ok(serde_json::to_value(body).unwrap())
}

#[test]
fn flags_reach_the_fields_that_docker_puts_them_in() {
    let cases = [
        ("", "/Image", json!("img")),
        ("", "/Cmd", json!(["sh", "-c"])),
        ("", "/AttachStdout", json!(true)),
        ("", "/AttachStdin", json!(false)),
        ("", "/HostConfig/NetworkMode", json!("default")),
        ("-i", "/StdinOnce", json!(true)),
        ("-a stdin -a STDERR", "/AttachStdout", json!(false)),
        ("-a stdin -a STDERR", "/AttachStderr", json!(true)),
        ("--entrypoint=", "/Entrypoint", json!([""])),
        ("--entrypoint /bin/sh", "/Entrypoint", json!(["/bin/sh"])),
        ("-e A=1 -e HOME -e NONE", "/Env", json!(["A=1", "HOME=/root", "NONE"])),
        ("-m 512m", "/HostConfig/Memory", json!(536_870_912)),
        ("--memory-swap -1", "/HostConfig/MemorySwap", json!(-1)),
        ("--cpus 1.5", "/HostConfig/NanoCpus", json!(1_500_000_000)),
        ("--pids-limit -1", "/HostConfig/PidsLimit", json!(-1)),
        ("--init=false", "/HostConfig/Init", json!(false)),
        ("--init", "/HostConfig/Init", json!(true)),
        ("--rm", "/HostConfig/AutoRemove", json!(true)),
        ("-p 8080:80", "/HostConfig/PortBindings", json!({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]})),
        ("-p 8080:80", "/ExposedPorts", json!({"80/tcp": {}})),
        ("-P", "/HostConfig/PublishAllPorts", json!(true)),
        ("-v ./x:/y -v /anon", "/HostConfig/Binds", json!(["/here/x:/y"])),
        ("-v ./x:/y -v /anon", "/Volumes", json!({"/anon": {}})),
        ("--tmpfs /run:size=1m", "/HostConfig/Tmpfs", json!({"/run": "size=1m"})),
        (
            "--restart on-failure:3",
            "/HostConfig/RestartPolicy",
            json!({"Name": "on-failure", "MaximumRetryCount": 3}),
        ),
        (
            "--health-cmd true --health-interval 1m",
            "/Healthcheck",
            json!({"Test": ["CMD-SHELL", "true"], "Interval": 60_000_000_000_i64}),
        ),
        ("--no-healthcheck", "/Healthcheck/Test", json!(["NONE"])),
        (
            "--log-driver json-file --log-opt max-size=10m",
            "/HostConfig/LogConfig",
            json!({"Type": "json-file", "Config": {"max-size": "10m"}}),
        ),
        ("--security-opt systempaths=unconfined", "/HostConfig/MaskedPaths", json!([])),
        ("--ulimit nofile=1:2", "/HostConfig/Ulimits", json!([{"Name": "nofile", "Soft": 1, "Hard": 2}])),
        ("--device vendor.com/gpu=0", "/HostConfig/DeviceRequests/0/DeviceIDs", json!(["vendor.com/gpu=0"])),
        ("--stop-timeout 0", "/StopTimeout", json!(0)),
        ("--network host", "/HostConfig/NetworkMode", json!("host")),
        ("--net mine --net-alias x", "/NetworkingConfig/EndpointsConfig/mine/Aliases", json!(["x"])),
        ("-l a=1 -l b", "/Labels", json!({"a": "1", "b": ""})),
        ("--sysctl net.core.somaxconn=1024", "/HostConfig/Sysctls", json!({"net.core.somaxconn": "1024"})),
        ("-u 1000:1000 -w /app -h box", "/User", json!("1000:1000")),
        ("--cgroupns host", "/HostConfig/CgroupnsMode", json!("host")),
        ("--shm-size 1g", "/HostConfig/ShmSize", json!(1_073_741_824)),
        ("--dns 1.1.1.1 --dns-opt x", "/HostConfig/DnsOptions", json!(["x"])),
    ];
    for (line, pointer, expected) in cases {
        let body = request(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(body.pointer(pointer), Some(&expected), "{line}");
    }
}

#[test]
fn what_was_not_asked_for_is_left_to_the_engine() {
    let host = request("").unwrap()["HostConfig"].clone();
    let given: Vec<_> = host
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, _)| key.as_str())
        .collect();
    assert_eq!(given, ["NetworkMode"]);
}

#[test]
fn what_is_not_supported_or_contradicts_itself_is_named() {
    let cases = [
        ("--gpus all", "--gpus is not supported yet"),
        ("--cpu-count 1", "--cpu-count is for Windows containers only"),
        ("--use-api-socket", "--use-api-socket is not supported yet"),
        ("--kernel-memory 1m", "--kernel-memory is no longer supported"),
        ("--isolation hyperv", "--isolation is for Windows"),
        ("--rm --restart always", "cannot specify both --restart and --rm"),
        ("--no-healthcheck --health-cmd x", "--no-healthcheck conflicts"),
        ("--health-retries -1", "--health-retries cannot be negative"),
        ("--memory-swappiness 101", "Valid memory swappiness range is 0-100"),
        ("--log-driver none --log-opt a=b", "invalid logging opts for driver none"),
        ("--cgroupns x", "--cgroupns: invalid CGROUP mode"),
        ("--memory 1x", "invalid size: '1x'"),
        ("-a stdfoo", "valid streams are STDIN, STDOUT and STDERR"),
        ("--dns x", "x is not an ip address"),
        ("--pull sometimes", "sometimes"),
    ];
    for (line, expected) in cases {
        let error = request(line).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
    assert!(request("--rm --restart no").is_ok());
}

#[test]
fn comma_separated_values_may_be_quoted() {
    assert_eq!(csv_fields("a,b=c").unwrap(), ["a", "b=c"]);
    assert_eq!(csv_fields("\"a,\"\"b\",c").unwrap(), ["a,\"b", "c"]);
    assert_eq!(csv_fields("").unwrap(), [""]);
    for line in ["a\"b", "\"a", "\"a\"b"] {
        assert!(csv_fields(line).is_err(), "{line}");
    }
}
