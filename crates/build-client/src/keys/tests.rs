//! Keys that OpenSSH's `ssh-keygen` made, and its programs as clients of them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use tempfile::TempDir;

use super::encoding::{Encoder, number, string};
use super::*;

/// A new key, and its file.
fn made(folder: &TempDir, name: &str, args: &[&str]) -> PathBuf {
    let path = folder.path().join(name);
    let words = ["-q", "-N", "", "-C", "the-key"];
    let args =
        if args.contains(&"-N") { &[&words[..1], args].concat() } else { &[&words[..], args].concat() };
    let output = Command::new("ssh-keygen").args(args).arg("-f").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

fn keys(path: &Path) -> Keys {
    Keys::read([path]).unwrap()
}

fn fault(path: &Path) -> KeyFault {
    let error = Keys::read([path]).unwrap_err();
    assert_eq!(error.to_string(), format!("ssh key {}", path.display()));
    error.fault
}

/// The public half in a file `.pub`.
fn public(path: &Path) -> String {
    let text = fs::read_to_string(path.with_extension("pub")).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// An agent's socket with these keys behind it.
fn listen(folder: &TempDir, keys: Keys) -> PathBuf {
    let socket = folder.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let keys = Arc::new(keys);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, keys) = (stream.unwrap(), Arc::clone(&keys));
            while let Some(question) = question(&mut stream) {
                stream.write_all(&keys.answer(&question)).unwrap();
            }
        }
    });
    socket
}

fn question(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut question = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut question).ok()?;
    Some(question)
}

fn ran(folder: &TempDir, socket: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder.path())
        .env("SSH_AUTH_SOCK", socket)
        .output()
        .unwrap()
}

/// OpenSSH lists the key and signs with it, without its file, and finds the signature right.
fn serves_openssh(args: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder, "key", args);
    let public = public(&path);
    let socket = listen(&folder, keys(&path));
    fs::remove_file(&path).unwrap();
    let script = "ssh-add -L; echo text >file; echo \"me $(cat key.pub)\" >signers; \
                  ssh-keygen -Y sign -U -f key.pub -n test file; \
                  ssh-keygen -Y verify -f signers -I me -n test -s file.sig <file";
    let output = ran(&folder, &socket, script);
    let (told, problems) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {told}{problems}");
    assert!(told.contains(&public) && told.contains("Good \"test\" signature for me"), "{args:?}: {told}");
    let comes_with_a_comment = !args.contains(&"-m");
    assert_eq!(told.contains("the-key\n"), comes_with_a_comment, "{args:?}: {told}");
}

#[test]
fn openssh_signs_with_ed25519() {
    serves_openssh(&["-t", "ed25519"]);
}

/// As `openssl genpkey` writes it, without the public half (RFC 8410, 7).
#[test]
fn ed25519_is_read_as_openssl_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let text = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    fs::write(&path, text).unwrap();
    let public = keys(&path).0[0].public().to_vec();
    let expected = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    let found: String = public[public.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn openssh_signs_with_ecdsa() {
    serves_openssh(&["-t", "ecdsa", "-b", "256"]);
    serves_openssh(&["-t", "ecdsa", "-b", "384"]);
    serves_openssh(&["-t", "ecdsa", "-b", "256", "-m", "PKCS8"]);
    serves_openssh(&["-t", "ecdsa", "-b", "384", "-m", "PKCS8"]);
}

#[test]
fn openssh_signs_with_rsa() {
    serves_openssh(&["-t", "rsa", "-b", "2048"]);
    serves_openssh(&["-t", "rsa", "-b", "3072"]);
    serves_openssh(&["-t", "rsa", "-b", "2048", "-m", "PEM"]);
    serves_openssh(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"]);
}

#[test]
fn an_agent_of_keys_takes_no_orders() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder, "key", &["-t", "ed25519"]);
    let socket = listen(&folder, keys(&path));
    for order in ["ssh-add -D", "ssh-add key", "echo word | ssh-add -x"] {
        assert!(!ran(&folder, &socket, order).status.success(), "{order}");
    }
    assert!(ran(&folder, &socket, "ssh-add -L").status.success());
}

/// What is answered, without its length.
fn answer(keys: &Keys, question: Encoder) -> Vec<u8> {
    let answer = keys.answer(&question.done());
    assert_eq!(answer[..4], ((answer.len() - 4) as u32).to_be_bytes());
    answer[4..].to_vec()
}

fn sign(public: &[u8], flags: usize) -> Encoder {
    Encoder::default().byte(SIGN_REQUEST).string(public).string(b"data").number(flags)
}

/// The algorithm and the bytes of a signature.
fn signature(answer: &[u8]) -> (String, Vec<u8>) {
    let mut rest = answer.strip_prefix(&[SIGN_RESPONSE]).unwrap();
    let mut signature = string(&mut rest).unwrap();
    assert!(rest.is_empty());
    let algorithm = String::from_utf8(string(&mut signature).unwrap().to_vec()).unwrap();
    (algorithm, string(&mut signature).unwrap().to_vec())
}

#[test]
fn several_keys_are_listed_in_order_and_sign_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        made(&folder, "a", &["-t", "ed25519"]),
        made(&folder, "b", &["-t", "ecdsa"]),
        made(&folder, "c", &["-t", "ed25519"]),
    ];
    let keys = Keys::read(paths.iter().map(|path| &**path)).unwrap();
    assert_eq!(format!("{keys:?}"), "Keys(3)");
    let listed = answer(&keys, Encoder::default().byte(REQUEST_IDENTITIES));
    let mut rest = listed.strip_prefix(&[IDENTITIES_ANSWER]).unwrap();
    assert_eq!(number(&mut rest), Some(3));
    for key in &keys.0 {
        assert_eq!(string(&mut rest), Some(key.public()));
        assert_eq!(string(&mut rest), Some(&b"the-key"[..]));
    }
    assert!(rest.is_empty());
    let asked = keys.0[2].public();
    let (algorithm, bytes) = signature(&answer(&keys, sign(asked, 0)));
    assert_eq!(algorithm, "ssh-ed25519");
    let point = &asked[asked.len() - 32..];
    UnparsedPublicKey::new(&ED25519, point).verify(b"data", &bytes).unwrap();
}

#[test]
fn rsa_hashes_with_what_is_asked_for_and_never_with_sha1() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(&made(&folder, "key", &["-t", "rsa", "-b", "2048"]));
    let public = keys.0[0].public();
    let (algorithm, bytes) = signature(&answer(&keys, sign(public, 2)));
    assert_eq!(algorithm, "rsa-sha2-256");
    let mut rest = public;
    let parts: Vec<_> = std::iter::from_fn(|| string(&mut rest)).collect();
    let key = RsaPublicKeyComponents { e: parts[1], n: &parts[2][1..] };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, b"data", &bytes).unwrap();
    assert_eq!(signature(&answer(&keys, sign(public, 4))).0, "rsa-sha2-512");
    assert_eq!(answer(&keys, sign(public, 0)), [FAILURE]);
}

#[test]
fn what_is_not_understood_fails_and_nothing_else_happens() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(&made(&folder, "key", &["-t", "ed25519"]));
    let public = keys.0[0].public().to_vec();
    let whole = sign(&public, 0).done();
    assert_eq!(answer(&keys, sign(b"another", 0)), [FAILURE]);
    for length in 0..whole.len() {
        assert_eq!(keys.answer(&whole[..length]), [0, 0, 0, 1, FAILURE][..], "{length}");
    }
    assert_eq!(keys.answer(&[&whole[..], &[0]].concat()), [0, 0, 0, 1, FAILURE][..]);
    assert_eq!(keys.answer(&[SIGN_REQUEST, 255, 255, 255, 255, 1]), [0, 0, 0, 1, FAILURE][..]);
    for kind in (0..=255).filter(|kind| ![REQUEST_IDENTITIES, SIGN_REQUEST].contains(kind)) {
        assert_eq!(keys.answer(&[&[kind], &whole[1..]].concat()), [0, 0, 0, 1, FAILURE][..], "{kind}");
    }
}

#[test]
fn files_without_a_key_to_lend_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let key = made(&folder, "key", &["-t", "ed25519"]);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let text = fs::read_to_string(&key).unwrap();
    assert!(matches!(fault(&folder.path().join("none")), KeyFault::Read(_)));
    assert!(matches!(fault(folder.path()), KeyFault::Directory));
    assert!(matches!(fault(&key.with_extension("pub")), KeyFault::Public));
    assert!(matches!(fault(&write("pem", "-----BEGIN PUBLIC KEY-----\n")), KeyFault::Public));
    assert!(matches!(fault(&write("empty", "")), KeyFault::Form));
    assert!(matches!(fault(&write("bytes", "\u{1}\u{2}")), KeyFault::Form));
    assert!(matches!(fault(&write("large", &"a".repeat(200_000))), KeyFault::TooLarge));
    assert!(matches!(fault(&write("short", &text[..text.len() / 2])), KeyFault::Damaged));
    let mut lines: Vec<_> = text.lines().collect();
    lines.remove(2);
    assert!(matches!(fault(&write("holed", &lines.join("\n"))), KeyFault::Damaged));
    assert_eq!(keys(&write("windows", &text.replace('\n', "\r\n"))).0.len(), 1);
    assert_eq!(keys(&write("blank", &format!("\n{text}\n\n"))).0.len(), 1);
}

#[test]
fn keys_that_only_an_agent_can_use_are_left_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, args: &[&str]| fault(&made(&folder, name, args));
    assert!(matches!(with("a", &["-t", "ed25519", "-N", "passphrase"]), KeyFault::Encrypted));
    let rsa = ["-t", "rsa", "-b", "2048", "-N", "passphrase", "-m"];
    assert!(matches!(with("b", &[&rsa[..], &["PEM"]].concat()), KeyFault::Encrypted));
    assert!(matches!(with("c", &[&rsa[..], &["PKCS8"]].concat()), KeyFault::Encrypted));
    assert!(matches!(with("d", &["-t", "ecdsa", "-b", "521"]), KeyFault::Kind));
    assert!(matches!(with("e", &["-t", "rsa", "-b", "1024"]), KeyFault::Kind));
    assert!(matches!(with("f", &["-t", "ecdsa", "-m", "PEM"]), KeyFault::Form));
    let text = KeyFault::Encrypted.to_string();
    assert!(text.contains("ssh-add"), "{text}");
}
