//! From a layer's blob to its files, in one pass: read, decompress, hash, unpack.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
};

use minke_model::Digest;

use crate::{
    LayerId, LoadError, LoadProgress,
    archive::{self, AbsoluteNames, Limits, UnpackOptions, Unpacked, Whiteouts},
    compression::decompress,
    content::{StagedFolders, io_error},
    hashing::{HashReader, digest_of},
    read_ahead::read_ahead,
};

/// Below this a thread of its own costs more than it saves.
const SMALL_BLOB: u64 = 1 << 20;
/// Bytes between two reports of progress.
const REPORT_EVERY: u64 = 1 << 20;

/// A layer that is to be unpacked.
#[derive(Debug, Clone)]
pub(crate) struct LayerTask {
    pub(crate) chain: LayerId,
    pub(crate) diff_id: Digest,
    pub(crate) blob: PathBuf,
    pub(crate) size: u64,
}

/// The chain ids of layers with these diff ids, lowest first (OCI image specification, "Layer ChainID").
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<LayerId> {
    let mut chain: Vec<LayerId> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(chain_id(chain.last().copied(), *diff_id));
    }
    chain
}

/// The chain id of one layer more.
pub(crate) fn chain_id(below: Option<LayerId>, diff_id: Digest) -> LayerId {
    below.map_or(diff_id, |below| digest_of(format!("{below} {diff_id}").as_bytes()))
}

/// Unpacks layers into `staged`, several at a time, each chain id once.
///
/// # Errors
/// The first failure; the other layers are given up.
pub(crate) fn unpack_all(
    tasks: Vec<LayerTask>,
    staged: &StagedFolders,
    limits: Limits,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<BTreeMap<LayerId, Unpacked>, LoadError> {
    let mut seen = HashSet::new();
    let mut tasks: Vec<LayerTask> = tasks.into_iter().filter(|task| seen.insert(task.chain)).collect();
    tasks.reverse();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(tasks.len()).min(8);
    let shared = Shared {
        tasks: Mutex::new(tasks),
        done: Mutex::new(Ok(BTreeMap::new())),
        stop: AtomicBool::new(false),
        staged,
        limits,
    };
    std::thread::scope(|scope| {
        let (send, reports) = std::sync::mpsc::channel();
        for _ in 0..workers {
            let (shared, send) = (&shared, send.clone());
            scope.spawn(move || shared.work(&send));
        }
        drop(send);
        reports.iter().for_each(progress);
    });
    shared.done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Unpacks the blob of one layer, whatever its compression, into its staged folder while it is read.
pub(crate) fn unpack_blob(
    task: &LayerTask,
    source: impl Read + Send,
    staged: &StagedFolders,
    limits: Limits,
) -> Result<Unpacked, LoadError> {
    let folder = staged.new_layer(&task.chain)?;
    let root = File::open(&folder).map_err(io_error("open", &folder))?;
    let layer = task.diff_id;
    let failed = |source| LoadError::Layer { layer, source };
    let options = UnpackOptions {
        whiteouts: Whiteouts::Overlay,
        limits,
        absolute_names: AbsoluteNames::UnderRoot,
        ..UnpackOptions::default()
    };
    let source = decompress(source).map_err(|e| failed(archive::UnpackError::Read(e)))?;
    let mut source = HashReader::new(source);
    let (unpacked, (digest, _)) = if task.size < SMALL_BLOB {
        let unpacked = archive::unpack(&mut source, root.as_fd(), &options).map_err(failed)?;
        (unpacked, source.finish())
    } else {
        std::thread::scope(|scope| {
            let (ahead, thread) = read_ahead(scope, source);
            let unpacked = archive::unpack(ahead, root.as_fd(), &options).map_err(failed)?;
            let source =
                thread.join().map_err(|_| failed(archive::UnpackError::Read(io::Error::other("panic"))))?;
            Ok::<_, LoadError>((unpacked, source.finish()))
        })?
    };
    match digest == layer {
        true => Ok(unpacked),
        false => Err(LoadError::DiffId { layer, found: digest }),
    }
}

struct Shared<'a> {
    tasks: Mutex<Vec<LayerTask>>,
    done: Mutex<Result<BTreeMap<LayerId, Unpacked>, LoadError>>,
    stop: AtomicBool,
    staged: &'a StagedFolders,
    limits: Limits,
}

impl Shared<'_> {
    fn work(&self, reports: &Sender<LoadProgress>) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(task) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop() else { return };
            let result = self.unpack(&task, reports);
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            match (result, &mut *done) {
                (Ok(unpacked), Ok(all)) => drop(all.insert(task.chain, unpacked)),
                (Err(error), Ok(_)) => {
                    self.stop.store(true, Ordering::Relaxed);
                    *done = Err(error);
                }
                (_, Err(_)) => {}
            }
        }
    }

    fn unpack(&self, task: &LayerTask, reports: &Sender<LoadProgress>) -> Result<Unpacked, LoadError> {
        let blob = File::open(&task.blob).map_err(io_error("open", &task.blob))?;
        let layer = task.diff_id;
        let source = Watched { inner: blob, task, reports, stop: &self.stop, current: 0, reported: 0 };
        let unpacked = unpack_blob(task, source, self.staged, self.limits)?;
        let _ = reports.send(LoadProgress { layer, current: task.size, total: task.size });
        Ok(unpacked)
    }
}

/// Reports how much of a blob was read, and fails when another layer has failed.
struct Watched<'a> {
    inner: File,
    task: &'a LayerTask,
    reports: &'a Sender<LoadProgress>,
    stop: &'a AtomicBool,
    current: u64,
    reported: u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer has failed"));
        }
        let length = self.inner.read(buffer)?;
        self.current += length as u64;
        if self.current - self.reported >= REPORT_EVERY {
            self.reported = self.current;
            let LayerTask { diff_id, size, .. } = self.task;
            let _ = self.reports.send(LoadProgress { layer: *diff_id, current: self.current, total: *size });
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_covers_everything_below() {
        let diff = |text: &str| digest_of(text.as_bytes());
        let chain = chain_ids(&[diff("a"), diff("b"), diff("c")]);
        assert_eq!(chain[0], diff("a"));
        assert_eq!(chain[1], digest_of(format!("{} {}", diff("a"), diff("b")).as_bytes()));
        assert_eq!(chain[2], digest_of(format!("{} {}", chain[1], diff("c")).as_bytes()));
    }
}
