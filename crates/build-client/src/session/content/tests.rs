//! The content service as BuildKit and as minke call it, and as nobody should.

use hyper::HeaderMap;
use minke_buildkit_wire::grpc::{Channel, serve};
use sha2::{Digest as _, Sha256};

use super::super::{Offer, Session};
use super::*;

/// An engine, and a folder that it may write to as `local:out` and read as `local:in`.
struct Engine {
    channel: Channel,
    layout: Layout,
    _folder: tempfile::TempDir,
}

impl Engine {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::make(folder.path()).unwrap();
        let mut stores = Stores::default();
        stores.put("local:out".into(), layout.clone(), true);
        stores.put("local:in".into(), layout.clone(), false);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let offer = Offer { stores, ..Offer::default() };
        tokio::spawn(serve(far, Session(offer.into())));
        let (channel, connection) = Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        Self { channel, layout, _folder: folder }
    }

    fn call(&self, method: &str, store: &str) -> Call {
        let headers = HeaderMap::from_iter([(STORE.parse().unwrap(), store.parse().unwrap())]);
        self.channel.call(method, headers).unwrap()
    }

    async fn size(&self, store: &str, digest: &str) -> Result<i64, Status> {
        let mut call = self.call(INFO, store);
        call.send(&InfoRequest { digest: digest.into() }).await?;
        call.close();
        Ok(call.next::<InfoResponse>().await?.unwrap().info.unwrap().size)
    }

    async fn read(&self, digest: &str, offset: i64, size: i64) -> Result<Vec<u8>, Status> {
        let mut call = self.call(READ, "local:in");
        call.send(&ReadContentRequest { digest: digest.into(), offset, size }).await?;
        call.close();
        let mut all = Vec::new();
        while let Some(piece) = call.next::<ReadContentResponse>().await? {
            assert_eq!(piece.offset, offset + all.len() as i64);
            all.extend_from_slice(&piece.data);
        }
        Ok(all)
    }
}

async fn say(call: &mut Call, said: WriteContentRequest) -> Result<WriteContentResponse, Status> {
    call.send(&said).await?;
    Ok(call.next().await?.expect("an answer"))
}

fn message(action: WriteAction, offset: i64, data: &[u8]) -> WriteContentRequest {
    let data = Bytes::copy_from_slice(data);
    WriteContentRequest { action: action.into(), offset, data, ..WriteContentRequest::default() }
}

fn digest_of(content: &[u8]) -> String {
    Digest::from_bytes(Sha256::digest(content).into()).to_string()
}

#[tokio::test]
async fn a_blob_is_written_as_buildkit_writes_it_and_read_in_parts() {
    let engine = Engine::new().await;
    let content: Vec<u8> = (0..CHUNK + 1000).map(|at| (at % 251) as u8).collect();
    let (digest, total) = (digest_of(&content), content.len() as i64);
    let mut call = engine.call(WRITE, "local:out");
    let stat = WriteContentRequest {
        reference: "layer".into(),
        total,
        expected: digest.clone(),
        ..message(WriteAction::Stat, 0, b"")
    };
    assert_eq!(say(&mut call, stat.clone()).await.unwrap().offset, 0);
    // It begins anew in the middle.
    assert_eq!(say(&mut call, message(WriteAction::Write, 0, b"nonsense")).await.unwrap().offset, 8);
    assert_eq!(
        say(&mut call, message(WriteAction::Write, 0, &content[..CHUNK])).await.unwrap().offset,
        CHUNK as i64
    );
    assert_eq!(say(&mut call, message(WriteAction::Stat, 0, b"")).await.unwrap().offset, CHUNK as i64);
    let _ = say(&mut call, message(WriteAction::Write, CHUNK as i64, &content[CHUNK..])).await.unwrap();
    assert_eq!(
        engine.size("local:in", &digest).await.unwrap_err().code,
        Code::NotFound,
        "it isn't whole yet"
    );
    let commit =
        WriteContentRequest { total, expected: digest.clone(), ..message(WriteAction::Commit, total, b"") };
    let answer = say(&mut call, commit).await.unwrap();
    assert_eq!((answer.offset, &answer.digest), (total, &digest));
    call.close();
    assert_eq!(engine.size("local:in", &digest).await.unwrap(), total);
    assert_eq!(engine.read(&digest, 0, 0).await.unwrap(), content);
    assert_eq!(engine.read(&digest, 5, 7).await.unwrap(), content[5..12]);
    assert_eq!(engine.read(&digest, total, 7).await.unwrap(), b"");
    assert!(engine.read(&digest, total + 1, 0).await.is_err());
    let again = say(&mut engine.call(WRITE, "local:out"), stat).await.unwrap_err();
    assert_eq!(again.code, Code::AlreadyExists);
}

#[tokio::test]
async fn a_blob_is_written_without_a_word_before_as_minke_writes_it() {
    let engine = Engine::new().await;
    let digest = digest_of(b"hello");
    // The rest of an accident is no blob.
    std::fs::write(engine.layout.path().join("blobs/sha256").join(&digest["sha256:".len()..]), "he").unwrap();
    let mut call = engine.call(WRITE, "local:out");
    let part = |action, offset, data: &[u8]| WriteContentRequest {
        total: 5,
        expected: digest.clone(),
        ..message(action, offset, data)
    };
    let _ = say(&mut call, part(WriteAction::Write, 0, b"hel")).await.unwrap();
    let _ = say(&mut call, part(WriteAction::Write, 3, b"lo")).await.unwrap();
    let _ = say(&mut call, part(WriteAction::Commit, 5, b"")).await.unwrap();
    assert_eq!(engine.read(&digest, 0, 0).await.unwrap(), b"hello");
}

#[tokio::test]
async fn what_is_no_digest_is_nowhere_and_what_is_only_read_is_not_written() {
    let engine = Engine::new().await;
    let known = digest_of(b"");
    for digest in ["sha256:../../index.json", "../oci-layout", "sha512:00", ""] {
        assert_eq!(
            engine.size("local:in", digest).await.unwrap_err().code,
            Code::InvalidArgument,
            "{digest}"
        );
        assert!(engine.read(digest, 0, 0).await.is_err());
        let said =
            WriteContentRequest { expected: format!("{digest} "), ..message(WriteAction::Stat, 0, b"") };
        assert!(say(&mut engine.call(WRITE, "local:out"), said).await.is_err());
    }
    for store in ["", "export", "local:/etc", "local:out/.."] {
        assert_eq!(engine.size(store, &known).await.unwrap_err().code, Code::NotFound, "{store}");
    }
    let said = || message(WriteAction::Write, 0, b"x");
    let refused = say(&mut engine.call(WRITE, "local:in"), said()).await.unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
    let mut call = engine.call(WRITE, "local:out");
    let _ = say(&mut call, said()).await.unwrap();
    assert!(say(&mut call, message(WriteAction::Write, 7, b"x")).await.is_err());
    let mut call = engine.call(WRITE, "local:out");
    let other = WriteContentRequest { expected: known, ..message(WriteAction::Commit, 0, b"x") };
    assert!(say(&mut call, other).await.unwrap_err().message.contains("has the digest"));
    let left = |folder: &str| std::fs::read_dir(engine.layout.path().join(folder)).unwrap().count();
    assert_eq!(left("blobs/sha256"), 0);
}
