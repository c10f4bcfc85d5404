//! The two forms of ranges: what a download asks for, and what a chunk of an upload says it is.

use std::ops::Range;

/// What a `Range` header asks of so many bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: the header is of another unit or form, or has several ranges, and may be ignored (RFC 9110,
    /// 14.2).
    All,
    /// A part that is there.
    Part(Range<u64>),
    /// Nothing that is there.
    Nothing,
}

/// Reads `bytes=first-last`, `bytes=first-` or `bytes=-length`.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(range) = header.trim().strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = range.split_once('-') else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    let part = |range: Range<u64>| match range.is_empty() {
        true => Wanted::Nothing,
        false => Wanted::Part(range),
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) => part(first..last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => part(first..size),
        (None, Some(length)) if first.is_empty() => part(size.saturating_sub(length)..size),
        _ => Wanted::All,
    }
}

/// Reads a chunk's `Content-Range`, `first-last`, also as `bytes first-last/size` after RFC 9110. Returns the
/// first byte and the number of bytes; `None` when it is anything else.
pub(crate) fn chunk(header: &str) -> Option<(u64, u64)> {
    let range = header.trim();
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((first, length))
}

/// Digits alone: `u64::from_str` would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        assert_eq!(wanted("bytes=0-", 10), Wanted::Part(0..10));
        assert_eq!(wanted("bytes=2-3", 10), Wanted::Part(2..4));
        assert_eq!(wanted("bytes=8-99", 10), Wanted::Part(8..10));
        assert_eq!(wanted("bytes=-3", 10), Wanted::Part(7..10));
        assert_eq!(wanted("bytes=-30", 10), Wanted::Part(0..10));
        assert_eq!(wanted(&format!("bytes=1-{}", u64::MAX), 10), Wanted::Part(1..10));
        for nothing in ["bytes=10-", "bytes=5-0", "bytes=10-20", "bytes=-0"] {
            assert_eq!(wanted(nothing, 10), Wanted::Nothing, "{nothing}");
        }
        for ignored in ["lines=1-2", "bytes=1-2,4-5", "bytes=x-", "bytes=-", "bytes=+1-2", ""] {
            assert_eq!(wanted(ignored, 10), Wanted::All, "{ignored}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn a_chunk_has_a_start_and_a_length() {
        assert_eq!(chunk("0-9"), Some((0, 10)));
        assert_eq!(chunk("bytes 5-5/*"), Some((5, 1)));
        for wrong in
            ["", "5", "9-0", "-5", "5-", "a-b", "+1-2", "0-18446744073709551615", "99999999999999999999-1"]
        {
            assert_eq!(chunk(wrong), None, "{wrong}");
        }
    }
}
