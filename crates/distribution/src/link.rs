//! Where a list goes on: the `Link` header (RFC 8288) as the distribution API uses it.

use url::Url;

/// The next page, as far as there is one; relative addresses are seen from `page`.
pub(crate) fn next<'a>(headers: impl Iterator<Item = &'a str>, page: &Url) -> Option<Url> {
    let found = headers.flat_map(links).find(|(_, parameters)| is_next(parameters));
    found.and_then(|(target, _)| page.join(target).ok())
}

/// Each `<target>` with the text after it up to the next one.
fn links(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split('<').skip(1).filter_map(|link| link.split_once('>'))
}

fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let words = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("rel")
            && words.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_wherever_it_is() {
        let page: Url = "https://r.example:5000/v2/a/tags/list?n=2".parse().unwrap();
        let found = |header: &str| next([header].into_iter(), &page).map(String::from);
        let wanted = Some("https://r.example:5000/v2/a/tags/list?n=2&last=b".to_owned());
        for header in [
            r#"</v2/a/tags/list?n=2&last=b>; rel="next""#,
            "<list?n=2&last=b>;rel=next",
            r#"<x>; rel="prev", <https://r.example:5000/v2/a/tags/list?n=2&last=b>; title="a"; rel="last next""#,
        ] {
            assert_eq!(found(header), wanted, "{header}");
        }
        assert_eq!(found("<http://other/>; rel=next"), Some("http://other/".to_owned()));
        for header in ["", "<x>", r#"<x>; rel="prev""#, "x; rel=next", "<x; rel=next"] {
            assert_eq!(found(header), None, "{header}");
        }
    }
}
