//! From the entries of layers to what became of every path: pure.

use std::collections::BTreeMap;

use super::{
    Layer, Step,
    state::{Outcome, State},
};

/// What a layer does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Added,
    Replaced,
    Deleted,
}

impl Mark {
    /// The letter that stands for it.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Replaced => 'M',
            Self::Deleted => 'D',
        }
    }
}

/// One path that a layer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) path: Vec<u8>,
    pub(crate) mark: Mark,
    pub(crate) is_directory: bool,
    /// Bytes that the layer brings, or, of a deletion, that lower layers had brought.
    pub(crate) size: u64,
}

/// What one layer does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LayerReport {
    pub(crate) step: Step,
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Of these, bytes that no container sees: of files that it has twice or that later layers replace or delete.
    pub(crate) wasted: u64,
    /// Files, links and devices, but no directories.
    pub(crate) added: u64,
    pub(crate) replaced: u64,
    pub(crate) deleted: u64,
    /// By path.
    pub(crate) changes: Vec<Change>,
}

/// Bytes of one path that no container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waste {
    pub(crate) path: Vec<u8>,
    /// In so many layers.
    pub(crate) layers: u64,
    pub(crate) size: u64,
}

/// What an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// From the lowest.
    pub(crate) layers: Vec<LayerReport>,
    /// Paths that waste most, most first.
    pub(crate) waste: Vec<Waste>,
    /// Files, links and devices that a container sees.
    pub(crate) files: u64,
}

impl Report {
    /// Looks at layers from the lowest on.
    pub(crate) fn of(layers: Vec<Layer>) -> Self {
        let mut state = State::default();
        let mut reports: Vec<LayerReport> = Vec::new();
        for (index, layer) in layers.into_iter().enumerate() {
            let Outcome { size, changes } = state.apply(index, layer.entries);
            let count = |mark| {
                changes.iter().filter(|change| change.mark == mark && !change.is_directory).count() as u64
            };
            let (added, replaced, deleted) =
                (count(Mark::Added), count(Mark::Replaced), count(Mark::Deleted));
            reports.push(LayerReport {
                step: layer.step,
                size,
                wasted: 0,
                added,
                replaced,
                deleted,
                changes,
            });
        }
        let mut by_path: BTreeMap<Vec<u8>, Waste> = BTreeMap::new();
        for lost in state.lost {
            if let Some(report) = reports.get_mut(lost.layer) {
                report.wasted += lost.size;
            }
            let path = lost.path.clone();
            let waste = by_path.entry(lost.path).or_insert(Waste { path, layers: 0, size: 0 });
            waste.layers += 1;
            waste.size += lost.size;
        }
        let mut waste: Vec<_> = by_path.into_values().filter(|waste| waste.size > 0).collect();
        waste.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
        let files = state.paths.values().filter(|node| !node.is_directory()).count() as u64;
        Self { layers: reports, waste, files }
    }

    /// Bytes of all layers.
    pub(crate) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Bytes of all layers that no container sees.
    pub(crate) fn wasted(&self) -> u64 {
        self.layers.iter().map(|layer| layer.wasted).sum()
    }

    /// The share of the layers' bytes that containers see, from 0 to 1.
    pub(crate) fn efficiency(&self) -> f64 {
        match self.size() {
            0 => 1.0,
            size => 1.0 - self.wasted() as f64 / size as f64,
        }
    }
}

#[cfg(test)]
mod tests;
