//! Tags, repositories and referrers (end-8, end-12, and Docker's `_catalog`).

use hyper::{Response, StatusCode, header};
use serde::Serialize;

use super::{
    Call, Service, digest_in_path,
    respond::{self, Body},
};
use minke_model::media_type::INDEX;

use crate::{RepositoryName, Tag, error::ApiError, route::encode};

/// Bytes of one page of referrers: an index as long as a manifest may be.
const REFERRERS: usize = 3 << 20;

#[derive(Serialize)]
struct Tags<'a> {
    name: &'a str,
    tags: &'a [String],
}

#[derive(Serialize)]
struct Repositories<'a> {
    repositories: &'a [String],
}

impl Service {
    pub(super) async fn tags(&self, call: &Call, name: RepositoryName) -> Result<Response<Body>, ApiError> {
        let limit = self.page(call)?;
        let last = call.query.get("last").unwrap_or_default().to_owned();
        if !last.is_empty() && last.parse::<Tag>().is_err() {
            return Err(ApiError::TagInvalid);
        }
        let repository = name.clone();
        let found = self
            .blocking(move |store| match store.knows(&repository)? {
                true => store.tags(&repository, &last, limit).map(Some),
                false => Ok(None),
            })
            .await?;
        let (tags, more) = found.ok_or(ApiError::NameUnknown)?;
        let link = link(&format!("/v2/{name}/tags/list"), limit, &tags, more);
        Ok(json(&Tags { name: name.as_str(), tags: &tags }, link))
    }

    pub(super) async fn catalog(&self, call: &Call) -> Result<Response<Body>, ApiError> {
        let limit = self.page(call)?;
        let last = call.query.get("last").unwrap_or_default().to_owned();
        let (repositories, more) = self.blocking(move |store| store.repositories(&last, limit)).await?;
        let link = link("/v2/_catalog", limit, &repositories, more);
        Ok(json(&Repositories { repositories: &repositories }, link))
    }

    /// An unknown repository has no referrers, which is no error: clients take a 404 for a registry without
    /// this API.
    pub(super) async fn referrers(
        &self,
        call: &Call,
        name: RepositoryName,
        subject: &str,
    ) -> Result<Response<Body>, ApiError> {
        let subject = digest_in_path(subject)?;
        // No media type has a space, but many have a plus that somebody forgot to encode.
        let filter = call.query.get("artifactType").filter(|text| !text.is_empty());
        let filter = filter.map(|text| text.replace(' ', "+"));
        let last = call.query.get("last").unwrap_or_default().to_owned();
        let (repository, about) = (name.clone(), subject.clone());
        let all = self.blocking(move |store| store.referrers(&repository, &about, &last)).await?;
        let page = referrers_page(&all, filter.as_deref());
        let mut builder = Response::builder().header(header::CONTENT_TYPE, INDEX);
        if let Some(filter) = &filter {
            builder = builder.header("oci-filters-applied", "artifactType");
            if let Some(last) = &page.last {
                let filter = encode(filter);
                let link = format!(
                    "</v2/{name}/referrers/{subject}?artifactType={filter}&last={last}>; rel=\"next\""
                );
                builder = builder.header(header::LINK, link);
            }
        } else if let Some(last) = &page.last {
            let link = format!("</v2/{name}/referrers/{subject}?last={last}>; rel=\"next\"");
            builder = builder.header(header::LINK, link);
        }
        Ok(respond::finish(builder, respond::full(page.index)))
    }

    /// How many entries a page has: the query's `n`, within limits.
    fn page(&self, call: &Call) -> Result<usize, ApiError> {
        let Some(text) = call.query.get("n") else { return Ok(self.limits.page) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match digits {
            // More digits than a number has are as good as the limit.
            true => Ok(text.parse().unwrap_or(usize::MAX).min(self.limits.page)),
            false => Err(ApiError::BadRequest("n is a number of entries")),
        }
    }
}

struct Page {
    index: String,
    /// The last one on this page, when there are more.
    last: Option<String>,
}

fn referrers_page(all: &[(String, String)], filter: Option<&str>) -> Page {
    let mut list = String::new();
    let mut last = None;
    for (digest, descriptor) in all.iter().filter(|(_, descriptor)| is_of_type(descriptor, filter)) {
        if !list.is_empty() && list.len() + descriptor.len() > REFERRERS {
            return Page { index: index(&list), last };
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(descriptor);
        last = Some(digest.clone());
    }
    Page { index: index(&list), last: None }
}

fn index(descriptors: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptors}]}}"#)
}

fn is_of_type(descriptor: &str, filter: Option<&str>) -> bool {
    let Some(filter) = filter else { return true };
    let descriptor: serde_json::Value = serde_json::from_str(descriptor).unwrap_or_default();
    descriptor["artifactType"] == filter
}

/// The next page; `None` after the last, and when nothing was asked for.
fn link(path: &str, limit: usize, entries: &[String], more: bool) -> Option<String> {
    let last = entries.last().filter(|_| more)?;
    Some(format!("<{path}?n={limit}&last={}>; rel=\"next\"", encode(last)))
}

fn json(value: &impl Serialize, link: Option<String>) -> Response<Body> {
    let body = serde_json::to_string(value).unwrap_or_default();
    let mut response = respond::text(StatusCode::OK, "application/json", body);
    if let Some(link) = link.and_then(|link| link.parse().ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_referrers_goes_on_where_it_stopped() {
        let descriptor = format!(r#"{{"artifactType":"a","x":"{}"}}"#, "x".repeat(REFERRERS / 2));
        let all: Vec<_> = ["1", "2", "3"].map(|digest| (digest.to_owned(), descriptor.clone())).to_vec();
        let page = referrers_page(&all, None);
        assert_eq!(page.last.as_deref(), Some("1"));
        let page = referrers_page(&all[2..], Some("a"));
        assert_eq!(page.last, None);
        assert!(page.index.contains("xxx"));
        assert!(!referrers_page(&all, Some("b")).index.contains("xxx"));
    }
}
