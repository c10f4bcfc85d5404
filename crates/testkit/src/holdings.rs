//! What an engine holds in the kernel and on the disk, to be compared with what it says it has.

use std::{collections::BTreeSet, fs, path::Path};

use minke_netlink::nft::{Family, NftSocket, Table};

use crate::{Host, leftovers};

/// What there is of an engine, whatever the engine knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The supervisors.
    pub supervisors: usize,
    /// The containers that have control groups.
    pub cgroups: BTreeSet<String>,
    /// Links, other than the bridge.
    pub links: usize,
    /// Published ports in nftables, of one address and of all.
    pub ports: usize,
    /// The containers that have a folder.
    pub containers: BTreeSet<String>,
    /// The supervisors' sockets.
    pub sockets: BTreeSet<String>,
    /// The volumes that have a folder.
    pub volumes: BTreeSet<String>,
    /// Mounts of the host's.
    pub mounts: Vec<String>,
}

impl Host {
    /// What its engine holds now.
    ///
    /// # Panics
    /// When the kernel can't be asked (not root).
    pub fn holdings(&self) -> Holdings {
        let mark = self.path("").display().to_string();
        let bridge = format!("link {}0", self.prefix());
        Holdings {
            supervisors: leftovers::processes(&mark)
                .iter()
                .filter(|line| line.contains(" supervise "))
                .count(),
            cgroups: leftovers::cgroup_dirs(self.prefix()).iter().flat_map(|dir| folders(dir)).collect(),
            links: leftovers::links(self.netns()).into_iter().filter(|link| *link != bridge).count(),
            ports: self.published_ports(),
            containers: folders(&self.path("root/containers")),
            sockets: names(&self.path("state/run")),
            volumes: folders(&self.path("root/volumes")),
            mounts: leftovers::mounts(&mark),
        }
    }

    fn published_ports(&self) -> usize {
        let table = Table { family: Family::Inet, name: self.prefix().to_owned() };
        self.netns().enter(|| {
            let mut socket = NftSocket::open().expect("nftables can be read");
            let sets = ["ports4", "ports4-of-address", "ports6", "ports6-of-address"];
            sets.iter().map(|set| socket.elements(&table, set).expect("a set can be listed").len()).sum()
        })
    }
}

/// The names of what is in a folder, its hidden entries left out; none when there is no folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

fn folders(folder: &Path) -> BTreeSet<String> {
    names(folder).into_iter().filter(|name| folder.join(name).is_dir()).collect()
}
