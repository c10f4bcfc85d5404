//! One target's run: inputs until one breaks it, then the smallest form of that input.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
    time::{Duration, Instant},
};

use super::{
    input::{Dictionary, Sample},
    promise::REFUSED,
    random::Random,
    suite::{Run, Target, Verdict},
};

/// The seed of the tests, so that they are the same everywhere.
const SEED: u64 = 20_260_117;
/// How many inputs with new outcomes are kept.
const LARGEST_POOL: usize = 3_000;
/// Longer than any input should take.
const TOO_LONG: Duration = Duration::from_secs(5);
/// How many smaller forms of an input are tried.
const SHRINKING: usize = 600;
/// Between two reports of a campaign without a fixed end.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A search for an input that breaks a target.
pub(super) struct Campaign<'a> {
    target: &'a Target,
    run: Run,
    pub(super) seed: u64,
    tries: Option<u64>,
    until: Option<Instant>,
    pool: Vec<Sample>,
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

/// Runs a target on one input; a panic is as bad as a broken promise.
pub(super) fn attempt(run: &Run, input: &[u8]) -> Verdict {
    let start = Instant::now();
    let _silence = Silence::begin();
    let verdict = catch_unwind(AssertUnwindSafe(|| run(input))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of no text")))
    });
    match start.elapsed() {
        time if time > TOO_LONG => Err(format!("it took {} s", time.as_secs())),
        _ => verdict,
    }
}

impl<'a> Campaign<'a> {
    /// For as many inputs as the target says, beginning with `corpus`.
    pub(super) fn new(target: &'a Target, corpus: &[Vec<u8>]) -> Self {
        let pool: Vec<Sample> = corpus.iter().filter_map(|bytes| target.input.read(bytes)).collect();
        assert!(!pool.is_empty(), "{} has nothing to begin with", target.name);
        let mut dictionary = Dictionary::default();
        pool.iter().for_each(|sample| dictionary.learn(sample));
        Self {
            target,
            run: (target.begin)(),
            seed: SEED,
            tries: Some(target.tries),
            until: None,
            seeds: pool.len(),
            pool,
            dictionary,
            outcomes: BTreeSet::new(),
            tried: 0,
        }
    }

    /// Until then instead, or without end.
    pub(super) fn until(self, until: Option<Instant>) -> Self {
        Self { tries: None, until, ..self }
    }

    /// Tries inputs until one breaks the target or there have been enough.
    pub(super) fn search(&mut self) -> Option<Found> {
        let mut random = Random::new(self.seed);
        let mut reported = Instant::now();
        while !self.is_over() {
            let known = if random.one_in(2) { self.seeds } else { self.pool.len() };
            let input = random.pick(&self.pool[..known]).changed(&self.dictionary, &mut random);
            self.tried += 1;
            match attempt(&self.run, &input) {
                Ok(outcome) => self.remember(&outcome, &input),
                Err(reason) => return Some(self.shrink(Found { input, reason })),
            }
            if self.tries.is_none() && reported.elapsed() > REPORT_EVERY {
                reported = Instant::now();
                println!("{self}");
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.tries.is_some_and(|most| self.tried >= most)
            || self.until.is_some_and(|end| Instant::now() >= end)
    }

    /// An input that gets somewhere new is worth changing further; what the parser refuses gets nowhere, with whatever
    /// else is changed in it.
    fn remember(&mut self, outcome: &str, input: &[u8]) {
        if self.pool.len() < LARGEST_POOL
            && !outcome.starts_with(REFUSED)
            && self.outcomes.insert(shape(outcome))
            && let Some(sample) = self.target.input.read(input)
        {
            self.pool.push(sample);
        }
    }

    /// Leaves out what the input breaks without.
    fn shrink(&self, mut smallest: Found) -> Found {
        let Some(mut sample) = self.target.input.read(&smallest.input) else { return smallest };
        let (mut at, mut smaller_before) = (0, false);
        for _ in 0..SHRINKING {
            let Some(smaller) = sample.without(at) else {
                if !std::mem::take(&mut smaller_before) {
                    break;
                }
                at = 0;
                continue;
            };
            let input = smaller.bytes();
            // What the target needs may be broken too.
            match attempt(&(self.target.begin)(), &input) {
                Err(reason) => {
                    smallest = Found { input, reason };
                    (sample, smaller_before) = (smaller, true);
                }
                Ok(_) => at += 1,
            }
        }
        smallest
    }
}

/// An outcome without its numbers and without what it quotes.
fn shape(outcome: &str) -> String {
    let quotes = outcome.split('"').step_by(2);
    quotes.flat_map(str::chars).filter(|c| !c.is_ascii_digit()).take(120).collect()
}

impl fmt::Display for Campaign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, tried, outcomes, seed, .. } = self;
        write!(f, "{}: {tried} inputs, {} outcomes, seed {seed}", target.name, outcomes.len())
    }
}

thread_local! {
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

/// No messages of panics that are caught here; other threads' tests still print theirs.
struct Silence;

impl Silence {
    fn begin() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if !IS_SILENT.get() {
                    usual(panic);
                }
            }));
        });
        IS_SILENT.set(true);
        Self
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        IS_SILENT.set(false);
    }
}
