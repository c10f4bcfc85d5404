//! The names in an archive, judged before the kernel ever sees them.

use super::{Limits, unpack::AbsoluteNames};

/// A name as components below the root: no `.`, no `..`, no empty component. Empty for the root itself.
pub(crate) type CleanName = Vec<u8>;

/// Cleans `name`, or says what is wrong with it.
pub(crate) fn clean(name: &[u8], absolute: AbsoluteNames, limits: &Limits) -> Result<CleanName, String> {
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    if name.contains(&0) {
        return Err("the name contains a NUL byte".to_owned());
    }
    if name.len() > limits.path_length {
        return Err(format!("the name has {} bytes, more than {}", name.len(), limits.path_length));
    }
    if name.starts_with(b"/") && absolute == AbsoluteNames::Refuse {
        return Err("absolute names are not allowed".to_owned());
    }
    let mut cleaned = Vec::with_capacity(name.len());
    let mut depth = 0_usize;
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => continue,
            // As text: what comes before may be a link by now.
            b".." => match cleaned.iter().rposition(|byte| *byte == b'/') {
                _ if cleaned.is_empty() => {
                    return Err("names with \"..\" are not allowed out of the root".to_owned());
                }
                slash => {
                    cleaned.truncate(slash.unwrap_or(0));
                    depth -= 1;
                    continue;
                }
            },
            component if component.len() > 255 => {
                return Err("a component has more than 255 bytes".to_owned());
            }
            _ => depth += 1,
        }
        if !cleaned.is_empty() {
            cleaned.push(b'/');
        }
        cleaned.extend_from_slice(component);
    }
    if depth > limits.path_depth {
        return Err(format!("the name has {depth} components, more than {}", limits.path_depth));
    }
    Ok(cleaned)
}

/// Parent and last component of a clean name; the parent is empty at the top.
pub(crate) fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (&[], name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &[u8]) -> Result<String, String> {
        clean(name, AbsoluteNames::UnderRoot, &Limits::default()).map(|n| String::from_utf8(n).unwrap())
    }

    #[test]
    fn dots_and_slashes_that_mean_nothing_are_dropped() {
        assert_eq!(text(b"./a//b/./c/"), Ok("a/b/c".to_owned()));
        assert_eq!(text(b"./"), Ok(String::new()));
        assert_eq!(text(b"/a"), Ok("a".to_owned()));
        assert!(clean(b"/a", AbsoluteNames::Refuse, &Limits::default()).is_err());
    }

    #[test]
    fn climbing_out_is_refused_wherever_it_stands() {
        for name in [&b".."[..], b"../a", b"a/../..", b"a/../../b", b"/.."] {
            assert!(text(name).unwrap_err().contains("\"..\""));
        }
        for (name, cleaned) in
            [(&b"a/.."[..], ""), (b"a/../b", "b"), (b"a/b/../c", "a/c"), (b"a/./../b/", "b")]
        {
            assert_eq!(text(name), Ok(cleaned.to_owned()));
        }
        assert_eq!(text(b"a/..b/..."), Ok("a/..b/...".to_owned()));
    }

    proptest! {
        #[test]
        fn a_clean_name_never_leaves_the_root(name in prop::collection::vec(prop::sample::select(b"a./\0".to_vec()), 0..40)) {
            if let Ok(name) = clean(&name, AbsoluteNames::UnderRoot, &Limits::default()) {
                prop_assert!(!name.starts_with(b"/") && !name.contains(&0));
                prop_assert!(name.is_empty() || name.split(|b| *b == b'/').all(|c| !matches!(c, b"" | b"." | b"..")));
            }
        }
    }
}
