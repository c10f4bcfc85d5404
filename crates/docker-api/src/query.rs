//! Query parameters, read as Docker reads them.

use minke_engine::Filters;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ApiError;
use crate::path::decode;

/// The parameters of one request, in their order.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands after the `?`; `+` is a space, as in forms.
    pub(crate) fn parse(text: &str) -> Self {
        let decode = |part: &str| match part.contains('+') {
            true => decode(&part.replace('+', " ")),
            false => decode(part),
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter; `None` when it is absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter that is there and not empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// An image's name in two parameters; none without a repository.
    pub(crate) fn name(&self, repository: &str, tag: &str) -> Option<String> {
        let repository = self.non_empty(repository)?;
        Some(match self.non_empty(tag) {
            Some(tag) => format!("{repository}:{tag}"),
            None => repository.to_owned(),
        })
    }

    /// All values of a parameter that may be given several times.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(n, value)| n == name && !value.is_empty())
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// A parameter that has to be there.
    ///
    /// # Errors
    /// 400 that names it.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.non_empty(name)
            .ok_or_else(|| ApiError::invalid(format!("the query parameter \"{name}\" is missing or empty")))
    }

    /// A switch: everything but nothing, `0`, `no`, `false` and `none` turns it on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// A switch with a value for when it is absent.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        let Some(value) = self.get(name) else { return default };
        !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A whole number; `None` when it is absent or empty.
    ///
    /// # Errors
    /// 400 that names the parameter and its value.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.non_empty(name) else { return Ok(None) };
        let refused = || ApiError::invalid(format!("invalid {name} {text:?}: not a whole number in range"));
        text.trim().parse().map(Some).map_err(|_| refused())
    }

    /// A time: Unix seconds with an optional fraction, or RFC 3339. Nothing and `0` mean none, as in Docker.
    ///
    /// # Errors
    /// 400 that names the parameter and its value.
    pub(crate) fn time(&self, name: &str) -> Result<Option<OffsetDateTime>, ApiError> {
        let Some(text) = self.non_empty(name).filter(|text| *text != "0") else { return Ok(None) };
        let refused =
            || ApiError::invalid(format!("invalid {name} {text:?}: neither a Unix time nor an RFC 3339 one"));
        parse_time(text).map(Some).ok_or_else(refused)
    }

    /// The `filters` parameter.
    ///
    /// # Errors
    /// 400 when it is not of Docker's form.
    pub(crate) fn filters(&self) -> Result<Filters, ApiError> {
        Ok(Filters::parse(self.get("filters").unwrap_or_default())?)
    }
}

fn parse_time(text: &str) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i128 = seconds.parse::<i64>().ok()?.into();
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    let signed = if text.starts_with('-') { -nanos } else { nanos };
    OffsetDateTime::from_unix_timestamp_nanos(seconds * 1_000_000_000 + signed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn switches_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("a=1", true),
            ("a=true", true),
            ("a=True", true),
            ("a=yes", true),
            ("a=", false),
            ("a", false),
            ("a=0", false),
            ("a=False", false),
            ("a=none", false),
            ("a=no", false),
            ("b=1", false),
        ] {
            assert_eq!(Query::parse(text).flag("a"), expected, "{text}");
        }
        assert!(Query::parse("").flag_or("stream", true));
        assert!(!Query::parse("stream=0").flag_or("stream", true));
    }

    #[test]
    fn values_are_decoded_and_may_repeat() {
        let query = Query::parse("names=a%2Fb&names=c+d&&names=&x");
        assert_eq!(query.all("names"), ["a/b", "c d"]);
        assert_eq!(query.get("x"), Some(""));
        assert_eq!(query.required("x").unwrap_err().message, "the query parameter \"x\" is missing or empty");
    }

    #[test]
    fn numbers_and_times_say_what_is_wrong() {
        let query =
            Query::parse("limit=x&h=-1&t=10&since=12.5&until=yesterday&zero=0&at=2026-01-02T03:04:05Z");
        assert_eq!(query.number::<i64>("t").unwrap(), Some(10));
        assert_eq!(query.number::<i64>("none").unwrap(), None);
        assert!(query.number::<i64>("limit").unwrap_err().message.contains("limit \"x\""));
        assert!(query.number::<u16>("h").is_err());
        assert_eq!(query.time("since").unwrap().unwrap().unix_timestamp_nanos(), 12_500_000_000);
        assert_eq!(query.time("zero").unwrap(), None);
        assert_eq!(query.time("at").unwrap().unwrap().unix_timestamp(), 1_767_323_045);
        assert!(query.time("until").is_err());
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(text in "\\PC{0,80}") {
            let query = Query::parse(&text);
            let _ = (query.flag("a"), query.number::<i64>("a"), query.time("a"));
            let _ = parse_time(&text);
        }
    }
}
