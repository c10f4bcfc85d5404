//! Images as package URLs (<https://github.com/package-url/purl-spec>).

use minke_model::{Platform, Reference};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What doesn't stand for itself in a part of a URL (RFC 3986, section 2.3).
const PART: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An image of the type `kind`: `pkg:docker/app@1.0?platform=linux%2Famd64`.
pub(crate) fn package_url(kind: &str, reference: &Reference, platform: &Platform) -> String {
    let tagged = reference.clone().with_default_tag();
    let name = reference.familiar_name();
    let mut url = format!("pkg:{kind}/");
    let parts: Vec<String> = name.split('/').map(escaped).collect();
    url.push_str(&parts.join("/"));
    if let Some(tag) = tagged.tag() {
        url.push('@');
        url.push_str(tag);
    }
    let digest = reference.digest().map(|digest| format!("digest={}&", escaped(&digest.to_string())));
    url.push_str(&format!("?{}platform={}", digest.unwrap_or_default(), escaped(&platform.to_string())));
    url
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, &PART).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_package_urls() {
        let url = |name: &str| package_url("docker", &name.parse().unwrap(), &"linux/arm64".parse().unwrap());
        assert_eq!(url("busybox"), "pkg:docker/busybox@latest?platform=linux%2Farm64");
        assert_eq!(url("docker.io/team/app:1.0"), "pkg:docker/team/app@1.0?platform=linux%2Farm64");
        assert_eq!(
            url("localhost:5000/app"),
            "pkg:docker/localhost%3A5000/app@latest?platform=linux%2Farm64"
        );
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            url(&format!("busybox@{digest}")),
            format!("pkg:docker/busybox?digest=sha256%3A{}&platform=linux%2Farm64", "a".repeat(64))
        );
    }
}
