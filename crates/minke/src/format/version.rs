//! The text of `minke version`.

use serde_json::{Value, json};

use super::table;

/// What `--format` sees: the client, and the server as it answered (null where it did not).
pub(crate) fn data(api_version: &str, context: &str, server: Value) -> Value {
    json!({
        "Client": {
            "Platform": {"Name": "minke"},
            "Version": env!("CARGO_PKG_VERSION"),
            "ApiVersion": api_version,
            "DefaultAPIVersion": minke_docker_client::ApiVersion::NEWEST.to_string(),
            "Os": std::env::consts::OS,
            "Arch": architecture(),
            "Context": context,
        },
        "Server": server,
    })
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The text without `--format`.
pub(crate) fn text(data: &Value) -> String {
    let (client, server) = (&data["Client"], &data["Server"]);
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![
        "Client: minke".to_owned(),
        format!(" Version:\t{}", shown(&client["Version"])),
        format!(" API version:\t{}", shown(&client["ApiVersion"])),
        format!(" OS/Arch:\t{}/{}", shown(&client["Os"]), shown(&client["Arch"])),
        format!(" Context:\t{}", shown(&client["Context"])),
    ];
    if !server.is_null() {
        let platform = server["Platform"]["Name"].as_str().unwrap_or_default();
        lines.extend([String::new(), format!("Server: {platform}").trim_end().to_owned()]);
        for component in server["Components"].as_array().into_iter().flatten() {
            lines.push(format!(" {}:", shown(&component["Name"])));
            lines.push(format!("  Version:\t{}", shown(&component["Version"])));
            lines.extend(details(&component["Details"]));
        }
    }
    table::align(&lines.join("\n"), None)
}

/// What an engine tells about itself in Docker's words, in which people and scripts look for it.
fn details(details: &Value) -> Vec<String> {
    let of = |key: &str| details[key].as_str().filter(|text| !text.is_empty());
    let named = [
        (
            "API version",
            of("ApiVersion").map(|version| match of("MinAPIVersion") {
                Some(least) => format!("{version} (minimum version {least})"),
                None => version.to_owned(),
            }),
        ),
        ("Go version", of("GoVersion").map(str::to_owned)),
        ("Git commit", of("GitCommit").map(str::to_owned)),
        ("Built", of("BuildTime").map(str::to_owned)),
        ("OS/Arch", of("Os").zip(of("Arch")).map(|(os, arch)| format!("{os}/{arch}"))),
        ("Experimental", of("Experimental").map(str::to_owned)),
    ];
    named.into_iter().filter_map(|(name, value)| Some(format!("  {name}:\t{}", value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_shown() {
        let server = json!({"Platform": {"Name": "minke engine"}, "Components": [{"Name": "Engine", "Version": "0.1.0", "Details": {"ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64", "GitCommit": ""}}]});
        let text = text(&data("1.51", "default", server));
        assert!(text.starts_with("Client: minke\n Version:"), "{text}");
        assert!(
            text.contains(
                "\n\nServer: minke engine\n Engine:\n  Version:       0.1.0\n  API version:   1.51 (minimum version 1.24)\n  OS/Arch:"
            ),
            "{text}"
        );
    }

    #[test]
    fn without_a_server_only_the_client_is_shown() {
        assert!(!text(&data("1.51", "default", Value::Null)).contains("Server"));
    }
}
