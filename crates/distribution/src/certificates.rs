//! Where the certificates for a registry lie on this host, and reading them. Blocks; nothing is kept, so a
//! file that an operator adds counts from the next image on.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use minke_tls::{Identity, Trust};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    SettingsError,
    hosts_toml::{self, HostOptions, HostsToml},
};

/// What the folders say about a registry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// Docker's layout.
    Certificates(Trust),
    /// containerd's, in this folder.
    HostsToml(PathBuf, HostsToml),
}

/// Looks a registry up, `host[:port]` as in references, in the first folder that knows it.
pub(crate) fn find(folders: &[PathBuf], host: &str) -> Result<Found, SettingsError> {
    for folder in folders {
        for name in names(host) {
            let folder = folder.join(name);
            if folder.is_dir() {
                return match hosts_toml(&folder)? {
                    Some(file) => Ok(Found::HostsToml(folder, file)),
                    None => read_folder(&folder).map(Found::Certificates),
                };
            }
        }
        let default = folder.join("_default");
        if let Some(file) = hosts_toml(&default)? {
            return Ok(Found::HostsToml(default, file));
        }
    }
    Ok(Found::Nothing)
}

/// How a host that was redirected to, or asked for a token, is trusted: by its own folder, where it has one.
pub(crate) fn trust_of(folders: &[PathBuf], host: &str) -> Result<Option<Trust>, SettingsError> {
    match find(folders, host)? {
        Found::Certificates(trust) => Ok(Some(trust)),
        Found::Nothing | Found::HostsToml(..) => Ok(None),
    }
}

/// Reads what `hosts.toml` in `folder` names for one address.
pub(crate) fn trust(folder: &Path, options: &HostOptions) -> Result<Trust, SettingsError> {
    let mut roots = Vec::new();
    for file in &options.ca {
        roots.extend(certificates(&folder.join(file))?);
    }
    let identity = options
        .client
        .as_ref()
        .map(|(certificate, key)| identity(&folder.join(certificate), &folder.join(key)));
    Ok(Trust { roots, identity: identity.transpose()?, verify: !options.skip_verify })
}

/// The folders that a registry may have: containerd writes the port in a way that every file system takes.
fn names(host: &str) -> Vec<String> {
    let with_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let portable = with_port.map(|(host, port)| format!("{host}_{port}_"));
    portable.into_iter().chain([host.to_owned()]).collect()
}

fn hosts_toml(folder: &Path) -> Result<Option<HostsToml>, SettingsError> {
    let path = folder.join("hosts.toml");
    match fs::read_to_string(&path) {
        Ok(text) => hosts_toml::parse(&path, &text).map(Some),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(SettingsError::Read { path, source }),
    }
}

/// Docker's layout: `*.crt` are authorities, `*.cert` with `*.key` are certificates for this client, of which
/// the first one by name counts.
fn read_folder(folder: &Path) -> Result<Trust, SettingsError> {
    let failed = |source| SettingsError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    let with = |extension: &'static str| {
        files.iter().filter(move |file| file.extension().is_some_and(|found| found == extension))
    };
    let mut roots = Vec::new();
    for file in with("crt") {
        roots.extend(certificates(file)?);
    }
    let mut identities = Vec::new();
    for file in with("cert") {
        identities.push(identity(file, &beside(file, "key", &files)?)?);
    }
    for file in with("key") {
        beside(file, "cert", &files)?;
    }
    Ok(Trust { roots, identity: identities.into_iter().next(), verify: true })
}

/// The file of the same name with another extension.
fn beside(file: &Path, extension: &str, files: &[PathBuf]) -> Result<PathBuf, SettingsError> {
    let wanted = file.with_extension(extension);
    if files.contains(&wanted) {
        return Ok(wanted);
    }
    let missing = wanted.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(SettingsError::Pair { path: file.to_owned(), missing })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let wrong = |source| SettingsError::Pem { path: path.to_owned(), wanted: "certificates", source };
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(wrong)?;
    match found.is_empty() {
        true => Err(wrong(rustls_pki_types::pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, SettingsError> {
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    let wrong = |source| SettingsError::Pem { path: key.to_owned(), wanted: "a private key", source };
    PrivateKeyDer::from_pem_slice(&pem).map_err(wrong)?;
    Ok(Identity { chain, key: pem })
}

fn read(path: &Path) -> Result<Vec<u8>, SettingsError> {
    fs::read(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folders {
        root: tempfile::TempDir,
        certificate: String,
        key: String,
    }

    impl Folders {
        fn new() -> Self {
            let made = rcgen::generate_simple_self_signed(vec!["r.example".to_owned()]).unwrap();
            let root = tempfile::tempdir().unwrap();
            Self { root, certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn find(&self, host: &str) -> Result<Found, SettingsError> {
            find(&[self.root.path().join("a"), self.root.path().join("b")], host)
        }

        fn trust(&self, host: &str) -> Trust {
            match self.find(host).unwrap() {
                Found::Certificates(trust) => trust,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn dockers_layout_has_authorities_and_a_certificate_for_the_client() {
        let folders = Folders::new();
        folders.write("b/r.example:5000/ca.crt", &folders.certificate.repeat(2));
        folders.write("b/r.example:5000/other.crt", &folders.certificate);
        folders.write("b/r.example:5000/client.cert", &folders.certificate);
        folders.write("b/r.example:5000/client.key", &folders.key);
        folders.write("b/r.example:5000/README", "x");
        let trust = folders.trust("r.example:5000");
        assert_eq!((trust.roots.len(), trust.identity.is_some(), trust.verify), (3, true, true));
        assert_eq!(folders.find("r.example").unwrap(), Found::Nothing);
        assert_eq!(trust_of(&[folders.root.path().join("b")], "r.example:5000").unwrap(), Some(trust));
    }

    #[test]
    fn the_first_folder_that_knows_a_registry_counts() {
        let folders = Folders::new();
        folders.write("a/r.example/README", "");
        folders.write("b/r.example/ca.crt", &folders.certificate);
        assert!(folders.trust("r.example").roots.is_empty());
    }

    #[test]
    fn a_half_of_a_pair_and_a_file_without_pem_are_named() {
        let folders = Folders::new();
        let error = |host| folders.find(host).unwrap_err().to_string();
        folders.write("a/one/client.cert", &folders.certificate);
        assert!(error("one").ends_with("client.cert has no client.key beside it"), "{}", error("one"));
        folders.write("a/two/client.key", &folders.key);
        assert!(error("two").ends_with("client.key has no client.cert beside it"), "{}", error("two"));
        folders.write("a/three/ca.crt", "nothing");
        assert!(error("three").ends_with("three/ca.crt: want PEM with certificates"), "{}", error("three"));
        folders.write("a/four/x.cert", &folders.certificate);
        folders.write("a/four/x.key", "nothing");
        assert!(error("four").ends_with("x.key: want PEM with a private key"), "{}", error("four"));
    }

    #[test]
    fn containerds_layout_is_found_by_any_of_its_names() {
        let folders = Folders::new();
        folders.write("a/r.example_5000_/hosts.toml", "server = \"https://one\"");
        folders.write("a/r.example:5000/ca.crt", &folders.certificate);
        folders.write("a/r.example/hosts.toml", "server = \"https://two\"");
        folders.write("b/_default/hosts.toml", "server = \"https://three\"");
        let server = |host| match folders.find(host).unwrap() {
            Found::HostsToml(_, file) => file.server.unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(server("r.example:5000"), "https://one");
        assert_eq!(server("r.example"), "https://two");
        assert_eq!(server("other.example"), "https://three");
    }

    #[test]
    fn files_of_hosts_toml_are_seen_from_its_folder() {
        let folders = Folders::new();
        folders.write("a/r/ca.pem", &folders.certificate);
        folders.write("a/r/client.pem", &(folders.certificate.clone() + &folders.key));
        folders.write("a/r/hosts.toml", "ca = \"ca.pem\"\nclient = \"client.pem\"\nskip_verify = true");
        let Found::HostsToml(folder, file) = folders.find("r").unwrap() else { panic!("no hosts.toml") };
        let read = trust(&folder, &file.server_options).unwrap();
        assert_eq!((read.roots.len(), read.identity.is_some(), read.verify), (1, true, false));
        let absent = HostOptions { ca: vec!["/absent.pem".into()], ..HostOptions::default() };
        assert_eq!(trust(&folder, &absent).unwrap_err().to_string(), "read /absent.pem");
    }
}
