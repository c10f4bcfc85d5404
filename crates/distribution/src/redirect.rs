//! Where an answer sends to, and whether it may. Pure.

use reqwest::{Method, StatusCode};
use url::Url;

/// The most redirects in a row.
pub(crate) const MOST: usize = 10;

/// What an answer says about where the thing is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// It is here.
    None,
    /// It is there, and asked for in the same way.
    To(Url),
    /// It is there, and asked for with `GET`.
    Get(Url),
}

/// Reads an answer to a request for `from`. With anything but `GET` and `HEAD` only those redirects are
/// followed that keep the method (RFC 9110, section 15.4).
///
/// # Errors
/// The reason why it can't be followed.
pub(crate) fn of(
    status: StatusCode,
    location: Option<&str>,
    from: &Url,
    method: &Method,
) -> Result<Redirect, String> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let keeps = match status.as_u16() {
        307 | 308 => true,
        301 | 302 if reads => true,
        303 if reads => *method == Method::GET,
        301..=303 => return Err(format!("status {status} drops what was sent")),
        _ => return Ok(Redirect::None),
    };
    let location = location.ok_or("it has no Location")?;
    let mut to = from.join(location).map_err(|error| format!("its Location is no address: {error}"))?;
    to.set_fragment(None);
    if !matches!(to.scheme(), "http" | "https") || to.host().is_none() {
        return Err(format!("{} is no scheme for registries", to.scheme()));
    }
    Ok(if keeps { Redirect::To(to) } else { Redirect::Get(to) })
}

/// Whether two addresses have the same scheme, host and port.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, location: Option<&str>, method: &Method) -> Result<Redirect, String> {
        let from = "https://r.example/v2/a/blobs/b".parse().unwrap();
        of(StatusCode::from_u16(status).unwrap(), location, &from, method)
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn content_is_followed_and_what_is_sent_only_where_it_is_kept() {
        let there = "https://cdn.example/x?sig=y";
        for status in [301, 302, 307, 308] {
            assert_eq!(read(status, Some(there), &Method::GET), Ok(Redirect::To(url(there))), "{status}");
        }
        assert_eq!(read(303, Some(there), &Method::HEAD), Ok(Redirect::Get(url(there))));
        assert_eq!(read(307, Some("/y"), &Method::PATCH), Ok(Redirect::To(url("https://r.example/y"))));
        for status in [301, 302, 303] {
            assert!(read(status, Some(there), &Method::PUT).unwrap_err().contains("drops"), "{status}");
        }
        for status in [200, 202, 300, 304, 404] {
            assert_eq!(read(status, Some(there), &Method::GET), Ok(Redirect::None), "{status}");
        }
    }

    #[test]
    fn nonsense_is_not_followed() {
        for location in [None, Some("https://"), Some("file:///etc/passwd"), Some("data:x")] {
            assert!(read(307, location, &Method::GET).is_err(), "{location:?}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one, other| same_origin(&url(one), &url(other));
        assert!(same("https://a/x", "https://a:443/y"));
        for other in ["http://a/", "https://b/", "https://a:444/", "https://a.b/"] {
            assert!(!same("https://a/", other), "{other}");
        }
    }
}
