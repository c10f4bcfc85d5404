//! Lines of `minke events`.

use serde_json::Value;

use super::time::nano_stamp;

/// `TIME TYPE ACTION ID (key=value, …)`
pub(crate) fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |name: &str| event[name].as_i64().filter(|number| *number != 0).map(i128::from);
    let time = number("timeNano").or_else(|| number("time").map(|seconds| seconds * 1_000_000_000));
    let mut line = time.map_or_else(String::new, |time| nano_stamp(time) + " ");
    let actor = &event["Actor"];
    line.push_str(&[text(&event["Type"]), text(&event["Action"]), text(&actor["ID"])].join(" "));
    if let Some(attributes) = actor["Attributes"].as_object().filter(|attributes| !attributes.is_empty()) {
        let mut pairs: Vec<_> =
            attributes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
        pairs.sort();
        line.push_str(&format!(" ({})", pairs.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"Type": "container", "Action": "start", "Actor": {"ID": "abc", "Attributes": {"name": "web", "image": "nginx"}},
                           "time": 1_700_000_000, "timeNano": 1_700_000_000_000_000_042_i64});
        assert_eq!(
            line(&event),
            "2023-11-14T22:13:20.000000042Z container start abc (image=nginx, name=web)"
        );
        assert_eq!(
            line(&json!({"Type": "daemon", "Action": "reload", "Actor": {"ID": "x"}})),
            "daemon reload x"
        );
    }
}
