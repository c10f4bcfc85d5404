//! The local driver's options (`type`, `device`, `o`): what is mounted over a volume's directory while containers use it.
//!
//! These are the only mounts that the engine itself makes on the host, because one file system in memory has to be the same
//! for all containers of a volume and has to outlive an engine (decision 29). Each is made for its first user and taken away
//! with its last one; what a crash leaves is found by its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, ToSocketAddrs},
    path::Path,
    sync::{Arc, PoisonError},
};

use minke_kernel::mount::{self, options};

use super::{VolumeRecord, Volumes};
use crate::{Error, engine::Inner, error::chain, random};

/// What an option asks besides itself.
const NEEDS: [(&str, &[&str]); 3] =
    [("device", &["type"]), ("type", &["device"]), ("o", &["device", "type"])];

/// Refuses options that the driver does not have, and those that lack others.
///
/// # Errors
/// `InvalidParameter` in Docker's words.
pub(super) fn check(options: &BTreeMap<String, String>) -> Result<(), Error> {
    if let Some(unknown) = options.keys().find(|key| !["type", "o", "device", "size"].contains(&key.as_str()))
    {
        return Err(Error::invalid(format!("invalid option: {unknown:?}")));
    }
    if options.get("size").is_some_and(|size| size.trim() != "0") {
        return Err(Error::invalid("quota size requested but no quota support"));
    }
    let needed =
        NEEDS.iter().filter(|(option, _)| options.contains_key(*option)).flat_map(|(_, needed)| *needed);
    match needed.into_iter().find(|needed| !options.contains_key(**needed)) {
        Some(missing) => Err(Error::invalid(format!("missing required option: {missing:?}"))),
        None => Ok(()),
    }
}

/// Whether something is mounted over the volume's directory.
pub(super) fn mounts(options: &BTreeMap<String, String>) -> bool {
    ["type", "device"].iter().any(|key| options.get(*key).is_some_and(|value| !value.is_empty()))
}

/// Who uses which volumes that have a mount.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<String, BTreeSet<String>>);

impl Volumes {
    /// Mounts those of these volumes that have options, for `user` (a container's id, or whoever looks at the files).
    ///
    /// # Errors
    /// `Internal` with what the kernel says; those mounted before stay until [`Volumes::release`].
    pub(crate) fn hold<'a>(&self, volumes: impl Iterator<Item = &'a str>, user: &str) -> Result<(), Error> {
        self.hold_new(&[], volumes, user)
    }

    /// The same while some of them are being made and stand in no list yet.
    ///
    /// # Errors
    /// As [`Volumes::hold`].
    pub(crate) fn hold_new<'a>(
        &self,
        new: &[VolumeRecord],
        volumes: impl Iterator<Item = &'a str>,
        user: &str,
    ) -> Result<(), Error> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        for name in volumes {
            let made = new.iter().find(|volume| volume.name == name).cloned();
            let volume = made.or_else(|| self.lock().get(name).cloned());
            let options = volume.map(|volume| volume.options).unwrap_or_default();
            if !mounts(&options) {
                continue;
            }
            let path = self.data(name);
            if !is_mounted(&path).map_err(|error| explain(name, &options, &error))? {
                make(&path, &options).map_err(|error| explain(name, &options, &error))?;
            }
            users.0.entry(name.to_owned()).or_default().insert(user.to_owned());
        }
        Ok(())
    }

    /// `user` needs no volume any more.
    pub(crate) fn release(&self, user: &str) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.0.retain(|name, users| {
            users.remove(user);
            if users.is_empty() {
                self.unmount(name);
            }
            !users.is_empty()
        });
    }

    /// Takes away what an engine that died left mounted for nobody; `living` are the users there still are, with their
    /// volumes.
    pub(crate) fn restore(&self, living: &[(String, Vec<String>)]) {
        for (user, volumes) in living {
            if let Err(error) = self.hold(volumes.iter().map(String::as_str), user) {
                tracing::warn!(%error, container = user, "find a volume of a running container");
            }
        }
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<String> = self.lock().keys().cloned().collect();
        known.iter().filter(|name| !users.0.contains_key(*name)).for_each(|name| self.unmount(name));
    }

    fn unmount(&self, name: &str) {
        if let Err(error) = unmount(&self.data(name)) {
            tracing::warn!(%error, volume = name, "unmount a volume");
        }
    }
}

/// Takes away whatever is mounted at a path.
///
/// # Errors
/// What the kernel says.
pub(super) fn unmount(path: &Path) -> io::Result<()> {
    while is_mounted(path)? {
        mount::detach(path)?;
    }
    Ok(())
}

/// Whether a mount of its own is at the path; nothing is, where there is no path.
fn is_mounted(path: &Path) -> io::Result<bool> {
    let Some(parent) = path.parent() else { return Ok(false) };
    match (mount::id_at(path), mount::id_at(parent)) {
        (Ok(own), Ok(outer)) => Ok(own != outer),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn make(path: &Path, volume: &BTreeMap<String, String>) -> io::Result<()> {
    let text = |key: &str| volume.get(key).map(String::as_str).unwrap_or_default();
    let (kind, device) = (text("type"), text("device"));
    if device.is_empty() {
        return Err(io::Error::other("missing device in volume options"));
    }
    let words = match kind {
        "nfs" | "nfs4" | "cifs" => with_address(text("o"), &resolve)?,
        _ => text("o").to_owned(),
    };
    let words: Vec<String> =
        words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let options = options::parse(&words, kind == "bind");
    let detached = match options.bind {
        Some(recursive) => {
            let detached = mount::clone_path(Path::new(device), recursive)?;
            mount::set_attributes(&detached, &options.attributes, false)?;
            detached
        }
        None => {
            let mut parameters = options.parameters;
            if options.attributes.is_read_only() && kind != "tmpfs" {
                // A device's file system must not be written even by its own recovery.
                parameters.push(mount::Parameter::flag("ro"));
            }
            mount::filesystem(kind, Some(device), &parameters, &options.attributes)?
        }
    };
    mount::set_attributes(&detached, &options.recursive_attributes, true)?;
    for (propagation, recursive) in options.propagation {
        mount::set_propagation(&detached, propagation, recursive)?;
    }
    mount::attach_at(&detached, path)
}

/// The options with the server's address in numbers: the kernel resolves no names.
fn with_address(words: &str, resolve: &dyn Fn(&str) -> io::Result<IpAddr>) -> io::Result<String> {
    let name = words.split(',').find_map(|word| word.trim().strip_prefix("addr="));
    match name {
        Some(name) if name.parse::<IpAddr>().is_err() => {
            let address = resolve(name)?;
            Ok(words.replacen(&format!("addr={name}"), &format!("addr={address}"), 1))
        }
        _ => Ok(words.to_owned()),
    }
}

fn resolve(name: &str) -> io::Result<IpAddr> {
    let failed = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("error resolving passed in network volume address {name:?}: {error}"),
        )
    };
    let mut addresses: Vec<IpAddr> =
        (name, 0).to_socket_addrs().map_err(failed)?.map(|address| address.ip()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| failed(io::Error::other("no address")))
}

/// Docker's words; a password in the options is nobody's business.
fn explain(name: &str, options: &BTreeMap<String, String>, error: &io::Error) -> Error {
    let words = options.get("o").map(String::as_str).unwrap_or_default();
    let mut text =
        format!("error while mounting volume '{name}': failed to mount local volume: {}", chain(error));
    let password = words.split(',').find_map(|word| word.trim().strip_prefix("password="));
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        text = text.replace(password, "********");
    }
    Error::new(crate::ErrorKind::Internal, text)
}

/// A user of volumes for as long as it lives.
pub(crate) struct Held {
    inner: Arc<Inner>,
    user: String,
}

impl Held {
    /// Mounts a volume for somebody who looks at its files.
    ///
    /// # Errors
    /// As [`Volumes::hold`].
    pub(crate) fn new(inner: &Arc<Inner>, volume: &str) -> Result<Self, Error> {
        let held = Self { inner: Arc::clone(inner), user: random::hex_id()? };
        inner.volumes.hold(std::iter::once(volume), &held.user)?;
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.volumes.release(&self.user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_checked_in_dockers_words() {
        let refused = |pairs: &[(&str, &str)]| check(&options(pairs)).unwrap_err().to_string();
        assert_eq!(refused(&[("colour", "red")]), "invalid option: \"colour\"");
        assert_eq!(refused(&[("type", "nfs")]), "missing required option: \"device\"");
        assert_eq!(refused(&[("o", "bind"), ("device", "/srv")]), "missing required option: \"type\"");
        assert!(refused(&[("size", "1g")]).contains("quota"));
        assert!(
            check(&options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=1000")])).is_ok()
        );
        assert!(!mounts(&options(&[])) && mounts(&options(&[("type", "none"), ("device", "/srv")])));
    }

    #[test]
    fn a_servers_name_becomes_its_address() {
        let resolve = |_: &str| Ok("192.0.2.7".parse().unwrap());
        let with = |words: &str| with_address(words, &resolve).unwrap();
        assert_eq!(with("addr=nas.example,rw,nfsvers=4"), "addr=192.0.2.7,rw,nfsvers=4");
        assert_eq!(with("rw,addr=192.0.2.1"), "rw,addr=192.0.2.1");
        assert_eq!(with("rw"), "rw");
    }

    #[test]
    fn a_password_is_not_told() {
        let secret = options(&[("o", "user=me,password=geheim")]);
        let told = explain("data", &secret, &io::Error::other("bad option geheim")).to_string();
        assert!(told.contains("********") && !told.contains("geheim"), "{told}");
    }

    #[test]
    fn nothing_is_mounted_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_mounted(folder.path()).unwrap());
        assert!(!is_mounted(&folder.path().join("missing")).unwrap());
        assert!(is_mounted(Path::new("/proc")).unwrap());
    }
}
