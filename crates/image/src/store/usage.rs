//! How much space images take, alone and together.

use std::{collections::BTreeSet, sync::Arc};

use super::ImageStore;
use crate::Image;

impl ImageStore {
    /// Bytes of the files in the layers of these images, each layer counted once.
    pub fn size_of<'a>(&self, images: impl IntoIterator<Item = &'a Arc<Image>>) -> u64 {
        let index = self.index();
        let layers: BTreeSet<_> = images.into_iter().flat_map(|image| &image.layers).collect();
        layers.into_iter().filter_map(|layer| index.layer(layer)).map(|layer| layer.size).sum()
    }

    /// Bytes of the files in those layers of an image that other images have as well.
    pub fn shared_size(&self, image: &Image) -> u64 {
        let index = self.index();
        let shared = image.layers.iter().filter(|layer| index.layer_users(layer) > 1);
        shared.filter_map(|layer| index.layer(layer)).map(|layer| layer.size).sum()
    }
}
