//! A container's environment: the engine's own variables, the image's, the user's; later ones win.

/// What a container finds its programs by if neither image nor user say otherwise.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user's variables over the image's (at create: the result is the container's `Config.Env`).
/// A user's entry without `=` takes the place of the image's variable, and no process gets it.
pub(crate) fn merge(image: &[String], user: &[String]) -> Vec<String> {
    let mut merged = user.to_vec();
    let inherited = image.iter().filter(|entry| !user.iter().any(|other| key(other) == key(entry)));
    merged.extend(inherited.cloned());
    merged
}

/// The whole environment of a process: `PATH`, `HOSTNAME`, `TERM` and `HOME` where `config` has none.
pub(crate) fn complete(config: &[String], hostname: Option<&str>, tty: bool, home: &str) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}")];
    if let Some(hostname) = hostname {
        env.push(format!("HOSTNAME={hostname}"));
    }
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for entry in config {
        set(&mut env, entry);
    }
    if !env.iter().any(|entry| key(entry) == "HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

/// Puts one entry in, over an earlier one of the same name and at its place.
pub(crate) fn set(env: &mut Vec<String>, entry: &str) {
    let at = env.iter().position(|other| key(other) == key(entry));
    match (at, entry.contains('=')) {
        (Some(at), true) => entry.clone_into(&mut env[at]),
        (Some(at), false) => drop(env.remove(at)),
        (None, true) => env.push(entry.to_owned()),
        (None, false) => {}
    }
}

fn key(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn the_users_variables_win_over_the_images_and_can_remove_them() {
        let merged = merge(&list(&["A=image", "B=image", "C=image"]), &list(&["A=user", "D=user", "C"]));
        assert_eq!(merged, list(&["A=user", "D=user", "C", "B=image"]));
        let env = complete(&merged, None, false, "/");
        assert_eq!(env[1..], list(&["A=user", "D=user", "B=image", "HOME=/"]));
    }

    #[test]
    fn a_bare_container_gets_path_hostname_and_home() {
        assert_eq!(
            complete(&[], Some("web"), false, "/root"),
            list(&[&format!("PATH={DEFAULT_PATH}"), "HOSTNAME=web", "HOME=/root"])
        );
    }

    #[test]
    fn a_terminal_adds_term_and_given_values_replace_the_engines() {
        let env = complete(&list(&["PATH=/bin", "TERM=dumb", "HOME=/srv"]), None, true, "/root");
        assert_eq!(env, list(&["PATH=/bin", "TERM=dumb", "HOME=/srv"]));
    }
}
