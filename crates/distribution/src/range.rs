//! What the headers of a transfer say about which bytes come, or came. Pure.

/// What is wrong with the beginning of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The content has another length.
    Length(u64),
    /// Anything else.
    Other(String),
}

/// How many bytes of an answer have to be skipped, so that it goes on at `offset` of a content of `size`
/// bytes.
///
/// # Errors
/// When it is the beginning of something else.
pub(crate) fn skip(
    status: u16,
    content_range: Option<&str>,
    content_length: Option<u64>,
    offset: u64,
    size: u64,
) -> Result<u64, Misfit> {
    match status {
        200 => match content_length {
            Some(length) if length != size => Err(Misfit::Length(length)),
            _ => Ok(offset),
        },
        206 => {
            let text = content_range.unwrap_or("nothing");
            let (first, total) = content_range.and_then(parse).ok_or_else(|| odd(offset, text))?;
            match total {
                Some(total) if total != size => Err(Misfit::Length(total)),
                _ if first != offset => Err(odd(offset, text)),
                _ => Ok(0),
            }
        }
        other => Err(Misfit::Other(format!("status {other} has no content"))),
    }
}

fn odd(offset: u64, text: &str) -> Misfit {
    let shown: String = text.chars().take(64).collect();
    Misfit::Other(format!("its Content-Range is {shown:?}, and byte {offset} was asked for"))
}

/// First byte and total of `bytes 5-9/10`; the total may be `*` (RFC 9110, section 14.4).
fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

/// How many bytes an upload has, as its `Range` says (`0-499`); `None`: it doesn't say. `0-0` is what
/// registries say of nothing and of one byte alike.
pub(crate) fn uploaded(range: Option<&str>) -> Option<u64> {
    let range = range?.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first == 0 && last > 0).then(|| last.checked_add(1)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_on_or_begins_anew() {
        assert_eq!(skip(200, None, Some(10), 0, 10), Ok(0));
        assert_eq!(skip(200, None, None, 4, 10), Ok(4));
        assert_eq!(skip(206, Some("bytes 4-9/10"), Some(6), 4, 10), Ok(0));
        assert_eq!(skip(206, Some("bytes 4-9/*"), None, 4, 10), Ok(0));
        assert_eq!(skip(206, Some("bytes 4-7/10"), None, 4, 10), Ok(0), "less than asked for is a cut");
    }

    #[test]
    fn the_beginning_of_something_else_is_noticed() {
        assert_eq!(skip(200, None, Some(11), 0, 10), Err(Misfit::Length(11)));
        assert_eq!(skip(206, Some("bytes 4-10/11"), None, 4, 10), Err(Misfit::Length(11)));
        for range in [
            None,
            Some("bytes 3-9/10"),
            Some("4-9/10"),
            Some("bytes 9-4/10"),
            Some("bytes 4-10/10"),
            Some(""),
        ] {
            assert!(matches!(skip(206, range, None, 4, 10), Err(Misfit::Other(_))), "{range:?}");
        }
        assert!(matches!(skip(204, None, None, 0, 10), Err(Misfit::Other(_))));
    }

    #[test]
    fn an_upload_says_what_it_has() {
        assert_eq!(uploaded(Some("0-499")), Some(500));
        assert_eq!(uploaded(Some("bytes=0-1")), Some(2));
        for range in [None, Some("0-0"), Some("5-9"), Some("x"), Some("0-18446744073709551615"), Some("-")] {
            assert_eq!(uploaded(range), None, "{range:?}");
        }
    }
}
