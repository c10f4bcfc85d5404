//! Credentials as they stand in `config.json` and in headers.

use std::fs;

use serde_json::json;

use super::*;

fn config(folder: &tempfile::TempDir, content: &Value) -> ConfigFile {
    fs::write(folder.path().join("config.json"), content.to_string()).unwrap();
    ConfigFile::load(Some(folder.path())).unwrap()
}

fn user(username: &str, password: &str, server: &str) -> Credentials {
    Credentials {
        username: username.into(),
        password: password.into(),
        server: server.into(),
        ..Credentials::default()
    }
}

#[test]
fn each_way_of_writing_an_entry_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(
        &folder,
        &json!({"auths": {
            "a": {"auth": BASE64_STANDARD.encode("user:pass:word")},
            "b": {"auth": BASE64_STANDARD.encode("user:old\0"), "email": null},
            "c": {"username": "user", "password": "clear"},
            "d": {"auth": BASE64_STANDARD.encode("user:"), "identitytoken": "it"},
            "e": {"registrytoken": "rt"},
            "https://f:5000/v1/": {"auth": BASE64_STANDARD.encode("user:f")},
            "bad": {"auth": "!"},
            "worse": {"auth": BASE64_STANDARD.encode("no-colon")},
            "empty": {},
        }}),
    );
    let of = |server: &str| config.credentials(server).unwrap();
    assert_eq!(of("a"), user("user", "pass:word", "a"));
    assert_eq!(of("b"), user("user", "old", "b"));
    assert_eq!(of("c"), user("user", "clear", "c"));
    assert_eq!(of("d"), Credentials { identity_token: "it".into(), ..user("user", "", "d") });
    assert_eq!(of("e"), Credentials { registry_token: "rt".into(), ..user("", "", "e") });
    assert_eq!(of("f:5000"), user("user", "f", "f:5000"));
    assert!(of("empty").is_empty() && of("nowhere").is_empty());
    for server in ["bad", "worse"] {
        let problem = config.credentials(server).unwrap_err().to_string();
        assert!(problem.contains(server) && problem.contains("base64"), "{problem}");
    }
    assert_eq!(
        config.all_credentials().into_keys().collect::<Vec<_>>(),
        ["a", "b", "c", "d", "e", "https://f:5000/v1/"]
    );
}

#[test]
fn what_is_kept_replaces_older_secrets_and_leaves_the_rest_of_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let old =
        json!({"auths": {"r": {"email": "e", "username": "x", "password": "y"}, "other": {"auth": "z"}}});
    config(&folder, &old).keep(&user("user", "pw", "r")).unwrap();
    let written = || -> Value {
        serde_json::from_slice(&fs::read(folder.path().join("config.json")).unwrap()).unwrap()
    };
    assert_eq!(
        written(),
        json!({"auths": {"r": {"email": "e", "auth": "dXNlcjpwdw=="}, "other": {"auth": "z"}}})
    );
    let token = Credentials { identity_token: "it".into(), ..user("user", "", "r") };
    let config = ConfigFile::load(Some(folder.path())).unwrap();
    config.keep(&token).unwrap();
    assert_eq!(written()["auths"]["r"], json!({"email": "e", "auth": "dXNlcjo=", "identitytoken": "it"}));
    let again = ConfigFile::load(Some(folder.path())).unwrap();
    assert_eq!(again.credentials("r").unwrap(), token);
}

#[test]
fn a_registry_is_forgotten_under_all_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let auths = json!({"auths": {"r:5000": {}, "https://r:5000/v1/": {}, "http://r:5000": {}, "r": {}, "r:5001": {}}});
    let config = config(&folder, &auths);
    config.forget("r:5000").unwrap();
    let text = fs::read_to_string(folder.path().join("config.json")).unwrap();
    let left: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(left, json!({"auths": {"r": {}, "r:5001": {}}}));
    config.forget("nowhere").unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("config.json")).unwrap(), text);
}

#[test]
fn a_registrys_own_helper_goes_before_the_one_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(
        &folder,
        &json!({"credsStore": "nope-all", "credHelpers": {"own": "nope-own", "none": ""},
                "auths": {"none": {"auth": "dTpw"}, "own": {"auth": "dTpw"}}}),
    );
    let problem = |server: &str| config.credentials(server).unwrap_err().to_string();
    assert!(problem("own").contains("docker-credential-nope-own"));
    assert!(problem("other").contains("docker-credential-nope-all"));
    assert_eq!(config.credentials("none").unwrap(), user("u", "p", "none"));
    assert!(config.keeps_in_clear("none").is_some() && config.keeps_in_clear("own").is_none());
    assert_eq!(config.all_credentials().into_keys().collect::<Vec<_>>(), ["none"]);
}

#[test]
fn headers_are_json_in_base64_for_urls_with_its_padding() {
    let header = |headers: HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    let nothing = auth_header(&Credentials::default()).unwrap();
    assert_eq!(header(nothing, "x-registry-auth"), "e30=");
    let full = Credentials {
        identity_token: "it".into(),
        registry_token: "rt".into(),
        ..user("ü?~", "p>w", "r:5000")
    };
    let sent = header(auth_header(&full).unwrap(), "x-registry-auth");
    assert!(sent.contains(['-', '_']) && !sent.contains(['+', '/']), "{sent}");
    let read: Value = serde_json::from_slice(&BASE64_URL_SAFE.decode(sent).unwrap()).unwrap();
    assert_eq!(
        read,
        json!({"username": "ü?~", "password": "p>w", "identitytoken": "it", "registrytoken": "rt", "serveraddress": "r:5000"})
    );
    let all = BTreeMap::from([("r".to_owned(), user("u", "p", "r"))]);
    let sent = header(config_header(&all).unwrap(), "x-registry-config");
    let read: Value = serde_json::from_slice(&BASE64_URL_SAFE.decode(sent).unwrap()).unwrap();
    assert_eq!(read, json!({"r": {"username": "u", "password": "p", "serveraddress": "r"}}));
}

#[test]
fn secrets_do_not_appear_where_a_structure_is_printed() {
    let shown = format!("{:?}", user("user", "hidden", "r"));
    assert!(!shown.contains("hidden") && shown.contains("user"), "{shown}");
}
