//! The builder, wired to BuildKit's protocol and that to the API.

use std::{net::IpAddr, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use minke_build::Builder;
use minke_buildkit::{
    BuildKit, CacheOptions, CacheOptionsEntry, EngineBuilder, EngineFacts, SolveRequest, Told,
};
use minke_docker_api::{BoxIo, BuildTold, HeaderMap, SessionBuild};
use minke_engine::Engine;

/// Where the files that clients send for their builds are kept, among what belongs to builds.
const CONTEXTS: &str = "contexts";

/// BuildKit's protocol in front of the engine's builder.
pub(super) async fn buildkit(engine: &Engine, builder: Builder) -> Arc<dyn minke_docker_api::BuildKit> {
    let facts = facts(engine).await;
    let builder = Arc::new(EngineBuilder::new(engine.clone(), builder));
    Arc::new(Wired(BuildKit::new(builder, facts, engine.build_path(CONTEXTS))))
}

/// What clients are told of the engine; what can't be found out is left out.
async fn facts(engine: &Engine) -> EngineFacts {
    let info = engine.info().await.unwrap_or_default();
    let bridge = engine.network_inspect("bridge").await.ok();
    let gateway =
        bridge.and_then(|network| network.ipam?.config?.into_iter().find_map(|config| config.gateway));
    EngineFacts {
        id: info.id.unwrap_or_default(),
        hostname: info.name.unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platforms: vec![minke_model::Platform::host().to_string()],
        host_gateway: gateway.and_then(|address| address.parse::<IpAddr>().ok()),
    }
}

/// Gives connections of the API to BuildKit's protocol.
struct Wired(BuildKit);

impl minke_docker_api::BuildKit for Wired {
    fn control(&self, io: BoxIo<'static>) -> BoxFuture<'static, ()> {
        let buildkit = self.0.clone();
        async move { buildkit.control(io).await }.boxed()
    }

    fn check_session(&self, headers: &HeaderMap) -> Result<(), String> {
        self.0.check_session(headers)
    }

    fn solve(&self, build: SessionBuild) -> BoxStream<'static, BuildTold> {
        let (exporter, exporter_attrs) = build.output;
        let inline =
            build.inline_cache.then(|| CacheOptionsEntry { kind: "inline".to_owned(), ..Default::default() });
        let request = SolveRequest {
            reference: build.id,
            session: build.session,
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: build.attributes,
            exporter,
            exporter_attrs,
            entitlements: build.entitlements,
            cache: inline.map(|inline| CacheOptions { exports: vec![inline], ..CacheOptions::default() }),
            ..SolveRequest::default()
        };
        let told = self.0.solve(request, build.files).map(|told| match told {
            Told::Status(status) => BuildTold::Status(status),
            Told::End(end) => BuildTold::End(end),
        });
        told.boxed()
    }

    fn cancel(&self, id: &str) {
        self.0.cancel(id);
    }

    fn session(&self, headers: HeaderMap, io: BoxIo<'static>) -> BoxFuture<'static, ()> {
        let buildkit = self.0.clone();
        async move { buildkit.session(headers, io).await }.boxed()
    }
}
