//! Sockets in network namespaces of others.
//!
//! A socket belongs to the namespace of the thread that makes it. One thread, started when it is first needed, enters a
//! namespace, makes a socket and goes home; a thread for each question would cost ten times as much.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tokio::sync::oneshot;

use crate::view::{Origin, Upstream};

/// Makes sockets where name servers are asked from.
#[derive(Debug, Default)]
pub(crate) struct Opener(Mutex<Option<Sender<Job>>>);

#[derive(Debug)]
struct Job {
    namespace: Arc<OwnedFd>,
    family: AddressFamily,
    kind: SocketType,
    made: oneshot::Sender<io::Result<OwnedFd>>,
}

impl Opener {
    /// A non-blocking socket that can be connected to a name server.
    pub(super) async fn open(&self, upstream: &Upstream, kind: SocketType) -> io::Result<OwnedFd> {
        let family = match upstream.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let namespace = match &upstream.origin {
            Origin::Host => return open(family, kind),
            Origin::Namespace(namespace) => namespace.clone(),
        };
        let (made, result) = oneshot::channel();
        self.hand_over(Job { namespace, family, kind, made })?;
        result.await.unwrap_or_else(|_| Err(io::Error::other("the thread that makes sockets ended")))
    }

    fn hand_over(&self, job: Job) -> io::Result<()> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match &*jobs {
            Some(sender) => match sender.send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("dns-sockets".to_owned()).spawn(move || work(&receiver))?;
        // It can't have ended: it waits for this.
        let _ = sender.send(job);
        *jobs = Some(sender);
        Ok(())
    }
}

/// Until the server is gone, or there is no way home.
fn work(jobs: &Receiver<Job>) {
    let Ok(home) = File::open("/proc/thread-self/ns/net") else { return };
    for job in jobs {
        let made = enter(&job.namespace).and_then(|()| open(job.family, job.kind));
        let is_home = enter(&home).is_ok();
        // Whoever asked may have given up.
        let _ = job.made.send(made);
        if !is_home {
            return;
        }
    }
}

fn enter(namespace: &impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn open(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}
