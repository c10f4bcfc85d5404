//! One target's run: inputs until one breaks it, then the smallest form of that input.

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{
    mutate::{Dictionary, mutate},
    random::Random,
    targets::TARGETS,
};

/// Says what became of an input, or what promise was broken.
pub(super) type Run = fn(&[u8]) -> Result<String, String>;

/// How many inputs a test tries.
const ITERATIONS: u64 = 5_000;
/// The seed of the tests, so that they are the same everywhere.
const SEED: u64 = 20_260_117;
/// How the outcome of an input begins that the parser refuses.
pub(super) const REFUSED: &str = "refused: ";
/// How many inputs with new outcomes are kept.
const LARGEST_POOL: usize = 3_000;
/// Longer than any input should take.
const TOO_LONG: Duration = Duration::from_secs(5);
/// How many smaller forms of an input are tried.
const SHRINKING: usize = 600;

pub(super) struct Campaign {
    name: &'static str,
    run: Run,
    seed: u64,
    iterations: Option<u64>,
    until: Option<Instant>,
    pool: Vec<Value>,
    /// How many of them are the corpus.
    seeds: usize,
    dictionary: Dictionary,
    outcomes: BTreeSet<String>,
    tried: u64,
}

/// What broke.
pub(super) struct Found {
    pub(super) input: Vec<u8>,
    pub(super) reason: String,
}

/// The inputs to begin with.
pub(super) fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| (path.display().to_string(), fs::read(path).unwrap());
    let mut inputs: Vec<_> = entries.map(read).collect();
    inputs.sort();
    inputs
}

pub(super) fn largest(name: &str) -> usize {
    corpus(name).iter().map(|(_, text)| text.len()).max().unwrap_or_default()
}

/// Runs a target on one input; a panic is as bad as a broken promise.
pub(super) fn attempt(run: Run, input: &[u8]) -> Result<String, String> {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| run(input))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of no text")))
    });
    match start.elapsed() {
        time if time > TOO_LONG => Err(format!("it took {} s", time.as_secs())),
        _ => result,
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Campaign {
    /// Of a target by its name; how long it runs is told by the environment.
    pub(super) fn new(name: &'static str) -> Self {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        let mut campaign = Self::with(name, target.run, ITERATIONS);
        if let Some(seconds) = variable("MINKE_FUZZ_SECONDS") {
            campaign.iterations = None;
            campaign.until = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
            let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
            campaign.seed = clock;
        }
        campaign.seed = variable("MINKE_FUZZ_SEED").unwrap_or(campaign.seed);
        campaign
    }

    /// Of any target, for a fixed number of inputs.
    pub(super) fn with(name: &'static str, run: Run, iterations: u64) -> Self {
        let mut dictionary = Dictionary::default();
        let pool: Vec<Value> =
            corpus(name).iter().map(|(_, text)| serde_json::from_slice(text).unwrap()).collect();
        pool.iter().for_each(|value| dictionary.learn(value));
        Self {
            name,
            run,
            seed: SEED,
            iterations: Some(iterations),
            until: None,
            seeds: pool.len(),
            pool,
            dictionary,
            outcomes: BTreeSet::new(),
            tried: 0,
        }
    }

    /// Searches, and fails with the place of the reproducer.
    pub(super) fn run(mut self) {
        if let Ok(path) = std::env::var("MINKE_FUZZ_REPLAY") {
            let file = Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
            let others = TARGETS.iter().filter(|target| target.name != self.name);
            if others.into_iter().any(|target| file.starts_with(target.name)) {
                return;
            }
            let outcome = attempt(self.run, &fs::read(&path).unwrap());
            println!("{}: {outcome:?}", self.name);
            assert!(outcome.is_ok(), "{path} breaks {}: {outcome:?}", self.name);
            return;
        }
        let found = self.search();
        println!(
            "{}: {} inputs, {} outcomes, seed {}",
            self.name,
            self.tried,
            self.outcomes.len(),
            self.seed
        );
        if let Some(found) = found {
            let path = self.keep(&found);
            panic!(
                "{} breaks after {} inputs: {}\nreproducer: {}\nagain: make fuzz REPLAY={}",
                self.name,
                self.tried,
                found.reason,
                path.display(),
                path.display()
            );
        }
    }

    /// Tries inputs until one breaks the target or there have been enough.
    pub(super) fn search(&mut self) -> Option<Found> {
        let mut random = Random::new(self.seed);
        let silence = Silence::begin();
        let mut reported = Instant::now();
        while !self.is_over() {
            let known = if random.one_in(2) { self.seeds } else { self.pool.len() };
            let parent = random.pick(&self.pool[..known]).clone();
            let input = mutate(&parent, &self.dictionary, &mut random);
            self.tried += 1;
            match attempt(self.run, &input) {
                Ok(outcome) => self.remember(outcome, &input),
                Err(reason) => {
                    let found = self.shrink(input, reason);
                    drop(silence);
                    return Some(found);
                }
            }
            if self.iterations.is_none() && reported.elapsed() > Duration::from_secs(10) {
                reported = Instant::now();
                println!("{}: {} inputs, {} outcomes", self.name, self.tried, self.outcomes.len());
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.iterations.is_some_and(|most| self.tried >= most)
            || self.until.is_some_and(|end| Instant::now() >= end)
    }

    /// An input that gets somewhere new is worth changing further; what the parser refuses gets nowhere, with whatever
    /// else is changed in it.
    fn remember(&mut self, outcome: String, input: &[u8]) {
        let shape: String = outcome.chars().filter(|c| !c.is_ascii_digit()).take(120).collect();
        if self.pool.len() < LARGEST_POOL
            && self.outcomes.insert(shape)
            && !outcome.starts_with(REFUSED)
            && let Ok(value) = serde_json::from_slice(input)
        {
            self.pool.push(value);
        }
    }

    /// Leaves out what the input breaks without.
    fn shrink(&self, input: Vec<u8>, reason: String) -> Found {
        let mut smallest = Found { input, reason };
        let Ok(mut value) = serde_json::from_slice::<Value>(&smallest.input) else { return smallest };
        let mut left = SHRINKING;
        let mut at = 0;
        while let Some(smaller) = without(&value, &mut at.clone()).filter(|_| left > 0) {
            left -= 1;
            let input = serde_json::to_vec(&smaller).unwrap();
            match attempt(self.run, &input) {
                Err(reason) => {
                    value = smaller;
                    smallest = Found { input, reason };
                }
                Ok(_) => at += 1,
            }
        }
        smallest
    }

    fn keep(&self, found: &Found) -> PathBuf {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz");
        fs::create_dir_all(&target).unwrap();
        let path = target.canonicalize().unwrap().join(format!("{}-{}.json", self.name, self.seed));
        fs::write(&path, &found.input).unwrap();
        path
    }
}

/// The value without the field or element that is `at` places on; `None` when there is none.
fn without(value: &Value, at: &mut usize) -> Option<Value> {
    let mut copy = value.clone();
    remove(&mut copy, at).then_some(copy)
}

fn remove(value: &mut Value, at: &mut usize) -> bool {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *at == 0 {
                    fields.remove(&name);
                    return true;
                }
                *at -= 1;
                if fields.get_mut(&name).is_some_and(|child| remove(child, at)) {
                    return true;
                }
            }
            false
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                if *at == 0 {
                    items.remove(index);
                    return true;
                }
                *at -= 1;
                if remove(&mut items[index], at) {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}

/// No messages of panics that are caught here; other threads' tests still print theirs.
struct Silence;

impl Silence {
    fn begin() -> Self {
        let usual = std::panic::take_hook();
        let own = std::thread::current().id();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() != own {
                usual(panic);
            }
        }));
        Self
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        drop(std::panic::take_hook());
    }
}
