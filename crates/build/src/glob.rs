//! Wildcards in the sources of COPY and ADD: Go's `filepath.Match`, name by name.

/// Whether a name has wildcards.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '\\'])
}

/// Whether a name matches: `*` any characters, `?` one, `[a-z]` and `[^a-z]` one of a set, `\` quotes. A malformed set
/// matches nothing.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        b'*' => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        b'?' => !name.is_empty() && matches(rest, &name[character(name)..]),
        b'[' => match name.first().and_then(|byte| set(rest, *byte)) {
            Some((true, length)) => matches(&rest[length..], &name[1..]),
            _ => false,
        },
        b'\\' if !rest.is_empty() => name.first() == Some(&rest[0]) && matches(&rest[1..], &name[1..]),
        byte => name.first() == Some(byte) && matches(rest, &name[1..]),
    }
}

/// The length of the first character.
fn character(name: &[u8]) -> usize {
    let more = name.iter().skip(1).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count();
    if name[0] < 0x80 { 1 } else { (1 + more).min(4) }
}

/// Whether a byte is in the set that `pattern` begins with, and how long the set is with its bracket.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    let mut first = true;
    let next = |at: &mut usize| {
        if pattern.get(*at) == Some(&b'\\') {
            *at += 1;
        }
        let byte = pattern.get(*at).copied();
        *at += 1;
        byte
    };
    loop {
        if pattern.get(at)? == &b']' && !first {
            return Some((found != negated, at + 1));
        }
        first = false;
        let low = next(&mut at)?;
        let high = match pattern.get(at) == Some(&b'-') {
            true => {
                at += 1;
                next(&mut at)?
            }
            false => low,
        };
        found |= (low..=high).contains(&byte);
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_are_gos() {
        for (pattern, name, expected) in [
            ("*.c", "a.c", true),
            ("*.c", "a.h", false),
            ("a?c", "abc", true),
            ("a?c", "a\u{e4}c", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("**", "anything", true),
            ("[a", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
