//! The builds that run: what their different calls (solve, status, the client's own driving) meet in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use minke_build::{Arrivals, Context, ToldProvenance};
use tokio::sync::{Notify, oneshot, watch};

use crate::frontend::attributes::Attributes;
use crate::grpc::{Code, Status};
use crate::pb::control::SolveRequest;
use crate::pb::gateway::Outcome;
use crate::progress::Feed;

/// How long the status of a build can be asked for after its end: the client may be slower with that call than the build.
const AFTERGLOW: Duration = Duration::from_secs(10);
/// The most builds at once.
const BUILDS: usize = 1000;
/// The most results that a client may hold in one build.
const RESULTS: usize = 100;

/// How a client that drives its build ended that.
pub(crate) type Returned = Result<Outcome, Status>;

/// One build.
pub(crate) struct Build {
    pub(crate) request: SolveRequest,
    pub(crate) feed: Feed,
    /// What the client asked to be built, by the references that it was given.
    results: Mutex<HashMap<String, Arc<Attributes>>>,
    /// The sources that it looks into, by their references.
    sources: Mutex<HashMap<String, Arc<dyn Context>>>,
    returned: Mutex<Option<oneshot::Sender<Returned>>>,
    /// The context where it came beside the session, until the build ends.
    files: Mutex<Option<Arc<dyn Context>>>,
    /// Watched by those that are built on one of its results: they read from its client, which is there until its solve is
    /// answered.
    needed: watch::Sender<()>,
    /// The builds that it is built on.
    needs: Mutex<Vec<watch::Receiver<()>>>,
    /// Told when somebody ends it who isn't waiting for it.
    pub(crate) cancelled: Notify,
    /// How its result came about, once it is there.
    pub(crate) provenance: OnceLock<Vec<ToldProvenance>>,
}

impl Build {
    /// The context that came beside the session, if one did.
    pub(crate) fn files(&self) -> Option<Arc<dyn Context>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the client of another build until this one ends.
    pub(crate) fn need(&self, other: &Self) {
        if std::ptr::eq(self, other) {
            return;
        }
        self.needs.lock().unwrap_or_else(PoisonError::into_inner).push(other.needed.subscribe());
    }

    /// Waits until nobody is built on it any more.
    pub(crate) async fn is_unneeded(&self) {
        self.needed.closed().await;
    }

    /// Keeps what is to be built; returns its reference.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn keep(&self, attributes: Attributes) -> Result<String, Status> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.len() >= RESULTS {
            return Err(Status::new(
                Code::ResourceExhausted,
                format!("more than {RESULTS} results in one build"),
            ));
        }
        let reference = format!("{}-{}", self.request.reference, results.len());
        results.insert(reference.clone(), Arc::new(attributes));
        Ok(reference)
    }

    /// Keeps a source that the client looks into; returns its reference.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn keep_source(&self, source: Arc<dyn Context>) -> Result<String, Status> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= RESULTS {
            return Err(Status::new(
                Code::ResourceExhausted,
                format!("more than {RESULTS} sources in one build"),
            ));
        }
        let reference = format!("{}-source-{}", self.request.reference, sources.len());
        sources.insert(reference.clone(), source);
        Ok(reference)
    }

    /// The source that a reference is.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn source(&self, reference: &str) -> Result<Arc<dyn Context>, Status> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(reference).cloned().ok_or_else(|| {
            Status::unimplemented(
                "results of a build can't be looked into here while it is built; load the image and run it",
            )
        })
    }

    /// What a reference is.
    ///
    /// # Errors
    /// When it isn't known.
    pub(crate) fn result(&self, reference: &str) -> Result<Arc<Attributes>, Status> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let found = results.get(reference).cloned();
        found.ok_or_else(|| Status::new(Code::NotFound, format!("no such ref: {reference}")))
    }

    /// The client is done.
    pub(crate) fn end_driving(&self, returned: Returned) {
        if let Some(sender) = self.returned.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A solve that nobody waits for any more was cancelled.
            let _ = sender.send(returned);
        }
    }
}

/// All builds by their references.
#[derive(Clone, Default)]
pub(crate) struct Builds {
    known: Arc<Mutex<HashMap<String, Arc<Build>>>>,
    arrived: Arc<Arrivals>,
}

impl Builds {
    /// Begins a build.
    ///
    /// # Errors
    /// When there is one of this reference, or too many.
    pub(crate) fn begin(
        &self,
        request: SolveRequest,
        files: Option<Arc<dyn Context>>,
    ) -> Result<Running, Status> {
        let reference = request.reference.clone();
        let (sender, returned) = oneshot::channel();
        let build = Arc::new(Build {
            request,
            feed: Feed::default(),
            results: Mutex::default(),
            sources: Mutex::default(),
            returned: Mutex::new(Some(sender)),
            files: Mutex::new(files),
            needed: watch::Sender::default(),
            needs: Mutex::default(),
            cancelled: Notify::new(),
            provenance: OnceLock::new(),
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= BUILDS {
            return Err(Status::new(Code::ResourceExhausted, format!("there are {BUILDS} builds already")));
        }
        if reference.is_empty() || known.contains_key(&reference) {
            return Err(Status::new(
                Code::AlreadyExists,
                format!("there is a build of the ref {reference:?} already"),
            ));
        }
        known.insert(reference, build.clone());
        drop(known);
        self.arrived.tell();
        Ok(Running { builds: self.clone(), build, returned })
    }

    /// A build by its reference, if it is there now.
    pub(crate) fn known(&self, reference: &str) -> Option<Arc<Build>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned()
    }

    /// A build by its reference, which may begin a little later.
    ///
    /// # Errors
    /// When it doesn't.
    pub(crate) async fn get(&self, reference: &str) -> Result<Arc<Build>, Status> {
        let found = self.arrived.when(|| self.known(reference)).await;
        found.ok_or_else(|| Status::new(Code::NotFound, format!("no such job {reference}")))
    }

    /// A build and what was asked for in it, by the reference of the result.
    ///
    /// # Errors
    /// When there is no such build, or no such result of it.
    pub(crate) async fn result(&self, reference: &str) -> Result<(Arc<Build>, Arc<Attributes>), Status> {
        let build = self.get(build_of(reference)).await?;
        let attributes = build.result(reference)?;
        Ok((build, attributes))
    }

    /// The build of a result, if it is there now.
    pub(crate) fn of_result(&self, reference: &str) -> Option<Arc<Build>> {
        self.known(build_of(reference))
    }

    fn forget(&self, reference: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
    }
}

/// The reference of the build in which a result was asked for.
fn build_of(reference: &str) -> &str {
    reference.rsplit_once('-').map_or(reference, |(build, _)| build)
}

/// A build while its solve is answered.
pub(crate) struct Running {
    builds: Builds,
    pub(crate) build: Arc<Build>,
    /// What the client returns that drives the build itself.
    pub(crate) returned: oneshot::Receiver<Returned>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.build.feed.finish();
        drop(self.build.files.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.build.needs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (builds, reference) = (self.builds.clone(), self.build.request.reference.clone());
        // Without a runtime the process is ending, and all is forgotten.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(AFTERGLOW).await;
                builds.forget(&reference);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(reference: &str) -> SolveRequest {
        SolveRequest { reference: reference.into(), ..SolveRequest::default() }
    }

    #[tokio::test]
    async fn a_build_is_found_by_calls_that_come_before_and_shortly_after_it() {
        let builds = Builds::default();
        let early = tokio::spawn({
            let builds = builds.clone();
            async move { builds.get("a").await.map(|build| build.request.reference.clone()) }
        });
        tokio::task::yield_now().await;
        let running = builds.begin(request("a"), None).unwrap();
        assert_eq!(early.await.unwrap().unwrap(), "a");
        assert!(builds.begin(request("a"), None).is_err() && builds.begin(request(""), None).is_err());
        drop(running);
        assert!(builds.get("a").await.is_ok());
    }

    #[tokio::test]
    async fn a_build_is_needed_until_those_on_it_end() {
        let builds = Builds::default();
        let [parent, child, other] = ["a", "b", "c"].map(|name| builds.begin(request(name), None).unwrap());
        parent.build.is_unneeded().await;
        child.build.need(&parent.build);
        parent.build.need(&parent.build);
        other.build.need(&parent.build);
        let waits = || tokio::time::timeout(Duration::from_millis(20), parent.build.is_unneeded());
        assert!(waits().await.is_err());
        drop(child);
        assert!(waits().await.is_err());
        drop(other);
        assert!(waits().await.is_ok());
    }

    #[tokio::test]
    async fn what_is_kept_is_found_by_its_reference() {
        let mut running = Builds::default().begin(request("a"), None).unwrap();
        let reference = running.build.keep(Attributes::default()).unwrap();
        assert!(running.build.result(&reference).is_ok());
        assert!(running.build.result("other").is_err());
        running.build.end_driving(Ok(Outcome::default()));
        assert!((&mut running.returned).await.unwrap().is_ok());
    }
}
