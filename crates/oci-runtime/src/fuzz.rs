//! Fuzzing of everything that reads a configuration or a state file and touches nothing else.
//!
//! Inputs are JSON that is changed by its structure, for text that isn't JSON gets no further than the parser. The tests
//! here run a fixed number of them; `make fuzz` runs them without end (`docs/decisions/0017-fuzzing-on-stable.md`).
//!
//! ```text
//!  fuzz/corpus/TARGET/*.json ──▶ mutate ──▶ target: panics, or breaks a promise? ──▶ target/fuzz/TARGET-….json
//!               ▲                            │ an outcome that was not seen before
//!               └────────────── kept ────────┘
//! ```
//!
//! Variables: `MINKE_FUZZ_SECONDS` (how long for each target, 0 is for ever), `MINKE_FUZZ_SEED`, and `MINKE_FUZZ_REPLAY`
//! (a file to try alone).

mod campaign;
mod mutate;
mod random;
mod targets;

use self::{campaign::Campaign, targets::TARGETS};

#[test]
fn no_configuration_breaks_what_reads_it() {
    Campaign::new("config").run();
}

#[test]
fn no_process_file_breaks_what_reads_it() {
    Campaign::new("process").run();
}

#[test]
fn no_resources_file_breaks_what_reads_it() {
    Campaign::new("resources").run();
}

#[test]
fn no_state_file_breaks_what_reads_it() {
    Campaign::new("state").run();
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    for target in TARGETS {
        let corpus = campaign::corpus(target.name);
        assert!(corpus.len() > 1, "{}", target.name);
        for (name, text) in corpus {
            let outcome = (target.run)(&text).unwrap();
            assert_eq!(outcome, "taken", "{}/{name}", target.name);
        }
    }
}

/// The harness itself: a target that is broken on purpose is found, and its reproducer breaks it again.
#[test]
fn a_planted_mistake_is_found_and_reproduced() {
    fn planted(text: &[u8]) -> Result<String, String> {
        let Ok(spec) = crate::config::spec(text) else { return Ok("refused".into()) };
        // Nothing in the corpus has one, and only a whole configuration gets here.
        let negative = spec.linux.iter().flat_map(|linux| &linux.devices).any(|device| device.minor < 0);
        assert!(!negative, "a negative minor number");
        Ok(format!("{} mounts", spec.mounts.len()))
    }
    let mut campaign = Campaign::with("config", planted, 20_000);
    let found = campaign.search().expect("the mistake was not found");
    assert!(found.reason.contains("a negative minor number"), "{}", found.reason);
    assert!(campaign::attempt(planted, &found.input).is_err());
    assert!(found.input.len() <= campaign::largest("config"), "the reproducer was made smaller");
}
