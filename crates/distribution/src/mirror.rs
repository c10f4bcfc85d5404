//! The addresses of docker.io's mirrors.

use url::Url;

use crate::SettingsError;

/// Reads a mirror's address. Docker allows nothing but scheme, host and port.
pub(crate) fn parse(mirror: &str) -> Result<Url, SettingsError> {
    let wrong = |reason| SettingsError::Mirror { mirror: shown(mirror), reason };
    let url = Url::parse(mirror).map_err(|_| wrong("it is not an address"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("its scheme is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it has a user or password in it"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a path, query or fragment"));
    }
    Ok(url)
}

/// The address without what may be a password.
fn shown(mirror: &str) -> String {
    match mirror.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => mirror.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_scheme_and_a_host() {
        for mirror in ["https://mirror.example", "http://10.0.0.1:5000/", "https://[::1]:5000"] {
            assert_eq!(parse(mirror).unwrap().path(), "/", "{mirror}");
        }
        for mirror in ["mirror.example", "ftp://a", "https://a/v2/", "https://a?b", "https://a#b", ""] {
            assert!(matches!(parse(mirror), Err(SettingsError::Mirror { .. })), "{mirror}");
        }
        let error = parse("https://ann:hush@a").unwrap_err().to_string();
        assert!(!error.contains("hush") && error.contains("@a"), "{error}");
    }
}
