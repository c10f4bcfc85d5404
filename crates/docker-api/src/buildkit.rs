//! `POST /session` and `POST /grpc`: connections that become HTTP/2, on which BuildKit's protocol is spoken.
//!
//! What is said there isn't this crate's business. Whoever wires the engine gives a [`BuildKit`]; without one the calls are
//! refused and `/_ping` tells clients to use the classic builder.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use hyper::header::UPGRADE;
use hyper::{HeaderMap, StatusCode};

use crate::build::session::{BuildTold, SessionBuild};
use crate::call::Call;
use crate::error::ApiError;
use crate::hijack::{self, BoxIo, Takeover};
use crate::respond::Outcome;

/// Speaks BuildKit's protocol on connections that were taken over.
pub trait BuildKit: Send + Sync {
    /// Serves BuildKit's control API on a connection until it ends.
    fn control(&self, io: BoxIo<'static>) -> BoxFuture<'static, ()>;

    /// Looks at the headers of a client that offers a session.
    ///
    /// # Errors
    /// Why it can't be had, in a sentence.
    fn check_session(&self, headers: &HeaderMap) -> Result<(), String>;

    /// Builds for a session, as `POST /build` asks for it. Dropping the stream ends the build.
    fn solve(&self, build: SessionBuild) -> BoxStream<'static, BuildTold>;

    /// Ends a build of this id, if there is one.
    fn cancel(&self, id: &str);

    /// Keeps the session of a client, which serves on the connection, until it ends.
    fn session(&self, headers: HeaderMap, io: BoxIo<'static>) -> BoxFuture<'static, ()>;
}

/// `POST /grpc`
pub(crate) async fn control(call: Call) -> Outcome {
    let buildkit = call.context.buildkit.clone().ok_or_else(not_served)?;
    let life = call.context.life.clone();
    let Upgradable { upgrade, .. } = upgradable(call)?;
    Ok(hijack::to_h2c(upgrade, &life, move |io| buildkit.control(io)))
}

/// `POST /session`
pub(crate) async fn session(call: Call) -> Outcome {
    let buildkit = call.context.buildkit.clone().ok_or_else(not_served)?;
    let life = call.context.life.clone();
    let Upgradable { upgrade, headers } = upgradable(call)?;
    buildkit.check_session(&headers).map_err(ApiError::invalid)?;
    Ok(hijack::to_h2c(upgrade, &life, move |io| buildkit.session(headers, io)))
}

pub(crate) fn not_served() -> ApiError {
    ApiError::not_implemented("this engine does not serve BuildKit's protocol")
}

/// What is left of a call that asked for HTTP/2.
struct Upgradable {
    upgrade: hyper::upgrade::OnUpgrade,
    headers: HeaderMap,
}

fn upgradable(call: Call) -> Result<Upgradable, ApiError> {
    let protocol =
        call.headers.get(UPGRADE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match (call.takeover, protocol.as_deref()) {
        (Takeover::Upgrade(upgrade), Some("h2c")) => Ok(Upgradable { upgrade, headers: call.headers }),
        (_, None) => Err(ApiError::invalid("no upgrade proto in request: send `Upgrade: h2c`")),
        (_, Some(other)) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("protocol {other} not supported: send `Upgrade: h2c`"),
        )),
    }
}
