//! The proxies of the user's configuration, for programs that look for them in their environment (Docker's "Use a proxy server
//! with the Docker CLI").

use serde_json::Value;

/// Adds the variables to those of a container's request, where the project says nothing else.
pub(super) fn add_proxies(request: &mut Value, proxies: Vec<(String, String)>) {
    if proxies.is_empty() {
        return;
    }
    let mut entries: Vec<Value> = request["Env"].as_array().cloned().unwrap_or_default();
    let name_of =
        |entry: &Value| entry.as_str().map(|entry| entry.split('=').next().unwrap_or(entry).to_owned());
    let given: Vec<String> = entries.iter().filter_map(name_of).collect();
    let missing = proxies.into_iter().filter(|(name, _)| !given.contains(name));
    entries.extend(missing.map(|(name, value)| Value::String(format!("{name}={value}"))));
    request["Env"] = entries.into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_project_says_of_a_proxy_counts_more() {
        let proxies = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), "http://proxy".to_owned())).collect()
        };
        let mut request = json!({"Env": ["A=b", "no_proxy", "HTTP_PROXY="]});
        add_proxies(&mut request, proxies(&["HTTP_PROXY", "no_proxy", "http_proxy"]));
        assert_eq!(request["Env"], json!(["A=b", "no_proxy", "HTTP_PROXY=", "http_proxy=http://proxy"]));
        let mut request = json!({"Image": "a"});
        add_proxies(&mut request, proxies(&[]));
        assert_eq!(request, json!({"Image": "a"}));
        add_proxies(&mut request, proxies(&["HTTP_PROXY"]));
        assert_eq!(request["Env"], json!(["HTTP_PROXY=http://proxy"]));
    }
}
