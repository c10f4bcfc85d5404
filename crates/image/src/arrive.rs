//! Layers that a builder takes from elsewhere: those that are not here are received, then all of them are pinned.
//!
//! ```text
//!   ImageStore::expect_layers ─▶ receive_layer, unpack_stored, several at a time ─▶ Arrival::pin
//! ```

use std::sync::Arc;

use minke_model::{Descriptor, Digest};

use crate::{
    BuiltLayer, ImageStore, LayerState, PulledLayer, StagedLayer, StoreError,
    layers::chain_id,
    store::{PinRecord, Staging},
};

/// Layers on their way in. What is here of them stays as long as this lives.
pub struct Arrival {
    staging: Staging,
    below: Vec<BuiltLayer>,
    layers: Vec<PulledLayer>,
}

impl ImageStore {
    /// Looks for layers on top of others, lowest first, each by the digest of its uncompressed tar and a blob of it.
    ///
    /// # Errors
    /// [`StoreError::LostLayer`] when one below is not there; when the store's folders can't be written.
    pub fn expect_layers(
        &self,
        below: &[BuiltLayer],
        layers: &[(Digest, Descriptor)],
    ) -> Result<Arrival, StoreError> {
        let mut staging = self.stage()?;
        for layer in below {
            if !staging.hold_layer(layer.chain) || !staging.hold_blob(layer.blob.digest) {
                return Err(StoreError::LostLayer { layer: layer.chain });
            }
        }
        let mut under = below.last().map(|layer| layer.chain);
        let mut expected = Vec::with_capacity(layers.len());
        for (diff_id, blob) in layers {
            let (chain, mut blob) = (chain_id(under, *diff_id), blob.clone());
            let state = staging.look_for(chain, &mut blob);
            expected.push(PulledLayer { chain, diff_id: *diff_id, blob, state });
            under = Some(chain);
        }
        Ok(Arrival { staging, below: below.to_vec(), layers: expected })
    }
}

impl Arrival {
    /// What is expected, and what is to be done for each.
    pub fn layers(&self) -> &[PulledLayer] {
        &self.layers
    }

    /// Pins all of it, with what was received. Gives the layers, those below included.
    ///
    /// # Errors
    /// [`StoreError::LostLayer`] for one that was neither here nor received; what the database says.
    pub fn pin(
        mut self,
        key: Digest,
        note: String,
        received: Vec<StagedLayer>,
    ) -> Result<Vec<BuiltLayer>, StoreError> {
        for layer in &self.layers {
            let is_here =
                layer.state == LayerState::Unpacked || received.iter().any(|one| one.chain == layer.chain);
            if !is_here {
                return Err(StoreError::LostLayer { layer: layer.chain });
            }
        }
        for layer in received {
            self.staging.adopt(Arc::new(layer));
        }
        let own = self.layers.iter().map(|layer| BuiltLayer {
            chain: layer.chain,
            diff_id: layer.diff_id,
            blob: layer.blob.clone(),
        });
        let layers: Vec<BuiltLayer> = self.below.iter().cloned().chain(own).collect();
        self.staging.commit_pin(key, PinRecord::new(layers.clone(), note))?;
        Ok(layers)
    }
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival").field("layers", &self.layers).finish_non_exhaustive()
    }
}
