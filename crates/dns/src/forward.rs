//! Asking others for what no network of a container knows.
//!
//! Messages pass as they are, but for their number: options of EDNS, DNSSEC and whatever comes next reach the name server
//! and come back, negative answers too. Name servers are asked in their order; the next one when one doesn't answer, or
//! says that it can't. One that didn't answer lately comes last.
//!
//! Each question has a socket of its own, with a port that the kernel draws, and a number that is drawn. Only an answer
//! from the asked address, to that port, with that number and that question is taken (RFC 5452).

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hickory_proto::op::ResponseCode;
use tokio::time;

pub(crate) use health::Health;
pub(crate) use opener::Opener;
#[cfg(test)]
pub(crate) use {check::accepted, fit::fit};

use crate::{
    query::{Asked, Transport},
    reply,
    server::Sandbox,
    view::{Origin, Upstream, Upstreams},
};

mod check;
mod fit;
mod health;
mod opener;
mod random;
mod tcp;
mod udp;

/// Name servers that are asked, as in glibc and Docker.
const MOST_UPSTREAMS: usize = 3;
/// How long a name server has when there is another one.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last one has.
const LAST_PATIENCE: Duration = Duration::from_secs(4);
/// Where containers ask us.
const OURSELVES: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Why a name server gave no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("open a socket")]
    Open(#[source] io::Error),
    #[error("ask")]
    Ask(#[source] io::Error),
    #[error("it sent what is no answer")]
    NoAnswer,
    #[error("it said nothing in time")]
    Silence,
}

impl Sandbox {
    /// The answer to a question, whatever happens.
    pub(crate) async fn forward(&self, asked: Asked) -> Vec<u8> {
        let failure = || reply::code(&asked, ResponseCode::ServFail);
        let (Ok(_own), Ok(_shared)) = (self.permits.try_acquire(), self.shared.limits.forwards.try_acquire())
        else {
            tracing::debug!("too many questions of containers are being forwarded");
            return failure();
        };
        let upstreams = self.upstreams();
        let mut unable = None;
        for (place, upstream) in upstreams.iter().enumerate() {
            let patience = if place + 1 < upstreams.len() { PATIENCE } else { LAST_PATIENCE };
            let health = self.health(&upstream.origin);
            match self.ask(&asked, upstream, patience).await {
                Ok(answer) => {
                    health.answered(upstream.address);
                    if !check::is_unable(&answer) {
                        return fit::fit(answer, &asked);
                    }
                    unable = Some(answer);
                }
                Err(error) => {
                    health.failed(upstream.address);
                    tracing::debug!(server = %upstream.address, error = &error as &dyn std::error::Error, "a name server");
                }
            }
        }
        unable.map_or_else(failure, |answer| fit::fit(answer, &asked))
    }

    /// Whom to ask, in order.
    fn upstreams(&self) -> Vec<Upstream> {
        let view = self.view();
        let mut upstreams = match &view.upstreams {
            Upstreams::Host => {
                let servers = self.shared.host.current();
                let upstream = |&address| Upstream { address, origin: Origin::Host };
                servers.servers.iter().map(upstream).collect()
            }
            Upstreams::Own(own) => own.clone(),
        };
        upstreams.retain(|upstream| match upstream.origin {
            Origin::Host => view.forwards,
            Origin::Namespace(_) => upstream.address.ip() != OURSELVES,
        });
        upstreams.truncate(MOST_UPSTREAMS);
        // The sort is stable: those in good health keep their order.
        upstreams.sort_by_key(|upstream| self.health(&upstream.origin).is_failing(upstream.address));
        upstreams
    }

    fn health(&self, origin: &Origin) -> &Health {
        match origin {
            Origin::Host => &self.shared.health,
            Origin::Namespace(_) => &self.health,
        }
    }

    /// By TCP when the client asked so, when an answer is too long for UDP, and when somebody floods us with wrong ones.
    async fn ask(&self, asked: &Asked, upstream: &Upstream, patience: Duration) -> Result<Vec<u8>, AskError> {
        let opener = &self.shared.opener;
        let by_tcp = async || match time::timeout(patience, tcp::ask(asked, upstream, opener)).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::Silence),
        };
        if asked.transport == Transport::Tcp {
            return by_tcp().await;
        }
        match time::timeout(patience, udp::ask(asked, upstream, opener)).await {
            Ok(Ok(udp::Heard::Answer(answer))) if check::is_truncated(&answer) => {
                Ok(by_tcp().await.unwrap_or(answer))
            }
            Ok(Ok(udp::Heard::Answer(answer))) => Ok(answer),
            Ok(Ok(udp::Heard::Noise)) => by_tcp().await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(AskError::Silence),
        }
    }
}

#[cfg(test)]
mod tests;
