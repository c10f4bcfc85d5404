//! The text of `minke info`.

use minke_model::quantity::binary_size;
use serde_json::Value;

/// What the engine says about itself and the host, in the docker CLI's order.
pub(crate) fn text(info: &Value) -> String {
    let mut lines = vec![
        "Client: minke".to_owned(),
        format!(" Version:    {}", env!("CARGO_PKG_VERSION")),
        format!(" Context:    {}", shown(&info["ClientInfo"]["Context"])),
        " Debug Mode: false".to_owned(),
        String::new(),
        "Server:".to_owned(),
    ];
    counts(info, &mut lines);
    storage(info, &mut lines);
    plugins(info, &mut lines);
    runtimes(info, &mut lines);
    host(info, &mut lines);
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// ` Title: value`, unless the value is empty.
fn present(info: &Value, lines: &mut Vec<String>, fields: &[(&str, &str)]) {
    for (title, field) in fields {
        let value = shown(&info[field]);
        if !value.is_empty() {
            lines.push(format!("{title}: {value}"));
        }
    }
}

fn counts(info: &Value, lines: &mut Vec<String>) {
    let fields = [
        (" Containers", "Containers"),
        ("  Running", "ContainersRunning"),
        ("  Paused", "ContainersPaused"),
        ("  Stopped", "ContainersStopped"),
        (" Images", "Images"),
        (" Server Version", "ServerVersion"),
    ];
    present(info, lines, &fields);
}

fn storage(info: &Value, lines: &mut Vec<String>) {
    present(info, lines, &[(" Storage Driver", "Driver")]);
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        lines.push(format!("  {}: {}", shown(&pair[0]), shown(&pair[1])));
    }
    let fields = [
        (" Logging Driver", "LoggingDriver"),
        (" Cgroup Driver", "CgroupDriver"),
        (" Cgroup Version", "CgroupVersion"),
    ];
    present(info, lines, &fields);
}

fn plugins(info: &Value, lines: &mut Vec<String>) {
    let plugins = &info["Plugins"];
    if plugins.is_object() {
        lines.push(" Plugins:".to_owned());
        for kind in ["Volume", "Network", "Log"] {
            lines.push(format!("  {kind}: {}", shown(&plugins[kind])));
        }
    }
    present(&info["Swarm"], lines, &[(" Swarm", "LocalNodeState")]);
}

fn runtimes(info: &Value, lines: &mut Vec<String>) {
    if let Some(runtimes) = info["Runtimes"].as_object() {
        lines.push(format!(" Runtimes: {}", runtimes.keys().cloned().collect::<Vec<_>>().join(" ")));
    }
    present(info, lines, &[(" Default Runtime", "DefaultRuntime"), (" Init Binary", "InitBinary")]);
    let options: Vec<_> = info["SecurityOptions"].as_array().into_iter().flatten().map(shown).collect();
    if !options.is_empty() {
        lines.push(" Security Options:".to_owned());
        for option in options {
            for part in option.split(',') {
                match part.split_once('=') {
                    Some(("name", name)) => lines.push(format!("  {name}")),
                    Some(("profile", profile)) => lines.push(format!("   Profile: {profile}")),
                    _ => lines.push(format!("   {part}")),
                }
            }
        }
    }
}

fn host(info: &Value, lines: &mut Vec<String>) {
    let fields = [
        (" Kernel Version", "KernelVersion"),
        (" Operating System", "OperatingSystem"),
        (" OSType", "OSType"),
        (" Architecture", "Architecture"),
        (" CPUs", "NCPU"),
    ];
    present(info, lines, &fields);
    if let Some(memory) = info["MemTotal"].as_f64() {
        lines.push(format!(" Total Memory: {}", binary_size(memory)));
    }
    let fields = [
        (" Name", "Name"),
        (" ID", "ID"),
        (" Docker Root Dir", "DockerRootDir"),
        (" Debug Mode", "Debug"),
        (" HTTP Proxy", "HttpProxy"),
        (" HTTPS Proxy", "HttpsProxy"),
        (" No Proxy", "NoProxy"),
        (" Experimental", "ExperimentalBuild"),
        (" Live Restore Enabled", "LiveRestoreEnabled"),
    ];
    present(info, lines, &fields);
    present(&info["FirewallBackend"], lines, &[(" Firewall Backend", "Driver")]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_engine_says_is_shown_in_dockers_order() {
        let info = json!({"Containers": 2, "ContainersRunning": 1, "Driver": "overlay2", "DriverStatus": [["Backing", "extfs"]], "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
                          "MemTotal": 8_589_934_592_u64, "NCPU": 2, "Plugins": {"Volume": ["local"], "Network": ["bridge", "host"], "Log": null}, "HttpProxy": ""});
        let text = text(&info);
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} is not in {text}"));
        let lines = [
            " Containers: 2\n",
            "  Running: 1\n",
            " Storage Driver: overlay2\n  Backing: extfs\n",
            "  Network: bridge host\n",
            "  seccomp\n   Profile: builtin\n  cgroupns\n",
            " CPUs: 2\n Total Memory: 8GiB\n",
        ];
        assert!(lines.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
        assert!(!text.contains("Proxy"));
    }
}
