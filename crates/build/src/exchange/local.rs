//! A directory of the client's as a place for caches, and for an image's content.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future::BoxFuture};
use minke_distribution::BlobSource;
use minke_engine::ByteStream;
use minke_image::pull::LONGEST_DOCUMENT;
use minke_model::{Descriptor, Digest};
use sha2::{Digest as _, Sha256};

use super::{Content, ExchangeError, Place, format::damaged};
use crate::{BuildError, Client, ContentStores, ContextError};

/// A directory by the name that it has at the client.
pub(crate) struct Local {
    stores: Arc<dyn ContentStores>,
    store: String,
    /// What is in it.
    root: Option<Digest>,
}

impl Local {
    /// A directory with a cache, to read `root` from or to write to.
    pub(super) fn cache(client: &Client, folder: &str, root: Option<Digest>) -> Result<Self, BuildError> {
        Ok(Self { root, ..Self::open(client, &format!("local:{folder}"))? })
    }

    /// A directory with an image, to read from.
    pub(super) fn image(client: &Client, store: &str, root: Digest) -> Result<Self, BuildError> {
        Ok(Self { root: Some(root), ..Self::open(client, store)? })
    }

    /// A directory to write to.
    pub(crate) fn open(client: &Client, store: &str) -> Result<Self, BuildError> {
        let stores = client.stores.clone();
        let stores =
            stores.ok_or_else(|| BuildError::Invalid(format!("the client offers no directory {store}")))?;
        Ok(Self { stores, store: store.to_owned(), root: None })
    }

    async fn whole(&self, digest: &Digest) -> Result<Bytes, ExchangeError> {
        let mut bytes = BytesMut::new();
        let mut pieces = self.stores.read(&self.store, digest);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| ContextError::failed(format!("read {digest}: {error}")))?;
            if bytes.len() + piece.len() > LONGEST_DOCUMENT {
                return Err(damaged(&format!("{digest} has more than {LONGEST_DOCUMENT} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        match Digest::from_bytes(Sha256::digest(&bytes).into()) {
            found if found == *digest => Ok(bytes.freeze()),
            found => Err(damaged(&format!("{digest} has content of digest {found}"))),
        }
    }
}

impl Place for Local {
    fn root(&self) -> BoxFuture<'_, Result<(String, Bytes), ExchangeError>> {
        Box::pin(async move {
            let root = self.root.ok_or_else(|| damaged(&"nothing in it has the wanted tag"))?;
            Ok((String::new(), self.whole(&root).await?))
        })
    }

    fn document<'a>(&'a self, what: &'a Descriptor) -> BoxFuture<'a, Result<Bytes, ExchangeError>> {
        Box::pin(self.whole(&what.digest))
    }

    fn blob(&self, what: &Descriptor) -> ByteStream {
        self.stores.read(&self.store, &what.digest)
    }

    fn put<'a>(
        &'a self,
        what: &'a Descriptor,
        content: &'a Content,
    ) -> BoxFuture<'a, Result<(), ExchangeError>> {
        Box::pin(async move {
            if self.stores.size(&self.store, &what.digest).await? == Some(what.size) {
                return Ok(());
            }
            let reader = content.open(0).await;
            let reader =
                reader.map_err(|error| ContextError::failed(format!("read {}: {error}", what.digest)))?;
            Ok(self.stores.write(&self.store, &what.digest, what.size, reader).await?)
        })
    }

    fn put_root<'a>(
        &'a self,
        what: &'a Descriptor,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), ExchangeError>> {
        Box::pin(async move { self.put(what, &Content::Bytes(bytes)).await })
    }
}
