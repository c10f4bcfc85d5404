//! Lists of several pages, and that of tags (OCI distribution specification 1.1, "Content Discovery").

use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    Error, Repository, link,
    scope::Scopes,
    session::{Ask, Session},
};

/// Bytes of one page.
const PAGE: usize = 8 << 20;
/// Pages of one list.
const PAGES: usize = 1000;
/// Entries of one list, over all pages.
const ENTRIES: usize = 1 << 20;
/// Entries of a page that are asked for.
const WANTED: &str = "1000";

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such repository; [`Error`] otherwise.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        let session = self.itself().await?;
        let mut url = session.endpoint.url(self.name().path(), "tags/list");
        url.query_pairs_mut().append_pair("n", WANTED);
        let mut tags = Vec::new();
        session
            .pages(self, url, |page: Tags, _| {
                tags.extend(page.tags.unwrap_or_default());
                tags.len()
            })
            .await?;
        Ok(tags)
    }
}

impl Session {
    /// Reads pages until there is no next one. `take` returns how many entries there are so far.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        repository: &Repository,
        first: Url,
        mut take: impl FnMut(T, &HeaderMap) -> usize,
    ) -> Result<(), Error> {
        let mut url = first;
        for _ in 0..PAGES {
            let (page, headers, next) = self.retrying(|| self.page(repository, &url)).await?;
            let request = || crate::answer::name(&Method::GET, &url);
            if take(page, &headers) > ENTRIES {
                return Err(Error::answer(request(), format!("the list has more than {ENTRIES} entries")));
            }
            url = match next {
                None => return Ok(()),
                Some(next) if self.endpoint.owns(&next) && next != url => next,
                Some(_) => return Err(Error::answer(request(), "its list goes on somewhere else")),
            };
        }
        let request = crate::answer::name(&Method::GET, &url);
        Err(Error::answer(request, format!("the list has more than {PAGES} pages")))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        repository: &Repository,
        url: &Url,
    ) -> Result<(T, HeaderMap, Option<Url>), Error> {
        let ask = Ask::new(self, Method::GET, url.clone(), Scopes::pull(repository.name())).with(
            "accept",
            HeaderValue::from_static("application/json, application/vnd.oci.image.index.v1+json"),
        );
        let answer = self.attempt(&ask).await?;
        let next = link::next(answer.all("link"), &answer.url);
        let headers = answer.headers.clone();
        Ok((answer.json(PAGE).await?, headers, next))
    }
}
