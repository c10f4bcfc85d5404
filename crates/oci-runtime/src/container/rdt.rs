//! `linux.intelRdt`: a group of the resctrl file system, for shares of caches and of memory bandwidth (specification,
//! "IntelRdt"; the kernel's Documentation/filesystems/resctrl.rst).
//!
//! A process's children are in its group, so one line brings a container in. Nothing here needs the hardware itself: a group is a
//! directory with the files `tasks` and `schemata`, and what they mean is the kernel's.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use minke_kernel::resctrl;
use minke_model::runtime_spec::IntelRdt;
use serde::{Deserialize, Serialize};

use super::{ActionError, CreateError, undo::Undo, validate::config};
use crate::step::{Step, plain};

/// The group that a container is in, as far as others have to know: who adds processes, and who deletes the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    path: PathBuf,
    /// Whether it goes with the container: it has no name of its own, and was not there before.
    is_own: bool,
    /// The container's monitoring group in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitoring: Option<PathBuf>,
}

/// What is to be done for a container's group.
#[derive(Debug)]
pub(crate) struct Plan {
    group: Group,
    is_new: bool,
    lines: Vec<String>,
}

impl Plan {
    /// For a container that is to be made.
    pub(super) fn new(id: &str, wanted: Option<&IntelRdt>) -> Result<Option<Self>, CreateError> {
        let Some(wanted) = wanted else { return Ok(None) };
        let root = resctrl::mount_point().action(|| "linux.intelRdt: look for resctrl".into())?;
        let absent = || config("linux.intelRdt", "the host has no resctrl file system (Intel RDT) mounted");
        let root = root.ok_or_else(absent)?;
        Self::below(&root, id, wanted).map(Some)
    }

    fn below(root: &Path, id: &str, wanted: &IntelRdt) -> Result<Self, CreateError> {
        let class = given(&wanted.clos_id);
        let path = match class.map(String::as_str) {
            None => root.join(id),
            Some("/") => root.to_owned(),
            Some(name) if name.contains(['/', '\n']) || matches!(name, "." | "..") => {
                let reason = format!("{name:?} is no name of a class: want one without slashes, or / alone");
                return Err(config("linux.intelRdt.closID", reason));
            }
            Some(name) => root.join(name),
        };
        let lines = lines(wanted)?;
        let is_new = !path.is_dir();
        match &class {
            Some(class) if is_new && lines.is_empty() => {
                let reason =
                    format!("{} has no class {class:?}, and no schema is given for one", root.display());
                return Err(config("linux.intelRdt.closID", reason));
            }
            Some(_) if !is_new => compare(root, &path, wanted)?,
            _ => {}
        }
        let is_own = is_new && class.is_none();
        let monitoring = wanted.enable_monitoring.then(|| path.join("mon_groups").join(id));
        Ok(Self { group: Group { path, is_own, monitoring }, is_new, lines })
    }

    /// What the container's record is to have before anything is made.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Makes what isn't there, and brings the process in.
    pub(super) fn carry_out(&self, pid: i32, undo: &mut Undo) -> Result<(), ActionError> {
        if self.group.is_own {
            self.group.make(&self.group.path, undo)?;
        } else if self.is_new {
            self.group.make_shared()?;
        }
        if !self.lines.is_empty() {
            self.group.write("schemata", self.lines.join("\n") + "\n")?;
        }
        if let Some(monitoring) = self.group.monitoring.as_ref().filter(|path| !path.is_dir()) {
            self.group.make(monitoring, undo)?;
        }
        self.group.add(pid)
    }
}

impl Group {
    /// Brings a process in, whose children will be born in it. A group that somebody has taken away since keeps nobody out.
    pub(crate) fn add(&self, pid: i32) -> Result<(), ActionError> {
        if !self.path.is_dir() {
            return Ok(());
        }
        self.write("tasks", pid.to_string())?;
        match &self.monitoring {
            Some(monitoring) => self.explained(fs::write(monitoring.join("tasks"), pid.to_string()), || {
                format!("linux.intelRdt: add process {pid} to {}", monitoring.display())
            }),
            None => Ok(()),
        }
    }

    /// Removes what goes with the container; returns what stays, and why.
    pub(super) fn remove(&self) -> Vec<String> {
        let own = Some(&self.path).filter(|_| self.is_own);
        let gone = self.monitoring.iter().chain(own).map(|path| (path, fs::remove_dir(path)));
        gone.filter_map(|(path, result)| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Some(format!("remove {}: {}", path.display(), plain(&error)))
            }
            _ => None,
        })
        .collect()
    }

    /// Makes a class that has a name, which stays: others may join it at any time, and may just have made it.
    fn make_shared(&self) -> Result<(), ActionError> {
        let made = match fs::create_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        self.explained(made, || format!("linux.intelRdt: make {}", self.path.display()))
    }

    fn make(&self, path: &Path, undo: &mut Undo) -> Result<(), ActionError> {
        self.explained(fs::create_dir(path), || format!("linux.intelRdt: make {}", path.display()))?;
        let path = path.to_owned();
        undo.add(move || drop(fs::remove_dir(path)));
        Ok(())
    }

    fn write(&self, file: &str, text: String) -> Result<(), ActionError> {
        let path = self.path.join(file);
        self.explained(fs::write(&path, &text), || {
            format!("linux.intelRdt: write {:?} to {}", text.trim_end(), path.display())
        })
    }

    /// With what the kernel says of its last refusal.
    fn explained(&self, result: io::Result<()>, step: impl Fn() -> String) -> Result<(), ActionError> {
        result.action(|| {
            let status = self
                .path
                .ancestors()
                .take(2)
                .find_map(|root| fs::read_to_string(root.join("info/last_cmd_status")).ok());
            match status.as_deref().map(str::trim) {
                None | Some("" | "ok") => step(),
                Some(status) => format!("{} ({status})", step()),
            }
        })
    }
}

/// An empty text is as good as none.
fn given(text: &Option<String>) -> Option<&String> {
    text.as_ref().filter(|text| !text.is_empty())
}

/// What is written to a group's schemata file, in the specification's order.
fn lines(wanted: &IntelRdt) -> Result<Vec<String>, CreateError> {
    let (cache, bandwidth) = (given(&wanted.l3_cache_schema), given(&wanted.mem_bw_schema));
    if bandwidth.is_some_and(|line| !line.starts_with("MB:")) {
        return Err(config("linux.intelRdt.memBwSchema", "must start with MB:"));
    }
    let lines: Vec<String> = cache.into_iter().chain(bandwidth).chain(&wanted.schemata).cloned().collect();
    match lines.iter().find(|line| line.contains('\n')) {
        Some(line) => Err(config("linux.intelRdt", format!("a schema is one line, this isn't: {line:?}"))),
        None => Ok(lines),
    }
}

/// Changes lines of the group that a container is in.
pub(super) fn change(group: Option<&Group>, wanted: &IntelRdt) -> Result<(), CreateError> {
    let lines = lines(wanted)?;
    if lines.is_empty() {
        return Ok(());
    }
    let group = group.ok_or_else(|| config("linux.intelRdt", "the container was created without"))?;
    Ok(group.write("schemata", lines.join("\n") + "\n")?)
}

/// A class that was there is taken as it is: what the configuration wants of its caches and bandwidth must be so already.
fn compare(root: &Path, path: &Path, wanted: &IntelRdt) -> Result<(), CreateError> {
    let lines = [("l3CacheSchema", &wanted.l3_cache_schema), ("memBwSchema", &wanted.mem_bw_schema)];
    let lines: Vec<_> = lines.into_iter().filter_map(|(field, line)| Some((field, given(line)?))).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let path = path.join("schemata");
    let there = fs::read_to_string(&path).action(|| format!("linux.intelRdt: read {}", path.display()))?;
    for (field, line) in lines {
        let (name, mut shares) = parse(line);
        if name == "MB" {
            let step = fs::read_to_string(root.join("info/MB/bandwidth_gran")).ok();
            let step = step.and_then(|text| text.trim().parse().ok()).unwrap_or(1);
            shares.values_mut().for_each(|share| round_up(share, step));
        }
        let now = there.lines().map(parse).find(|(other, _)| *other == name).map(|(_, shares)| shares);
        let agrees =
            now.is_some_and(|now| shares.iter().all(|(domain, share)| now.get(domain) == Some(share)));
        if !agrees {
            let there = there.trim().replace('\n', ", ");
            let reason = format!("{line:?} is not what {} has: {there}", path.display());
            return Err(config(format!("linux.intelRdt.{field}"), reason));
        }
    }
    Ok(())
}

/// As the kernel does it with what is written.
fn round_up(share: &mut String, step: u64) {
    if let (Ok(number), true) = (share.parse::<u64>(), step > 0) {
        *share = number.div_ceil(step).saturating_mul(step).to_string();
    }
}

/// A line's resource, and its share by domain. Blanks and leading zeros mean nothing.
fn parse(line: &str) -> (&str, BTreeMap<&str, String>) {
    let (name, shares) = line.split_once(':').unwrap_or((line, ""));
    let plain_number = |text: &str| {
        let text = text.trim().trim_start_matches('0');
        if text.is_empty() { "0".to_owned() } else { text.to_ascii_lowercase() }
    };
    let shares = shares.trim().split(';').filter_map(|share| share.split_once('='));
    (name.trim(), shares.map(|(domain, share)| (domain.trim(), plain_number(share))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the files that the root of a resctrl file system has.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("mon_groups")).unwrap();
        fs::write(root.path().join("schemata"), "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n").unwrap();
        root
    }

    fn wanted(text: &str) -> IntelRdt {
        serde_json::from_str(text).unwrap()
    }

    fn refusal(root: &Path, text: &str) -> String {
        Plan::below(root, "box", &wanted(text)).unwrap_err().to_string()
    }

    #[test]
    fn without_a_name_the_group_is_the_containers_own_and_goes_with_it() {
        let root = root();
        let json = r#"{"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20","schemata":["L2:0=1"]}"#;
        let plan = Plan::below(root.path(), "box", &wanted(json)).unwrap();
        assert!(!root.path().join("box").exists(), "nothing is made before it is recorded");
        let mut undo = Undo::default();
        plan.carry_out(42, &mut undo).unwrap();
        let read = |file: &str| fs::read_to_string(root.path().join("box").join(file)).unwrap();
        assert_eq!((read("schemata").as_str(), read("tasks").as_str()), ("L3:0=f\nMB:0=20\nL2:0=1\n", "42"));
        plan.group().add(43).unwrap();
        assert_eq!(read("tasks"), "43");
        undo.disarm();
        // The kernel removes a group with the files in it.
        for file in ["schemata", "tasks"] {
            fs::remove_file(root.path().join("box").join(file)).unwrap();
        }
        assert!(plan.group().remove().is_empty());
        assert!(!root.path().join("box").exists());
        assert!(plan.group().remove().is_empty(), "it may be gone");
    }

    #[test]
    fn a_creation_that_fails_leaves_no_group_of_its_own_but_classes_for_others() {
        let root = root();
        for (json, name, stays) in [
            (r#"{"schemata":["L3:0=f"]}"#, "box", false),
            (r#"{"closID":"gold","schemata":["L3:0=f"]}"#, "gold", true),
        ] {
            let plan = Plan::below(root.path(), "box", &wanted(json)).unwrap();
            let mut undo = Undo::default();
            plan.carry_out(42, &mut undo).unwrap();
            for file in ["schemata", "tasks"] {
                fs::remove_file(root.path().join(name).join(file)).unwrap();
            }
            drop(undo);
            assert_eq!(root.path().join(name).exists(), stays, "{json}");
        }
        // Two that begin at the same time.
        let json = r#"{"closID":"new","schemata":["L3:0=f"]}"#;
        let plans = [(); 2].map(|()| Plan::below(root.path(), "box", &wanted(json)).unwrap());
        plans.iter().for_each(|plan| plan.carry_out(42, &mut Undo::default()).unwrap());
    }

    #[test]
    fn lines_change_where_there_is_a_group() {
        let root = root();
        let plan = Plan::below(root.path(), "box", &wanted(r#"{"closID":"/"}"#)).unwrap();
        let lines = wanted(r#"{"memBwSchema":"MB:0=30"}"#);
        change(Some(plan.group()), &lines).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("schemata")).unwrap(), "MB:0=30\n");
        assert!(change(None, &lines).unwrap_err().to_string().contains("created without"));
        change(None, &wanted("{}")).unwrap();
    }

    #[test]
    fn a_class_that_was_there_stays() {
        let root = root();
        fs::create_dir_all(root.path().join("gold/mon_groups")).unwrap();
        let plan =
            Plan::below(root.path(), "box", &wanted(r#"{"closID":"gold","enableMonitoring":true}"#)).unwrap();
        plan.carry_out(42, &mut Undo::default()).unwrap();
        let gold = root.path().join("gold");
        assert!(!gold.join("schemata").exists(), "nothing was asked for");
        assert_eq!(fs::read_to_string(gold.join("mon_groups/box/tasks")).unwrap(), "42");
        fs::remove_file(gold.join("mon_groups/box/tasks")).unwrap();
        assert!(plan.group().remove().is_empty());
        assert!(gold.exists() && !gold.join("mon_groups/box").exists());
    }

    #[test]
    fn the_root_is_a_class_too_and_must_agree() {
        let root = root();
        let json = r#"{"closID":"/","l3CacheSchema":"L3: 1=0FFFFF","memBwSchema":"MB:0=100"}"#;
        let plan = Plan::below(root.path(), "box", &wanted(json)).unwrap();
        assert_eq!(plan.group().path, root.path());
        let other = refusal(root.path(), r#"{"closID":"/","l3CacheSchema":"L3:0=ff"}"#);
        assert!(other.contains("linux.intelRdt.l3CacheSchema") && other.contains("0=fffff"), "{other}");
        assert!(refusal(root.path(), r#"{"closID":"/","memBwSchema":"MB:2=100"}"#).contains("memBwSchema"));
        // What the kernel rounds is what it has.
        fs::create_dir_all(root.path().join("info/MB")).unwrap();
        fs::write(root.path().join("info/MB/bandwidth_gran"), "10\n").unwrap();
        Plan::below(root.path(), "box", &wanted(r#"{"closID":"/","memBwSchema":"MB:0=95"}"#)).unwrap();
    }

    #[test]
    fn what_can_not_be_a_group_is_refused() {
        let root = root();
        for (json, word) in [
            (r#"{"closID":"gold"}"#, "no class \"gold\""),
            (r#"{"closID":"../x","schemata":["L3:0=1"]}"#, "without slashes"),
            (r#"{"closID":"..","schemata":["L3:0=1"]}"#, "without slashes"),
            (r#"{"memBwSchema":"L3:0=1"}"#, "must start with MB:"),
            (r#"{"schemata":["L3:0=1\nMB:0=10"]}"#, "one line"),
        ] {
            let refusal = refusal(root.path(), json);
            assert!(refusal.contains(word), "{json}: {refusal}");
        }
    }

    #[test]
    fn the_kernels_own_words_are_passed_on() {
        let root = root();
        fs::create_dir(root.path().join("info")).unwrap();
        fs::write(root.path().join("info/last_cmd_status"), "mask f000000 has non-consecutive 1-bits\n")
            .unwrap();
        // A directory can't be written to.
        fs::create_dir_all(root.path().join("gold/schemata")).unwrap();
        let plan =
            Plan::below(root.path(), "box", &wanted(r#"{"closID":"gold","schemata":["L3:0=f"]}"#)).unwrap();
        let error = plan.carry_out(42, &mut Undo::default()).unwrap_err();
        assert!(error.action.ends_with("(mask f000000 has non-consecutive 1-bits)"), "{}", error.action);
    }
}
