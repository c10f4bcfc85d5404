//! `--format` as it stands in scripts: both command lines print the same bytes and exit with the same code.

use minke_testkit::{Cli, Host};

const CONTAINER: [&str; 26] = [
    "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}",
    "{{.Mounts}}",
    "{{index .Mounts 0}}",
    "{{range .Mounts}}{{println .Type .Name .Source .Destination .Driver .Mode .RW .Propagation}}{{end}}",
    "{{len .Mounts}}",
    "{{.NetworkSettings.Ports}}",
    "{{json .NetworkSettings.Ports}}",
    "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}",
    "{{range $p, $c := .NetworkSettings.Ports}}{{range $c}}{{$p}}={{.HostIp}}:{{.HostPort}}{{println}}{{end}}{{end}}",
    "{{.HostConfig.PortBindings}}",
    "{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}}",
    "{{.HostConfig.NanoCPUs}} {{.HostConfig.CPUShares}} {{.HostConfig.DNS}}",
    "{{.Config.ExposedPorts}} {{.Config.Volumes}}",
    "{{.Config.Healthcheck}}",
    "{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Retries}}",
    "{{range .Config.Env}}{{println .}}{{end}}",
    "{{.Config.Labels}}",
    "{{index .Config.Labels \"com.a.b\"}}{{index .Config.Labels \"none\"}}",
    "{{json .HostConfig}}",
    "{{json .Mounts}}",
    "{{.ID}}",
    "{{.Id}}",
    "{{.GraphDriver}}",
    "{{.Config.StopSignal}}|{{.HostConfig.MaskedPaths}}",
    "{{if .State.Running}}yes{{else}}no{{end}} {{with .Config}}{{.Image}} {{$.Name}}{{end}}",
    "{{.Name",
];

#[test]
fn inspect_prints_what_docker_prints() {
    let host = Host::with_busybox();
    let made = host.docker([
        "create",
        "--name",
        "web",
        "-p",
        "127.0.0.1:18080:80",
        "-p",
        "81/udp",
        "-v",
        "data:/data",
        "-v",
        "/tmp:/host:ro",
        "--label",
        "com.a.b=c",
        "--label",
        "x=y",
        "-e",
        "A=b c",
        "--cpus",
        "0.5",
        "--dns",
        "1.1.1.1",
        "--restart",
        "on-failure:3",
        "--health-cmd",
        "true",
        "--health-interval",
        "90s",
        "busybox",
        "true",
    ]);
    made.ok();
    for template in CONTAINER {
        let run = |cli| host.cli(cli, ["inspect", "-f", template, "web"]);
        let (docker, minke) = (run(Cli::Docker), run(Cli::Minke));
        assert_eq!((minke.stdout, minke.code), (docker.stdout, docker.code), "{template}");
    }
    host.expect_nothing_left();
}

#[test]
fn listings_print_what_docker_prints() {
    let host = Host::with_busybox();
    host.docker(["create", "--name", "web", "--label", "x=y", "-v", "data:/data", "busybox", "echo", "<&>"])
        .ok();
    let formats = [
        "{{json .}}",
        "table {{.ID}}\\t{{.Names}}",
        "{{println .Names}}",
        "{{.Names}}: {{.Label \"x\"}}",
        "table {{.Names}}\\t{{.Label \"x\"}}",
    ];
    for format in formats {
        let run = |cli| host.cli(cli, ["ps", "-a", "--format", format]);
        let both = || {
            let (docker, minke) = (run(Cli::Docker), run(Cli::Minke));
            // Newer than Debian's docker.
            let printed = minke.stdout.replace(",\"Platform\":null", "");
            ((printed, minke.code), (docker.stdout, docker.code))
        };
        // Between the two the container may have become a second older.
        let (minke, docker) =
            (0..3).map(|_| both()).find(|(minke, docker)| minke == docker).unwrap_or_else(both);
        assert_eq!(minke, docker, "{format}");
    }
    let run = |cli| host.cli(cli, ["ps", "-aq", "--format", "{{.Names}}"]);
    let (docker, minke) = (run(Cli::Docker), run(Cli::Minke));
    assert_eq!((minke.stdout, minke.stderr), (docker.stdout, docker.stderr), "-q wins over --format");
    host.expect_nothing_left();
}
