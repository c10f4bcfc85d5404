//! The targets of one crate, and how the environment has them run.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use super::{
    campaign::{Campaign, attempt},
    input::Input,
    promise::TAKEN,
};

/// What became of an input in a few words, or the promise that it broke.
pub type Verdict = Result<String, String>;

/// Reads one input as the product does, and checks what the product promises about it.
pub type Run = Box<dyn Fn(&[u8]) -> Verdict>;

/// Something that reads input from outside.
pub struct Target {
    /// Its name, which is that of its folder in the corpus too. No other crate has one of the same name.
    pub name: &'static str,
    /// What its inputs are.
    pub input: Input,
    /// How many inputs a test tries: as many as a debug build manages in a second.
    pub tries: u64,
    /// Makes whatever it needs, which lasts until it broke or the campaign ends.
    pub begin: fn() -> Run,
}

/// The targets of one crate.
pub struct Suite {
    /// The folder with a folder of inputs for each target.
    pub corpus: &'static str,
    /// All of them.
    pub targets: &'static [Target],
}

/// What the environment asks for.
#[derive(Default)]
struct Orders {
    seconds: Option<u64>,
    seed: Option<u64>,
    target: Option<String>,
    replay: Option<PathBuf>,
}

impl Orders {
    fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let number = |name: &str| {
            variable(name)
                .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
        };
        Self {
            seconds: number("MINKE_FUZZ_SECONDS"),
            seed: number("MINKE_FUZZ_SEED"),
            target: variable("MINKE_FUZZ_TARGET"),
            replay: variable("MINKE_FUZZ_REPLAY").map(PathBuf::from),
        }
    }
}

impl Suite {
    /// Tries inputs of a target: a fixed number, or what the environment says.
    ///
    /// # Panics
    /// When one breaks it; the message has the place of the smallest form found, and how to try that again.
    pub fn run(&self, name: &str) {
        let orders = Orders::from_environment();
        let target = self.target(name);
        match (&orders.target, &orders.replay) {
            (Some(only), _) if only != name => {}
            (_, Some(file)) => replay(target, file),
            _ => self.search(target, &orders),
        }
    }

    /// Each target takes all that its corpus has, and nothing in the corpus is without a target.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn expect_corpus_is_taken(&self) {
        let folders: BTreeSet<String> =
            listed(Path::new(self.corpus)).iter().map(|path| file_name(path)).collect();
        let names: BTreeSet<String> = self.targets.iter().map(|target| target.name.to_owned()).collect();
        assert_eq!(folders, names, "the folders of {} are the targets", self.corpus);
        for target in self.targets {
            let (inputs, run) = (self.inputs(target), (target.begin)());
            assert!(inputs.len() > 1, "{} has too little to begin with", target.name);
            for (path, input) in inputs {
                let verdict = attempt(&run, &input);
                let is_taken = verdict.as_ref().is_ok_and(|outcome| outcome.starts_with(TAKEN));
                assert!(is_taken, "{}: {}: {verdict:?}", target.name, path.display());
            }
        }
    }

    fn target(&self, name: &str) -> &Target {
        let found = self.targets.iter().find(|target| target.name == name);
        found.unwrap_or_else(|| panic!("no fuzz target is called {name}"))
    }

    fn inputs(&self, target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
            (path, bytes)
        };
        listed(&Path::new(self.corpus).join(target.name)).into_iter().map(read).collect()
    }

    fn search(&self, target: &Target, orders: &Orders) {
        let inputs: Vec<Vec<u8>> = self.inputs(target).into_iter().map(|(_, bytes)| bytes).collect();
        let mut campaign = Campaign::new(target, &inputs);
        if let Some(seconds) = orders.seconds {
            let until = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
            let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
            campaign = campaign.until(until);
            campaign.seed = clock;
        }
        campaign.seed = orders.seed.unwrap_or(campaign.seed);
        let found = campaign.search();
        println!("{campaign}");
        if let Some(found) = found {
            let path = keep(target, campaign.seed, &found.input);
            let (path, reason) = (path.display(), found.reason);
            panic!("{campaign}: it breaks: {reason}\nreproducer: {path}\nagain: make fuzz REPLAY={path}");
        }
    }
}

/// A temporary folder, in memory where the machine has room there: a target makes many thousands of files, and a disk
/// that others use too would be all it waits for.
///
/// # Panics
/// When none can be made.
pub fn folder() -> TempDir {
    let in_memory = TempDir::new_in("/dev/shm");
    in_memory.or_else(|_| TempDir::new()).expect("a temporary folder can be made")
}

fn replay(target: &Target, file: &Path) {
    let input = fs::read(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
    let verdict = attempt(&(target.begin)(), &input);
    println!("{}: {verdict:?}", target.name);
    assert!(verdict.is_ok(), "{} breaks {}: {verdict:?}", file.display(), target.name);
}

/// Writes a reproducer to where its folder names the target, as in the corpus.
fn keep(target: &Target, seed: u64, input: &[u8]) -> PathBuf {
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/testkit is two deep");
    let folder = workspace.join("target/fuzz").join(target.name);
    let path = folder.join(format!("{seed}.{}", target.input.extension()));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
    written.unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    path
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
