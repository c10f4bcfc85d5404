//! Builds that are asked for by `POST /build?version=2`: `docker build` without buildx opens a session, and has no connection of
//! the control API's beside it. What the build tells is part of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt, stream};
use minke_build::Context;
use prost::Message;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::BuildKit;
use crate::control::solve;
use crate::grpc::{Code, Status};
use crate::pb::control::SolveRequest;

/// What such a build tells.
#[derive(Debug)]
pub enum Told {
    /// A `moby.buildkit.v1.StatusResponse`, encoded.
    Status(Bytes),
    /// The end, which comes once and last: what the outputs say of what they made, or why it failed.
    End(Result<BTreeMap<String, String>, String>),
}

impl BuildKit {
    /// Builds; dropping the stream ends the build. `files` are its context where the session isn't to be asked for it.
    pub fn solve(
        &self,
        request: SolveRequest,
        files: Option<Arc<dyn Context>>,
    ) -> impl Stream<Item = Told> + Send + use<> {
        let shared = self.0.clone();
        let running = match shared.builds.begin(request, files) {
            Ok(running) => running,
            Err(status) => return stream::iter([Told::End(Err(status.message))]).left_stream(),
        };
        let build = running.build.clone();
        let statuses = build.feed.follow();
        let (sender, end) = oneshot::channel();
        // It goes on while the client doesn't read, and ends with the stream.
        let mut solving = JoinSet::new();
        solving.spawn(async move {
            let solved = Box::pin(solve::solve_begun(&shared, running));
            let outcome = match select(solved, Box::pin(build.cancelled.notified())).await {
                Either::Left((solved, _)) => solved,
                Either::Right(_) => Err(Status::new(Code::Canceled, "the build was cancelled")),
            };
            let _ = sender.send(outcome);
        });
        let told =
            statuses.filter_map(async |told| told.ok().map(|told| Told::Status(told.encode_to_vec().into())));
        let last = stream::once(async move {
            let _solving = solving;
            let outcome =
                end.await.unwrap_or_else(|_| Err(Status::unknown("the build ended without a word")));
            Told::End(outcome.map(|solved| solved.exporter_response).map_err(|status| status.message))
        });
        told.chain(last).right_stream()
    }

    /// Ends a build of this reference, if there is one.
    pub fn cancel(&self, reference: &str) {
        if let Some(build) = self.0.builds.known(reference) {
            build.cancelled.notify_one();
        }
    }
}
