//! Templates as they stand in users' scripts, and what Go's text/template makes of them.

use serde_json::{Value, json};

use super::{Methods, NoMethods, Template};

fn data() -> Value {
    json!({
        "Id": "abc", "Name": "/web", "Count": 3, "Ratio": 0.25, "Yes": true, "No": false, "Empty": "", "List": ["a", "b", "c"],
        "State": {"Running": true, "Status": "running", "ExitCode": 0},
        "Config": {"Labels": {"com.example.k": "v"}, "Env": ["A=1", "B=2"], "Cmd": null},
        "NetworkSettings": {
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "other": {"IPAddress": "10.0.0.9"}},
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null}
        },
        "HostConfig": {"Binds": null, "PortBindings": {}, "PidsLimit": null}
    })
}

fn render(template: &str) -> String {
    match Template::parse(template).and_then(|template| template.render(&data(), &NoMethods)) {
        Ok(text) => text,
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
fn templates_from_scripts_print_what_go_prints() {
    let cases = [
        ("plain", "plain"),
        ("{{.Name}}", "/web"),
        ("{{ .State.Status }}!", "running!"),
        ("{{.ID}} {{.Id}}", "abc abc"),
        ("{{.State.Running}} {{.State.ExitCode}} {{.Ratio}}", "true 0 0.25"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "172.17.0.2 10.0.0.9 "),
        (
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}};{{end}}",
            "bridge=172.17.0.2;other=10.0.0.9;",
        ),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        (
            "{{range $p, $conf := .NetworkSettings.Ports}}{{$p}}{{range $conf}} -> {{.HostPort}}{{end}} {{end}}",
            "80/tcp -> 8080 81/tcp ",
        ),
        ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
        ("{{.Config.Env | json}}", r#"["A=1","B=2"]"#),
        ("{{json .State.Running}} {{json .Config.Cmd}}", "true null"),
        ("{{index .Config.Labels \"com.example.k\"}}|{{index .Config.Labels \"none\"}}", "v|"),
        ("{{.Config.Labels.none}}", "<no value>"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.Status}}{{end}}{{with .Empty}}x{{else}}empty{{end}}", "runningempty"),
        ("{{if .No}}a{{else if .Empty}}b{{else if .Yes}}c{{else}}d{{end}}", "c"),
        ("{{if and .Yes .Name}}1{{end}}{{if or .No .Empty}}2{{end}}{{if not .No}}3{{end}}", "13"),
        ("{{and .Yes .No .Missing}}", "false"),
        ("{{if eq .Name \"/web\"}}y{{end}}{{if ne .Count 3}}n{{end}}{{if eq .Count 1 2 3}}m{{end}}", "ym"),
        ("{{if gt .Count 2}}a{{end}}{{if le .Count 2}}b{{end}}{{if lt .Ratio 1}}c{{end}}", "ac"),
        ("{{len .List}} {{len .Name}}", "3 4"),
        ("{{join .List \",\"}} {{join .Config.Env \" \"}}", "a,b,c A=1 B=2"),
        ("{{index (split \"x:y\" \":\") 1}}", "y"),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"hello wide world\"}}", "/WEB abc Hello Wide World"),
        ("{{pad .Name 1 2}}|{{pad .Empty 3 3}}|{{truncate .Name 3}}", " /web  ||/we"),
        ("{{slice .Name 1}} {{slice .Name 1 3}}", "web we"),
        (
            "{{printf \"%s-%d %q %5.1f|%-6s|%06d|%x\" .Id .Count .Name .Ratio .Id .Count 255}}",
            "abc-3 \"/web\"   0.2|abc   |000003|ff",
        ),
        ("{{printf \"%d\" .Name}} {{printf \"%s\"}}", "%!d(string=/web) %!s(MISSING)"),
        ("{{print .Name 1 2}} {{println .Yes}}", "/web1 2 true\n"),
        ("{{$x := .Count}}{{$x}}{{$x = 4}}{{$x}}", "34"),
        ("{{$x := 1}}{{if .Yes}}{{$x = 2}}{{$y := 9}}{{end}}{{$x}}", "2"),
        ("{{range .List}}{{.}}{{$.Name}} {{end}}", "a/web b/web c/web "),
        ("{{range $i, $e := .List}}{{if $i}},{{end}}{{$e}}{{end}}", "a,b,c"),
        ("{{range .HostConfig.Binds}}x{{else}}none{{end}}", "none"),
        ("a {{- .Name -}} b", "a/webb"),
        ("a {{/* a comment }} */}} b{{- /* c */ -}} c", "a  bc"),
        (
            "{{.List}} {{.NetworkSettings.Networks}}",
            "[a b c] map[bridge:map[IPAddress:172.17.0.2] other:map[IPAddress:10.0.0.9]]",
        ),
        (
            "{{.HostConfig.Binds}} {{.HostConfig.PortBindings}} {{.HostConfig.PidsLimit}} {{.Config.Cmd}}",
            "[] map[] <nil> []",
        ),
        ("{{\"}}\"}}{{`raw\\n`}}{{\"a\\tb\"}}{{'A'}}", "}}raw\\na\tb65"),
        ("{{.Name | printf \"%s!\" | upper}}", "/WEB!"),
        ("{{0x10}} {{-5}} {{1.5}} {{true}}", "16 -5 1.5 true"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn what_docker_has_as_a_struct_looks_like_one_and_lacks_no_field() {
    let data = json!({
        "Mounts": [
            {"Type": "bind", "Source": "/a", "Destination": "/b", "Mode": "ro", "RW": false, "Propagation": "rprivate"},
            {"Type": "volume", "Name": "v", "Source": "/v", "Destination": "/d", "Driver": "local", "Mode": "z", "RW": true,
             "Propagation": ""},
        ],
        "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/udp": null},
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 90_000_000_000_i64},
        "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]},
        "State": {
            "Status": "exited", "Running": false, "Paused": false, "Restarting": false, "OOMKilled": false, "Dead": false,
            "Pid": 0, "ExitCode": 3, "Error": "", "StartedAt": "s", "FinishedAt": "f"
        },
        "NanoCpus": 5, "Dns": ["1.1.1.1"],
    });
    let cases = [
        ("{{.Mounts}}", "[{bind  /a /b  ro false rprivate} {volume v /v /d local z true }]"),
        ("{{range .Mounts}}{{.Name}}:{{.Driver}};{{end}}", ":;v:local;"),
        ("{{.Ports}}", "map[80/tcp:[{127.0.0.1 8080}] 81/udp:[]]"),
        ("{{(index (index .Ports \"80/tcp\") 0).HostIP}}", "127.0.0.1"),
        ("{{.RestartPolicy}}", "{always 0}"),
        ("{{.ExposedPorts}}", "map[80/tcp:{}]"),
        ("{{.Healthcheck}}", "{[CMD true] 1m30s 0s 0s 0s 0}"),
        ("{{.Healthcheck.Interval}} {{.Healthcheck.Retries}}", "1m30s 0"),
        ("{{.IPAM}}", "{default map[] [{172.17.0.0/16  172.17.0.1 map[]}]}"),
        ("{{.State}}", "{exited false false false false false 0 3  s f <nil>}"),
        ("{{.NanoCPUs}} {{.DNS}}", "5 [1.1.1.1]"),
        ("{{json .RestartPolicy}}", r#"{"Name":"always","MaximumRetryCount":0}"#),
        ("{{range $p, $c := .Ports}}{{$p}} {{end}}{{range 3}}{{.}}{{end}}", "80/tcp 81/udp 012"),
    ];
    for (template, expected) in cases {
        let text = Template::parse(template).and_then(|template| template.render(&data, &NoMethods)).unwrap();
        assert_eq!(text, expected, "{template}");
    }
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("{{.Nope}}", "map has no entry for key \"Nope\""),
        ("{{.Name.X}}", "can't evaluate field X in type string"),
        ("{{.State.Health.Status}}", "nil pointer evaluating Health.Status"),
        ("{{foo .Name}}", "function \"foo\" not defined"),
        ("{{html .Name}}", "function \"html\" not defined"),
        ("{{template \"x\"}}", "{{template}} is not supported"),
        ("{{break}}", "{{break}} is not supported"),
        ("{{.Name", "unclosed action"),
        ("{{if .Yes}}x", "{{if}} without {{end}}"),
        ("x{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{(.Name}}", "unclosed left paren"),
        ("{{$nope}}", "undefined variable \"$nope\""),
        ("{{index .List 9}}", "index out of range: 9"),
        ("{{eq .Name 1}}", "incompatible types for comparison"),
        ("{{lt .Yes .No}}", "invalid type for comparison"),
        ("{{.Name 1}}", "Name has arguments but cannot be invoked"),
        ("{{3 4}}", "can't give argument to non-function"),
        ("{{upper .Count}}", "expected string; got int"),
        ("{{range .Ratio}}x{{end}}", "range can't iterate over 0.25"),
        ("a\n{{.Nope}}", ":2: map has no entry"),
        ("{{\"abc}}", "unclosed action"),
        ("{{pad .Name 99999999999 0}}", "more than 4096 spaces"),
    ];
    for (template, expected) in cases {
        let text = render(template);
        assert!(
            text.starts_with("ERROR template parsing error: ") && text.contains(expected),
            "{template}: {text}"
        );
    }
}

#[test]
fn a_template_nested_too_deeply_is_refused_instead_of_overflowing_the_stack() {
    assert!(
        render(&format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000))).contains("nested too deeply")
    );
    assert!(render(&"{{if 1}}".repeat(5000)).contains("nested too deeply"));
    assert!(render(&("{{if 1}}{{else if 1}}".repeat(500))).contains("nested too deeply"));
}

#[test]
fn methods_of_the_data_take_arguments() {
    struct Labels;
    impl Methods for Labels {
        fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
            (name == "Label").then(|| Ok(json!(format!("<{}>", arguments[0].as_str().unwrap()))))
        }
    }
    let template =
        Template::parse("{{.Label \"a.b\"}} {{\"c\" | .Label}} {{upper (.Label \"d\")}}{{$.Label \"e\"}}")
            .unwrap();
    assert_eq!(template.render(&json!({}), &Labels).unwrap(), "<a.b> <c> <D><e>");
}

#[test]
fn a_header_shows_titles_whatever_functions_are_applied() {
    let titles = json!({"Names": "NAMES", "ID": "CONTAINER ID"});
    let header = |text| Template::parse(text).unwrap().render_header(&titles).unwrap();
    assert_eq!(header("{{.ID}}\t{{upper .Names}}\t{{json .Names}}"), "CONTAINER ID\tNAMES\tNAMES");
    assert_eq!(header("{{.Label \"com.example.some-name\"}}\t{{.Nope}}"), "some name\t<no value>");
}

#[test]
fn a_template_knows_the_fields_it_mentions() {
    let mentions = |text, name| Template::parse(text).unwrap().mentions(name);
    assert!(mentions("{{.Names}} {{if .Size}}x{{end}}", "Size"));
    assert!(mentions("{{json .}}", "Size"));
    assert!(mentions("{{(print .Size)}}", "Size"));
    assert!(!mentions("{{.Names}} {{len .Names}}", "Size"));
}

#[test]
fn text_and_fields_need_no_map_of_the_data() {
    let field = |name: &str| ["one", "two"].contains(&name).then_some("x");
    let plain = |template: &str| {
        let mut out = "before ".to_owned();
        let done = Template::parse(template).unwrap().render_plain(field, &mut out);
        assert!(done || out == "before ", "{out}");
        done.then_some(out)
    };
    assert_eq!(plain("{{.one}}\t{{ .two }}!").as_deref(), Some("before x\tx!"));
    for more in [
        "{{.one}} {{.three}}",
        "{{.one.two}}",
        "{{.}}",
        "{{upper .one}}",
        "{{.one | upper}}",
        "{{$a := .one}}",
        "{{if .one}}{{end}}",
    ] {
        assert_eq!(plain(more), None, "{more}");
    }
}
