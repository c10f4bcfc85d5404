//! Request paths: percent-decoding, and matching against a route's pattern.

/// Decodes `%41` to `A`; a stray `%` stays, as does whatever is no UTF-8 after decoding (as U+FFFD).
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1..at + 3).and_then(hex_pair)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)
}

/// Matches a decoded path. `{name}` is one segment (with an optional slash before it, since Docker's container names
/// begin with one), `{name*}` may contain slashes as image names do. Returns the first parameter, empty where there is
/// none; a second one must be one segment and is not looked at.
pub(crate) fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let (parameter, after) = rest.split_once('}')?;
    let rest = path.strip_prefix(before)?;
    let value = match after.split_once('{') {
        None => rest.strip_suffix(after)?,
        Some((between, _)) => {
            let (value, second) = rest.rsplit_once(between)?;
            (!second.is_empty() && !second.contains('/')).then_some(value)?
        }
    };
    match parameter.ends_with('*') {
        true => (!value.is_empty()).then_some(value),
        false => {
            let value = value.strip_prefix('/').unwrap_or(value);
            (!value.is_empty() && !value.contains('/')).then_some(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_decoded_once() {
        assert_eq!(decode("/a%2Fb%20%25x"), "/a/b %x");
        assert_eq!(decode("/50%/%zz/%4"), "/50%/%zz/%4");
        assert_eq!(decode("%ff"), "\u{fffd}");
    }

    #[test]
    fn a_name_is_one_segment_and_an_image_any_number() {
        assert_eq!(matches("/containers/{name}/json", "/containers/web/json"), Some("web"));
        assert_eq!(matches("/containers/{name}/json", "/containers//web/json"), Some("web"));
        assert_eq!(matches("/containers/{name}/json", "/containers/a/b/json"), None);
        assert_eq!(matches("/containers/{name}/json", "/containers/json"), None);
        assert_eq!(matches("/images/{name*}/json", "/images/reg:5000/a/b:1/json"), Some("reg:5000/a/b:1"));
        assert_eq!(matches("/images/{name*}", "/images/a/b"), Some("a/b"));
        let checkpoint = "/containers/{name}/checkpoints/{checkpoint}";
        assert_eq!(matches(checkpoint, "/containers/web/checkpoints/one"), Some("web"));
        assert_eq!(matches(checkpoint, "/containers/web/checkpoints/"), None);
        assert_eq!(matches("/info", "/info"), Some(""));
        assert_eq!(matches("/info", "/info/"), None);
    }
}
