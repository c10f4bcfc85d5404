//! Private keys of files, lent to steps as an SSH agent lends its own: they are shown, and they sign. `--ssh ID=FILE` reads
//! them, and the session answers with them.
//!
//! Signatures are made by ring, which TLS has anyway, and OpenSSH's form is read here. The crate for both, ssh-key 0.6, refuses
//! one ECDSA key of 256, whose number begins with a zero, and its `rsa` gives keys away by its timing (RUSTSEC-2023-0071).

mod encoding;
mod file;
mod key;
mod openssh;
mod rsa;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::encoding::{Encoder, number, string};
use self::key::Key;

/// What is asked and answered (draft-ietf-sshm-ssh-agent, 5.1 and 6.1).
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Why a file has no key that could be lent.
#[derive(Debug, thiserror::Error)]
#[error("ssh key {path}", path = path.display())]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: KeyFault,
}

/// What is wrong with a key's file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It isn't there, or is somebody else's.
    #[error("it can't be read")]
    Read(#[source] std::io::Error),
    /// It is a directory.
    #[error("it is a directory; name the file of a private key, or the socket of an agent")]
    Directory,
    /// It has more bytes than any key.
    #[error("it is larger than a key can be; name the file of a private key")]
    TooLarge,
    /// It is the wrong half.
    #[error("it is a public key; name the private one, which has the same name without .pub")]
    Public,
    /// It has a passphrase.
    #[error("it has a passphrase; add it to an agent with ssh-add, and name the agent's socket or nothing")]
    Encrypted,
    /// It is in another form than those that are read.
    #[error(
        "it is no private key in OpenSSH's form, PKCS#8 or PKCS#1; if it is one in another form, change that with ssh-keygen -p -f FILE"
    )]
    Form,
    /// It is cut short or was changed.
    #[error("its form is that of a private key, and its content isn't: it is cut short or was changed")]
    Damaged,
    /// It is a key that can't sign here.
    #[error(
        "keys of files are ed25519, ecdsa of nistp256 and nistp384, or rsa of 2048, 3072 and 4096 bits; add another to an agent with ssh-add, and name the agent's socket or nothing"
    )]
    Kind,
}

/// Some private keys.
pub struct Keys(Vec<Key>);

impl fmt::Debug for Keys {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// Reads the keys of files, one of each; blocks.
    ///
    /// # Errors
    /// What is wrong with the first file that has no key to lend.
    pub fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, KeyError> {
        let read = |path: &Path| file::read(path).map_err(|fault| KeyError { path: path.to_owned(), fault });
        paths.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The whole answer to a whole message, which comes without its length.
    pub(crate) fn answer(&self, question: &[u8]) -> Bytes {
        let answer = match question.split_first() {
            Some((&REQUEST_IDENTITIES, _)) => Some(self.identities()),
            Some((&SIGN_REQUEST, asked)) => self.signature(asked),
            _ => None,
        };
        let answer = answer.unwrap_or_else(|| vec![FAILURE]);
        Bytes::from(Encoder::default().string(&answer).done())
    }

    fn identities(&self) -> Vec<u8> {
        let answer = Encoder::default().byte(IDENTITIES_ANSWER).number(self.0.len());
        let add = |answer: Encoder, key: &Key| answer.string(key.public()).string(key.comment().as_bytes());
        self.0.iter().fold(answer, add).done()
    }

    /// `None` for what isn't understood, keys that aren't here, and signatures that the key doesn't make.
    fn signature(&self, mut asked: &[u8]) -> Option<Vec<u8>> {
        let (public, data) = (string(&mut asked)?, string(&mut asked)?);
        let flags = number(&mut asked)?;
        let key = self.0.iter().find(|key| key.public() == public)?;
        let signature = key.sign(data, flags)?;
        asked.is_empty().then(|| Encoder::default().byte(SIGN_RESPONSE).string(&signature).done())
    }
}
