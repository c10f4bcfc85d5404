//! `minke context`: engines that have a name, shared with the docker CLI.

mod archive;
mod edit;
mod show;

pub(crate) use self::{
    archive::{EXPORT, IMPORT},
    edit::{CREATE, UPDATE},
    show::{INSPECT, LS, RM, SHOW, USE},
};

use crate::{
    context::Context,
    contexts::{self, DEFAULT, DockerEndpoint, Meta, TlsFiles, store::Store},
    endpoint,
    failure::Failure,
};

/// The contexts on disk.
fn store(context: &Context) -> Result<Store, Failure> {
    let folder = context.config().folder();
    folder.map(Store::below).ok_or_else(|| {
        Failure::new("there is no folder of contexts: set HOME or DOCKER_CONFIG, or give --config")
    })
}

/// A context with its certificates, `default` included.
fn load(context: &Context, name: &str) -> Result<(Meta, TlsFiles), Failure> {
    if name != DEFAULT {
        let store = store(context)?;
        return Ok((store.get(name)?, store.tls(name)?));
    }
    let target = endpoint::default_target(context.globals(), context.config())?;
    let skip_verify = target.tls.as_ref().is_some_and(|tls| tls.skip_verify);
    let meta = Meta::new(DEFAULT, &DockerEndpoint { host: target.endpoint.to_string(), skip_verify });
    Ok((meta, target.tls.as_ref().map(contexts::files).unwrap_or_default()))
}

/// Refuses names that are none or taken.
fn check_new(store: &Store, name: &str) -> Result<(), Failure> {
    contexts::check_name(name)?;
    match store.has(name) {
        true => Err(Failure::new(format!("context {name:?} already exists"))),
        false => Ok(()),
    }
}
