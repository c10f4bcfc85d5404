//! What one transaction changes: the only thing that both the database and the index are told.

use std::{collections::BTreeSet, sync::Arc};

use minke_model::{Digest, ImageId, Reference};

use super::records::{ImageRecord, LayerRecord, NameRecord, PinRecord};

/// Everything one transaction does. Order within it does not matter to its author: layers enter before images,
/// images before names, and leave the other way round.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Change {
    pub(crate) add_layers: Vec<(Digest, LayerRecord)>,
    pub(crate) add_images: Vec<(ImageId, ImageRecord, Arc<[u8]>)>,
    pub(crate) set_names: Vec<(Reference, NameRecord)>,
    pub(crate) remove_names: BTreeSet<Reference>,
    pub(crate) remove_images: Vec<ImageId>,
    pub(crate) remove_layers: Vec<Digest>,
    pub(crate) set_pins: Vec<(Digest, PinRecord)>,
    pub(crate) remove_pins: BTreeSet<Digest>,
}
