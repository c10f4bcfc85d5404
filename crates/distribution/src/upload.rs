//! Pushing blobs (OCI distribution specification 1.1, "Pushing blobs"): not at all where the registry has
//! them, by a mount where another repository has them, else by an upload that goes on where it was cut.
//!
//! ```text
//!   HEAD ─▶ POST ?mount ─▶ POST ─▶ PUT                 small ones
//!    has      mounted        └───▶ PATCH … ─▶ PUT      one stream, or pieces where the registry wants them
//!                                   │ cut: GET says how far it came; unknown: POST again
//! ```

mod plan;

use minke_model::{Digest, Reference};
use reqwest::{Method, header::HeaderValue};
use tokio::time::sleep;
use url::Url;

use crate::{
    BlobSource, Error, Repository,
    answer::Answer,
    pace, range,
    scope::Scopes,
    session::{Ask, Payload, Sending, Session},
};
use plan::{Next, Plan};

/// The most repositories that a blob is looked for in: each costs a request.
const CANDIDATES: usize = 3;
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// How a blob came to be in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from this repository.
    Mounted(Reference),
    /// It was sent.
    Uploaded,
}

impl Repository {
    /// Sees to it that the repository has a blob.
    ///
    /// `mount_from` are repositories that may have it; those of other registries are passed over. `source` is
    /// its content, which is read only if it has to be. `progress` is told how many of its bytes were sent;
    /// after a cut that may be fewer than before.
    ///
    /// # Errors
    /// [`Error::Source`] when the content can't be read; [`Error`] otherwise.
    pub async fn push_blob(
        &self,
        digest: &Digest,
        size: u64,
        mount_from: &[Reference],
        source: &dyn BlobSource,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Pushed, Error> {
        let session = &self.writer().await?;
        let scopes = Scopes::push(self.name());
        match session.head_blob(self, digest, scopes.clone()).await {
            Ok(_) => return Ok(Pushed::Existed),
            Err(error) if error.is_not_found() => {}
            // A registry that doesn't say so may still take it.
            Err(Error::Answer { .. } | Error::Other(_)) => {}
            Err(error) => return Err(error),
        }
        let upload = Upload { repository: self, session, scopes, digest, size, source, progress };
        let begun = match upload.mount(mount_from).await {
            Mount::Done(from) => return Ok(Pushed::Mounted(from)),
            Mount::Upload(begun) => begun,
        };
        upload.run(begun).await?;
        Ok(Pushed::Uploaded)
    }
}

/// One blob on its way.
struct Upload<'a> {
    repository: &'a Repository,
    session: &'a Session,
    scopes: Scopes,
    digest: &'a Digest,
    size: u64,
    source: &'a dyn BlobSource,
    progress: &'a (dyn Fn(u64) + Send + Sync),
}

/// What the registry made of the wish to mount.
enum Mount {
    Done(Reference),
    /// Nobody has it; the registry may have begun an upload instead.
    Upload(Option<Begun>),
}

/// An upload that the registry knows.
struct Begun {
    location: Url,
    /// Bytes that the registry has.
    offset: u64,
    /// The smallest piece that it takes, where it says so.
    least: Option<u64>,
}

impl Upload<'_> {
    /// Asks for the blob to be taken from elsewhere. No failure here matters: it can still be sent.
    async fn mount(&self, from: &[Reference]) -> Mount {
        let is_candidate = |other: &&Reference| {
            other.domain() == self.repository.name().domain() && other.path() != self.repository.name().path()
        };
        let mut begun: Option<Begun> = None;
        for other in from.iter().filter(is_candidate).take(CANDIDATES) {
            let answer = self.session.ask(&self.mounting(other)).await;
            match answer.and_then(|answer| self.mounted(&answer)) {
                Ok(None) => {
                    self.abandon(begun).await;
                    return Mount::Done(other.clone());
                }
                Ok(Some(new)) => self.abandon(begun.replace(new)).await,
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "{} is not mounted from {other}",
                        self.digest
                    );
                }
            }
        }
        Mount::Upload(begun)
    }

    fn mounting(&self, other: &Reference) -> Ask<'static> {
        let mut url = self.uploads();
        url.query_pairs_mut()
            .append_pair("mount", &self.digest.to_string())
            .append_pair("from", other.path());
        Ask::new(self.session, Method::POST, url, self.scopes.clone().and_from(other))
    }

    /// `None`: it is done.
    fn mounted(&self, answer: &Answer) -> Result<Option<Begun>, Error> {
        if answer.status.as_u16() == 201 {
            return Ok(None);
        }
        begun(answer).map(Some)
    }

    /// Tells the registry that nobody goes on with an upload.
    async fn abandon(&self, begun: Option<Begun>) {
        let Some(Begun { location, .. }) = begun else { return };
        let ask = Ask::new(self.session, Method::DELETE, location, self.scopes.clone());
        if let Err(error) = self.session.attempt(&ask).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "an upload was not abandoned");
        }
    }

    fn uploads(&self) -> Url {
        self.session.endpoint.url(self.repository.name().path(), "blobs/uploads/")
    }

    /// Sends all of it, whatever comes between.
    async fn run(&self, mut begun: Option<Begun>) -> Result<(), Error> {
        let settings = &self.session.shared.settings;
        let mut plan = Plan::new(self.size);
        loop {
            let mut upload = match begun.take() {
                Some(upload) => upload,
                // The answer to its end may have been lost, and not the blob.
                None if plan.has_failed() && self.is_there().await => return Ok(()),
                None => self.begin().await?,
            };
            plan.begun(upload.least, upload.offset);
            let Err(error) = self.transfer(&mut upload, &plan).await else { return Ok(()) };
            let next = plan.after(&error, settings.retry_policy(), fastrand::f64());
            let Next::Again { pause, resume } = next else { return Err(error) };
            tracing::debug!(error = &error as &dyn std::error::Error, ?pause, "an upload goes on");
            sleep(pause).await;
            if resume {
                begun = self.resume(upload).await?;
            }
        }
    }

    async fn is_there(&self) -> bool {
        self.session.head_blob(self.repository, self.digest, self.scopes.clone()).await.is_ok()
    }

    async fn begin(&self) -> Result<Begun, Error> {
        let ask = Ask::new(self.session, Method::POST, self.uploads(), self.scopes.clone());
        begun(&self.session.ask(&ask).await?)
    }

    /// Asks how far an upload came; `None`: it has to begin anew.
    async fn resume(&self, upload: Begun) -> Result<Option<Begun>, Error> {
        let ask = Ask::new(self.session, Method::GET, upload.location.clone(), self.scopes.clone());
        let answer = match self.session.ask(&ask).await {
            Ok(answer) => answer,
            Err(error) if error.refusal().is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        let offset = range::uploaded(answer.header("range")).filter(|offset| *offset <= self.size);
        let location = location(&answer)?.unwrap_or(upload.location);
        Ok(offset.map(|offset| Begun { location, offset, least: upload.least }))
    }

    /// Sends what is left, and says that it is all.
    async fn transfer(&self, upload: &mut Begun, plan: &Plan) -> Result<(), Error> {
        if plan.is_whole(upload.offset) {
            return self.commit(upload, Payload::Part(self.part(0, self.size))).await;
        }
        while upload.offset < self.size {
            self.patch(upload, plan).await?;
        }
        self.commit(upload, Payload::Empty).await
    }

    async fn patch(&self, upload: &mut Begun, plan: &Plan) -> Result<(), Error> {
        let length = plan.length(upload.offset);
        let end = upload.offset + length;
        let part = Payload::Part(self.part(upload.offset, length));
        let mut ask = Ask::new(self.session, Method::PATCH, upload.location.clone(), self.scopes.clone())
            .with("content-type", OCTETS)
            .sending(part);
        // One stream from the beginning has no range: that is how Docker sends, so every registry takes it.
        if upload.offset > 0 || end < self.size {
            let range = HeaderValue::try_from(format!("{}-{}", upload.offset, end - 1));
            ask = range.into_iter().fold(ask, |ask, range| ask.with("content-range", range));
        }
        let answer = self.session.attempt(&ask).await?;
        upload.location = location(&answer)?.unwrap_or(upload.location.clone());
        let has = range::uploaded(answer.header("range")).unwrap_or(end);
        if has <= upload.offset || has > end {
            let reason = format!("it says that {has} bytes are there, and {end} were sent");
            return Err(Error::answer(&answer.request, reason));
        }
        upload.offset = has;
        Ok(())
    }

    async fn commit(&self, upload: &Begun, body: Payload<'_>) -> Result<(), Error> {
        let mut url = upload.location.clone();
        url.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        let mut ask = Ask::new(self.session, Method::PUT, url, self.scopes.clone())
            .with("content-type", OCTETS)
            .sending(body);
        ask.patience = pace::patience_of_commit(ask.patience, self.size);
        self.session.attempt(&ask).await.map(drop)
    }

    fn part(&self, offset: u64, length: u64) -> Sending<'_> {
        Sending { digest: *self.digest, source: self.source, offset, length, progress: self.progress }
    }
}

/// The upload that an answer says has begun.
fn begun(answer: &Answer) -> Result<Begun, Error> {
    let location = location(answer)?;
    let location = location.ok_or_else(|| Error::answer(&answer.request, "it has no Location"))?;
    let least = answer.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
    Ok(Begun { location, offset: 0, least: least.filter(|least| *least > 0) })
}

/// Where an upload goes on, as far as an answer says so.
fn location(answer: &Answer) -> Result<Option<Url>, Error> {
    let Some(text) = answer.header("location") else { return Ok(None) };
    let url = answer.url.join(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(Some).ok_or_else(|| Error::answer(&answer.request, "its Location is no address"))
}
