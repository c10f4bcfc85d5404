//! Under which key a registry's credentials are kept, and which keys mean the same registry. The rules are docker's.

use std::collections::BTreeMap;

use minke_model::Reference;

/// The key of Docker Hub: the address of its index of old.
pub(crate) const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The registry where names without one are.
const DOCKER_HUB_DOMAIN: &str = "docker.io";

/// The key of the registry that `image` is at.
pub(crate) fn of_image(image: &Reference) -> &str {
    of_domain(image.domain())
}

/// The key of the registry whose images are named `domain/…`.
pub(crate) fn of_domain(domain: &str) -> &str {
    if domain == DOCKER_HUB_DOMAIN { DOCKER_HUB } else { domain }
}

/// The key of what was given to `login` or `logout`: a host, or a URL with scheme and path.
pub(crate) fn of_argument(server: Option<&str>) -> String {
    match server {
        None | Some("" | DOCKER_HUB_DOMAIN | DOCKER_HUB) => DOCKER_HUB.to_owned(),
        Some(server) => hostname(server).to_owned(),
    }
}

/// Host and port of a key that may be a URL: `https://host:5000/v2/` is `host:5000`.
pub(crate) fn hostname(key: &str) -> &str {
    let address = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = address.split('/').next().unwrap_or(address);
    // A user in a URL is none of the host.
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// The entry of `server`: under its own key, else under one that has a scheme or a path too.
pub(crate) fn find<'a, T>(entries: &'a BTreeMap<String, T>, server: &str) -> Option<&'a T> {
    let same_host = || entries.iter().find(|(key, _)| hostname(key) == server).map(|(_, entry)| entry);
    entries.get(server).or_else(same_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_registry_are_docker_hubs() {
        for (image, key) in [
            ("redis", DOCKER_HUB),
            ("index.docker.io/a/b:1", DOCKER_HUB),
            ("ghcr.io/a/b", "ghcr.io"),
            ("localhost:5000/a", "localhost:5000"),
            ("[::1]:5000/a", "[::1]:5000"),
        ] {
            assert_eq!(of_image(&image.parse().unwrap()), key, "{image}");
        }
    }

    #[test]
    fn what_is_typed_becomes_the_key_that_pulls_look_for() {
        for (typed, key) in [
            (None, DOCKER_HUB),
            (Some("docker.io"), DOCKER_HUB),
            (Some("https://index.docker.io/v1/"), DOCKER_HUB),
            (Some("ghcr.io"), "ghcr.io"),
            (Some("https://r.example:5000/v2/"), "r.example:5000"),
            (Some("http://user@r.example"), "r.example"),
            (Some("r.example/team"), "r.example"),
            (Some("https://[::1]:5000"), "[::1]:5000"),
        ] {
            assert_eq!(of_argument(typed), key, "{typed:?}");
        }
    }

    #[test]
    fn older_keys_with_a_scheme_or_a_path_are_found_after_the_exact_one() {
        let keys = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), (*key).to_owned())).collect();
        let entries: BTreeMap<String, String> = keys(&["https://r:5000/v1/", "other", DOCKER_HUB]);
        assert_eq!(find(&entries, "r:5000").unwrap(), "https://r:5000/v1/");
        assert_eq!(find(&entries, DOCKER_HUB).unwrap(), DOCKER_HUB);
        assert_eq!(find(&entries, "r"), None);
        let both: BTreeMap<String, String> = keys(&["http://r", "r"]);
        assert_eq!(find(&both, "r").unwrap(), "r");
    }
}
