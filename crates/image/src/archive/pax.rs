//! PAX extended headers: long names, large numbers, exact times, extended attributes.
//!
//! POSIX.1-2017 pax, "pax Extended Header": records of the form `LENGTH KEY=VALUE\n`. Extended attributes use
//! star's `SCHILY.xattr.` keys, as Docker and every image builder do.

use super::entry::Moment;

/// The prefix of keys that carry extended attributes.
pub(crate) const XATTR: &str = "SCHILY.xattr.";

/// One record. Keys may repeat (GNU's sparse format 0.0 relies on it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// All records of one extended header, or `None` when it is malformed.
pub(crate) fn parse(mut data: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ')?;
        let length: usize = decimal(&data[..space])?.try_into().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        if equals == 0 {
            return None;
        }
        records.push(Record { key: record[..equals].to_vec(), value: record[equals + 1..].to_vec() });
        data = &data[length..];
    }
    Some(records)
}

/// Appends one record.
pub(crate) fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = rest + 1;
    while length.to_string().len() + rest > length {
        length += 1;
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// A plain decimal number: digits only.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
pub(crate) fn moment(text: &[u8]) -> Option<Moment> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds =
        (0..9).fold(0, |value, i| value * 10 + fraction.get(i).map_or(0, |digit| u32::from(digit - b'0')));
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Moment { seconds, nanoseconds },
        (true, 0) => Moment { seconds: -seconds, nanoseconds: 0 },
        (true, nanoseconds) => Moment { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// The text of a moment, as [`moment`] reads it.
pub(crate) fn moment_text(moment: Moment) -> String {
    let (sign, seconds, nanoseconds) = match moment {
        Moment { seconds, nanoseconds: 0 } if seconds < 0 => ("-", seconds.unsigned_abs(), 0),
        Moment { seconds, nanoseconds } if seconds < 0 => {
            ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds)
        }
        Moment { seconds, nanoseconds } => ("", seconds.unsigned_abs(), nanoseconds),
    };
    match nanoseconds {
        0 => format!("{sign}{seconds}"),
        _ => format!("{sign}{seconds}.{nanoseconds:09}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_records_are_refused() {
        for data in
            [&b"x"[..], b"6 a=b", b"9 a=b\n", b"0 a=b\n", b"5 ab\n", b"5 =b\n", b"99999999999999999999 a=b\n"]
        {
            assert_eq!(parse(data), None, "{}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn times_before_1970_count_nanoseconds_upwards() {
        let early = Moment { seconds: -2, nanoseconds: 500_000_000 };
        assert_eq!(moment(b"-1.5"), Some(early));
        assert_eq!(moment_text(early), "-1.5");
    }

    proptest! {
        #[test]
        fn records_read_back(pairs in prop::collection::vec(("[a-zA-Z.]{1,120}", prop::collection::vec(any::<u8>(), 0..1200)), 0..8)) {
            let mut data = Vec::new();
            for (key, value) in &pairs {
                push(&mut data, key.as_bytes(), value);
            }
            let expected: Vec<Record> =
                pairs.into_iter().map(|(key, value)| Record { key: key.into_bytes(), value }).collect();
            prop_assert_eq!(parse(&data), Some(expected));
        }

        #[test]
        fn times_read_back(seconds in -1_000_000_000_000_i64..1_000_000_000_000, nanoseconds in 0_u32..1_000_000_000) {
            let time = Moment { seconds, nanoseconds };
            prop_assert_eq!(moment(moment_text(time).as_bytes()), Some(time));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&data);
            let _ = moment(&data);
        }
    }
}
