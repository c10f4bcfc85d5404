//! Decides, for each architecture and call number, what the filter does: a list of intervals.
//!
//! Neighbouring calls with the same answer become one interval. Docker's profile allows most
//! calls, so its 400 names are about a hundred intervals, and a search among them takes seven steps.

use minke_model::runtime_spec::SeccompOperator;

use super::{
    arch::{Abi, BAD_ARCHITECTURE, X32_BIT},
    multiplex,
    profile::{Condition, Profile, Ret, Rule},
    tables,
};

/// What happens to the calls of one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same whatever the arguments are.
    Always(Ret),
    /// The first of these [`Section::checks`] that holds decides, or else the default.
    Check(usize),
}

/// Calls from `start` up to the next interval's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub(super) start: u32,
    pub(super) verdict: Verdict,
}

/// Conditions that must all hold, and what happens then.
#[derive(Debug)]
pub(super) struct Alternative {
    pub(super) conditions: Vec<Condition>,
    pub(super) ret: Ret,
}

impl Alternative {
    /// Whether both say of one argument which value it has, with the same outcome and the same high word.
    pub(super) fn is_about_the_same_as(&self, other: &Alternative) -> bool {
        let ([one], [another]) = (self.conditions.as_slice(), other.conditions.as_slice()) else {
            return false;
        };
        self.ret == other.ret
            && [one, another].iter().all(|condition| condition.op == SeccompOperator::Equal)
            && one.index == another.index
            && one.value >> 32 == another.value >> 32
    }
}

/// The filter of one audit architecture; the intervals cover all numbers and start at 0.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) audit: u32,
    pub(super) wide_arguments: bool,
    pub(super) intervals: Vec<Interval>,
    pub(super) checks: Vec<Vec<Alternative>>,
}

/// The whole filter.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) default: Ret,
    pub(super) sections: Vec<Section>,
    pub(super) unknown: Vec<&'a str>,
}

/// A rule that applies to a number, on the condition `when` if the number carries several calls.
struct Match {
    number: u32,
    rule: usize,
    when: Option<Condition>,
}

/// The matches of one architecture.
struct Matches {
    abi: Abi,
    matches: Vec<Match>,
    newest: Option<u32>,
}

pub(super) fn select<'a>(profile: &Profile<'a>, abis: &[Abi]) -> Selection<'a> {
    let mut all: Vec<Matches> = abis
        .iter()
        .map(|abi| Matches { abi: *abi, matches: Vec::with_capacity(512), newest: None })
        .collect();
    let mut unknown = Vec::new();
    for (index, rule) in profile.rules.iter().enumerate() {
        for name in rule.names {
            let hash = tables::hash(name);
            let found =
                all.iter_mut().fold(false, |found, table| table.add(profile, index, name, hash) | found);
            if !found {
                unknown.push(name.as_str());
            }
        }
    }
    let (x32, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(|matches| matches.abi == Abi::X32);
    let mut x32 = x32.into_iter().next();
    let sections = others.iter_mut().map(|matches| section(profile, matches, &mut x32)).collect();
    Selection { default: profile.default, sections, unknown }
}

impl Matches {
    /// Notes that a rule is about the call `name`; false if there is no such call.
    fn add(&mut self, profile: &Profile<'_>, index: usize, name: &str, hash: tables::NameHash) -> bool {
        let rule = &profile.rules[index];
        let number = tables::number(self.abi, name, hash);
        // Calls that can also be multiplexed got a number of their own late, or never.
        let multiplexed = self.abi == Abi::X86 && number.is_none_or(|n| n >= multiplex::FIRST_DIRECT);
        let route = if multiplexed { multiplex::route(name) } else { None };
        if let Some(number) = number {
            if number < tables::ARM_PRIVATE_START {
                self.newest = self.newest.max(Some(number));
            }
            // A rule that only repeats the default is no rule: that is how profiles come to say both.
            if rule.ret != profile.default {
                self.matches.push(Match { number, rule: index, when: None });
            }
        }
        if let Some((number, when)) = route
            && rule.ret != profile.default
            && reaches_multiplexed(rule, profile.default)
        {
            self.matches.push(Match { number, rule: index, when: Some(when) });
        }
        number.is_some() || route.is_some()
    }

    fn tail(&self, profile: &Profile<'_>) -> (u32, Ret) {
        match self.newest {
            Some(newest) if profile.hides_newer_calls() => (newest + 1, Ret::ENOSYS),
            _ => (u32::MAX, profile.default),
        }
    }
}

/// Whether a rule also holds for calls whose arguments the filter can't see. Without conditions,
/// yes. With conditions, it is taken in the way that allows less: a rule that hinders calls hinders all of
/// them, a rule that lets some through lets none through.
fn reaches_multiplexed(rule: &Rule<'_>, default: Ret) -> bool {
    rule.alternatives.is_empty() || rule.ret.stricter_than(default)
}

/// The intervals of one audit architecture; x86_64's include those of x32, by its bit.
fn section(profile: &Profile<'_>, matches: &mut Matches, x32: &mut Option<Matches>) -> Section {
    let mut section = Section {
        audit: matches.abi.audit(),
        wide_arguments: matches.abi.wide_arguments(),
        intervals: Vec::with_capacity(matches.matches.len() * 2),
        checks: Vec::new(),
    };
    section.add(profile, matches, 0);
    if matches.abi == Abi::X86_64 {
        match x32.take() {
            Some(mut x32) => section.add(profile, &mut x32, X32_BIT),
            None => section.push(X32_BIT, Verdict::Always(BAD_ARCHITECTURE)),
        }
        // A tracer that skips a call sets its number to -1, which is no x32 call.
        let (_, tail) = matches.tail(profile);
        section.push(u32::MAX, Verdict::Always(tail));
    }
    section
}

impl Section {
    /// Adds the calls of one table, whose numbers are `base` higher in the filter.
    fn add(&mut self, profile: &Profile<'_>, table: &mut Matches, base: u32) {
        let default = Verdict::Always(profile.default);
        let (tail_start, tail) = table.tail(profile);
        table.matches.sort_unstable_by_key(|m| (m.number, m.rule));
        self.push(base, default);
        let mut tail_open = true;
        for group in table.matches.chunk_by(|a, b| a.number == b.number) {
            let number = group[0].number;
            if tail_open && number >= tail_start {
                self.push(base + tail_start, Verdict::Always(tail));
                tail_open = false;
            }
            let verdict = self.verdict(profile, group);
            self.push(base + number, verdict);
            let after = if number < tail_start.saturating_sub(1) { default } else { Verdict::Always(tail) };
            self.push(base + number + 1, after);
        }
        if tail_open && tail_start != u32::MAX {
            self.push(base + tail_start, Verdict::Always(tail));
        }
    }

    /// What the rules for one number come to.
    fn verdict(&mut self, profile: &Profile<'_>, group: &[Match]) -> Verdict {
        let unconditional =
            group.iter().find(|m| m.when.is_none() && profile.rules[m.rule].alternatives.is_empty());
        if let Some(decisive) = unconditional {
            return Verdict::Always(profile.rules[decisive.rule].ret);
        }
        let mut check = Vec::new();
        for m in group {
            let rule = &profile.rules[m.rule];
            match m.when {
                Some(when) => check.push(Alternative { conditions: vec![when], ret: rule.ret }),
                None => check.extend(
                    rule.alternatives.iter().map(|c| Alternative { conditions: c.clone(), ret: rule.ret }),
                ),
            }
        }
        self.checks.push(check);
        Verdict::Check(self.checks.len() - 1)
    }

    /// Starts an interval; one of no length is replaced, one like its forerunner is joined to it.
    fn push(&mut self, start: u32, verdict: Verdict) {
        if self.intervals.last().is_some_and(|last| last.start == start) {
            self.intervals.pop();
        }
        if self.intervals.last().is_none_or(|last| last.verdict != verdict) {
            self.intervals.push(Interval { start, verdict });
        }
    }
}
