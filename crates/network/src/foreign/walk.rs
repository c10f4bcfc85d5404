//! What somebody else's chain does with a packet of ours. Pure.
//!
//! A walk through the rules with a packet of which only some things are known: which bridge it comes
//! from or goes to, an address, that it opens a TCP connection. Every condition is true, false or
//! unknown. A drop counts when it is certain. An accept counts when it is certain, or when the rule
//! names what is ours (the bridge, its addresses): such a rule was written for us, whatever else it
//! asks. What is left meets the chain's policy.

use std::{collections::HashMap, net::Ipv4Addr};

use minke_netlink::nft::{Element, Step, Verdict};

/// How deep jumps are followed; the kernel allows 16.
const DEPTH: usize = 16;
/// The register file in bytes, and the most that one load overwrites.
const REGISTERS: usize = 64;
const LOAD: usize = 16;

// NFT_META_*
const META_PROTOCOL: u32 = 1;
const META_INPUT_INDEX: u32 = 4;
const META_OUTPUT_INDEX: u32 = 5;
const META_INPUT_NAME: u32 = 6;
const META_OUTPUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;
// NFT_CT_*, and the bits of a new connection and of a rewritten destination
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const NEW: u32 = 8;
const REWRITTEN: u32 = 1 << 5;
const IPV4: u8 = 2;
const TCP: u8 = 6;

/// A table's rules and sets, as far as the walk may need them.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    /// The rules of each chain.
    pub(super) chains: HashMap<String, Vec<Vec<Step>>>,
    /// The elements of each set and map.
    pub(super) sets: HashMap<String, Vec<Element>>,
}

/// The first packet of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    /// The bridge.
    pub(super) bridge: &'a str,
    /// Its index, if it is there.
    pub(super) index: Option<u32>,
    /// A container's address.
    pub(super) container: Ipv4Addr,
    /// Whether it comes from a container.
    pub(super) from: bool,
    /// Whether it goes to a container; if it comes from elsewhere, through a published port.
    pub(super) to: bool,
}

/// What is known of one byte in a register.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    byte: Option<u8>,
    /// It is of something that only our packets have.
    ours: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Dropped,
    /// Back to the calling chain.
    Undecided,
}

/// How sure it is that a packet of ours gets to a rule.
#[derive(Debug, Clone, Copy)]
struct Way {
    certain: bool,
    ours: bool,
}

/// Whether the base chain `chain`, whose policy drops or not, certainly drops `packet`.
pub(super) fn drops(rules: &Ruleset, chain: &str, policy_drops: bool, packet: Packet<'_>) -> bool {
    match (Walk { rules, packet }).chain(chain, Way { certain: true, ours: false }, 0) {
        Outcome::Accepted => false,
        Outcome::Dropped => true,
        Outcome::Undecided => policy_drops,
    }
}

struct Walk<'a> {
    rules: &'a Ruleset,
    packet: Packet<'a>,
}

impl Walk<'_> {
    fn chain(&self, name: &str, way: Way, depth: usize) -> Outcome {
        if depth > DEPTH {
            return Outcome::Undecided;
        }
        for rule in self.rules.chains.get(name).into_iter().flatten() {
            let Some((verdict, way)) = self.rule(rule, way) else { continue };
            match verdict {
                Decision::Accept if way.certain || way.ours => return Outcome::Accepted,
                Decision::Drop if way.certain => return Outcome::Dropped,
                Decision::Return if way.certain => return Outcome::Undecided,
                Decision::Call { chain, comes_back } => match self.chain(&chain, way, depth + 1) {
                    Outcome::Undecided if comes_back || !way.certain => {}
                    outcome => return outcome,
                },
                _ => {}
            }
        }
        Outcome::Undecided
    }

    /// What a rule decides, and how sure that is; nothing when it certainly decides nothing.
    fn rule(&self, steps: &[Step], mut way: Way) -> Option<(Decision, Way)> {
        let mut registers = [Known::default(); REGISTERS];
        for step in steps {
            match step {
                Step::Meta { key, to } => load(&mut registers, *to, &self.meta(*key)),
                Step::Connection { key, to } => load(&mut registers, *to, &self.connection(*key)),
                Step::NetworkHeader { offset, length, to } => {
                    load(&mut registers, *to, &self.header(*offset, *length));
                }
                Step::Load(to) => load(&mut registers, *to, &[Known::default(); LOAD]),
                Step::Mask { from, to, mask, flip } => {
                    let masked: Vec<Known> =
                        mask.iter().zip(flip).zip(window(&registers, *from)).map(masked).collect();
                    load(&mut registers, *to, &masked);
                }
                Step::Compare { from, equal, value } => {
                    way = way.under(within(window(&registers, *from), value, value), *equal)?;
                }
                Step::InSet { from, set, inverted } => {
                    way = way.under(self.find(window(&registers, *from), set).map(|_| ()), !inverted)?;
                }
                Step::VerdictMap { from, map } => match self.find(window(&registers, *from), map) {
                    Truth::Yes(element, ours) => {
                        let way = Way { ours: way.ours || ours, ..way };
                        return Some((Decision::of(element.verdict.as_ref()?)?, way));
                    }
                    Truth::No => {}
                    Truth::Unknown(_) => way.certain = false,
                },
                Step::Verdict(verdict) => return Some((Decision::of(verdict)?, way)),
                Step::Reject => return Some((Decision::Drop, way)),
                Step::Nothing => {}
                Step::Unknown => way.certain = false,
            }
        }
        None
    }

    fn meta(&self, key: u32) -> Vec<Known> {
        let Packet { bridge, index, from, to, .. } = self.packet;
        let mut name = [0; LOAD];
        name[..bridge.len().min(LOAD)].copy_from_slice(&bridge.as_bytes()[..bridge.len().min(LOAD)]);
        let index = index.map(u32::to_ne_bytes);
        match key {
            META_INPUT_NAME if from => ours(&name),
            META_OUTPUT_NAME if to => ours(&name),
            META_INPUT_INDEX if from => index.map_or_else(unknown, |index| ours(&index)),
            META_OUTPUT_INDEX if to => index.map_or_else(unknown, |index| ours(&index)),
            META_PROTOCOL => plain(&[8, 0]),
            META_FAMILY => plain(&[IPV4]),
            META_TRANSPORT => plain(&[TCP]),
            _ => unknown(),
        }
    }

    fn connection(&self, key: u32) -> Vec<Known> {
        match key {
            CT_STATE => plain(&NEW.to_ne_bytes()),
            // Other bits of the status are unknown, but nobody asks for them without this one.
            CT_STATUS if !self.packet.from => plain(&REWRITTEN.to_ne_bytes()),
            CT_STATUS => plain(&[0; 4]),
            _ => unknown(),
        }
    }

    /// Of the IPv4 header, the protocol and the container's own address are known.
    fn header(&self, offset: usize, length: usize) -> Vec<Known> {
        let address = self.packet.container.octets();
        let known = |at: usize| match at {
            9 => Known { byte: Some(TCP), ours: false },
            12..16 if self.packet.from => Known { byte: Some(address[at - 12]), ours: true },
            16..20 if self.packet.to => Known { byte: Some(address[at - 16]), ours: true },
            _ => Known::default(),
        };
        (offset..offset.saturating_add(length.min(LOAD))).map(known).collect()
    }

    /// The element of a set that has the key at the beginning of `registers`.
    fn find(&self, registers: &[Known], set: &str) -> Truth<&Element> {
        let Some(elements) = self.rules.sets.get(set) else { return Truth::Unknown(false) };
        if elements.iter().any(|element| element.interval_end) {
            return find_interval(registers, elements);
        }
        let mut best = Truth::No;
        for element in elements {
            match within(registers, &element.key, element.end.as_deref().unwrap_or(&element.key)) {
                Truth::Yes((), ours) => return Truth::Yes(element, ours),
                Truth::Unknown(ours) => best = Truth::Unknown(ours || best == Truth::Unknown(true)),
                Truth::No => {}
            }
        }
        best
    }
}

/// What the last step of a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Accept,
    Drop,
    Return,
    Call { chain: String, comes_back: bool },
}

impl Decision {
    fn of(verdict: &Verdict) -> Option<Self> {
        Some(match verdict {
            Verdict::Accept => Self::Accept,
            Verdict::Drop => Self::Drop,
            Verdict::Return => Self::Return,
            Verdict::Jump(chain) => Self::Call { chain: chain.clone(), comes_back: true },
            Verdict::Goto(chain) => Self::Call { chain: chain.clone(), comes_back: false },
        })
    }
}

/// Whether a condition is met, by what, and whether that tells our packets from others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth<T> {
    Yes(T, bool),
    No,
    /// What is known of it fits.
    Unknown(bool),
}

impl<T> Truth<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Truth<U> {
        match self {
            Self::Yes(value, ours) => Truth::Yes(with(value), ours),
            Self::No => Truth::No,
            Self::Unknown(ours) => Truth::Unknown(ours),
        }
    }
}

impl Way {
    /// The way on behind a condition that must be `wanted`; none when it certainly is not.
    fn under(self, condition: Truth<()>, wanted: bool) -> Option<Self> {
        match (condition, wanted) {
            (Truth::Yes((), ours), true) => Some(Self { ours: self.ours || ours, ..self }),
            (Truth::No, false) => Some(self),
            (Truth::Unknown(ours), _) => Some(Self { certain: false, ours: self.ours || ours && wanted }),
            (Truth::Yes(..), false) | (Truth::No, true) => None,
        }
    }
}

/// Whether each word of a value is within its range; a single value is a range of one. Numbers are in
/// network byte order and no longer than a word where they are ranges.
fn within(registers: &[Known], first: &[u8], last: &[u8]) -> Truth<()> {
    let (mut ours, mut whole) = (false, true);
    let words = registers.chunks(4).zip(first.chunks(4)).zip(last.chunks(4));
    for ((known, first), last) in words {
        let known = &known[..first.len().min(known.len())];
        match known.iter().map(|known| known.byte).collect::<Option<Vec<u8>>>() {
            Some(word) if !(first..=last).contains(&word.as_slice()) => return Truth::No,
            Some(_) => ours |= known.iter().any(|known| known.ours),
            None => whole = false,
        }
    }
    if whole { Truth::Yes((), ours) } else { Truth::Unknown(ours) }
}

/// A key is in a range if the last boundary at or before it begins one.
fn find_interval<'a>(registers: &[Known], elements: &'a [Element]) -> Truth<&'a Element> {
    let length = elements.first().map_or(0, |element| element.key.len());
    let Some(known) = registers.get(..length) else { return Truth::Unknown(false) };
    let Some(key) = known.iter().map(|known| known.byte).collect::<Option<Vec<u8>>>() else {
        return Truth::Unknown(false);
    };
    let before = elements.iter().filter(|element| element.key <= key);
    // Where a range ends and the next begins, the beginning counts.
    match before.max_by_key(|element| (&element.key, !element.interval_end)) {
        Some(element) if !element.interval_end => Truth::Yes(element, known.iter().any(|known| known.ours)),
        _ => Truth::No,
    }
}

fn masked(((mask, flip), known): ((&u8, &u8), &Known)) -> Known {
    // Bits that are not kept are known, whatever they were.
    let byte = if *mask == 0 { Some(*flip) } else { known.byte.map(|byte| byte & mask ^ flip) };
    Known { byte, ..*known }
}

fn window(registers: &[Known; REGISTERS], from: usize) -> &[Known] {
    registers.get(from..).unwrap_or_default()
}

/// Puts a value into registers; what is left of its last one becomes zero.
fn load(registers: &mut [Known; REGISTERS], to: usize, value: &[Known]) {
    let zero = Known { byte: Some(0), ours: false };
    let padded = value.iter().copied().chain(std::iter::repeat(zero)).take(value.len().next_multiple_of(4));
    for (register, known) in registers.iter_mut().skip(to).zip(padded) {
        *register = known;
    }
}

fn plain(bytes: &[u8]) -> Vec<Known> {
    bytes.iter().map(|byte| Known { byte: Some(*byte), ours: false }).collect()
}

fn ours(bytes: &[u8]) -> Vec<Known> {
    bytes.iter().map(|byte| Known { byte: Some(*byte), ours: true }).collect()
}

fn unknown() -> Vec<Known> {
    vec![Known::default(); LOAD]
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: Step = Step::Meta { key: META_INPUT_NAME, to: 0 };
    const OUTPUT: Step = Step::Meta { key: META_OUTPUT_NAME, to: 16 };
    const ACCEPT: Step = Step::Verdict(Verdict::Accept);
    const DROP: Step = Step::Verdict(Verdict::Drop);

    fn name(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes
    }

    fn is(from: usize, value: &[u8]) -> Step {
        Step::Compare { from, equal: true, value: value.to_vec() }
    }

    fn is_not(from: usize, value: &[u8]) -> Step {
        Step::Compare { from, equal: false, value: value.to_vec() }
    }

    fn source(to: usize, length: usize) -> Step {
        Step::NetworkHeader { offset: 12, length, to }
    }

    fn jump(chain: &str) -> Step {
        Step::Verdict(Verdict::Jump(chain.to_owned()))
    }

    fn packet(from: bool, to: bool) -> Packet<'static> {
        Packet { bridge: "minke0", index: Some(7), container: Ipv4Addr::new(172, 17, 255, 254), from, to }
    }

    /// What a chain of policy drop does with a packet to another host.
    fn dropped(rules: Vec<Vec<Step>>) -> bool {
        dropped_in(rules, &[], packet(true, false))
    }

    fn dropped_in(rules: Vec<Vec<Step>>, elements: &[Element], packet: Packet<'_>) -> bool {
        let other = vec![vec![ACCEPT]];
        let chains = [("base".to_owned(), rules), ("other".to_owned(), other)].into();
        let sets = [("set".to_owned(), elements.to_vec())].into();
        drops(&Ruleset { chains, sets }, "base", true, packet)
    }

    #[test]
    fn a_rule_for_the_bridge_saves_whatever_else_it_asks() {
        assert!(dropped(vec![]));
        assert!(!dropped(vec![vec![INPUT, is(0, &name("minke0")), ACCEPT]]));
        assert!(!dropped(vec![vec![INPUT, is(0, b"minke"), ACCEPT]]), "a wildcard");
        assert!(!dropped(vec![vec![INPUT, is(0, &name("minke0")), Step::Unknown, ACCEPT]]));
        assert!(!dropped(vec![vec![INPUT, is_not(0, &name("eth0")), ACCEPT]]));
        assert!(!dropped(vec![vec![Step::Nothing, ACCEPT]]), "a rule for all");
        assert!(!dropped(vec![vec![INPUT, is(0, &name("minke0")), jump("other")]]));
        assert!(!dropped(vec![vec![source(0, 2), is(0, &[172, 17]), ACCEPT]]));
    }

    #[test]
    fn a_rule_for_others_does_not() {
        for interface in ["docker0", "minke1", "minke01"] {
            assert!(dropped(vec![vec![INPUT, is(0, &name(interface)), ACCEPT]]), "{interface}");
        }
        assert!(dropped(vec![vec![OUTPUT, is(16, &name("docker0")), ACCEPT]]));
        assert!(dropped(vec![vec![Step::Unknown, ACCEPT]]), "answers, in iptables' own words");
        assert!(dropped(vec![vec![source(0, 4), is(0, &[10, 0, 0, 1]), ACCEPT]]));
        let answers = Step::Mask { from: 0, to: 0, mask: vec![6, 0, 0, 0], flip: vec![0; 4] };
        let load = Step::Connection { key: CT_STATE, to: 0 };
        if cfg!(target_endian = "little") {
            assert!(dropped(vec![vec![load, answers, is_not(0, &[0; 4]), ACCEPT]]));
        }
    }

    #[test]
    fn only_a_certain_drop_counts_and_the_first_decision_wins() {
        let (for_us, for_all) = (vec![INPUT, is(0, &name("minke0")), ACCEPT], vec![Step::Reject]);
        assert!(dropped(vec![for_all.clone(), for_us.clone()]));
        assert!(!dropped(vec![for_us.clone(), for_all]));
        assert!(!dropped(vec![vec![Step::Unknown, DROP], for_us.clone()]));
        assert!(dropped(vec![vec![Step::Verdict(Verdict::Return)], for_us]));
        assert!(dropped(vec![vec![jump("base")]]), "a loop, which the kernel wouldn't have");
    }

    #[test]
    fn sets_ranges_and_verdict_maps_are_looked_into() {
        let lookup = |from| Step::InSet { from, set: "set".to_owned(), inverted: false };
        let set = [Element::key(&[&name("docker0")]), Element::key(&[&name("minke0")])];
        assert!(!dropped_in(vec![vec![INPUT, lookup(0), ACCEPT]], &set, packet(true, false)));
        assert!(dropped_in(vec![vec![INPUT, lookup(0), ACCEPT]], &set[..1], packet(true, false)));

        let pair = [Element::key(&[&name("minke0"), &name("eth0")])];
        assert!(!dropped_in(vec![vec![INPUT, OUTPUT, lookup(0), ACCEPT]], &pair, packet(true, false)));
        assert!(dropped_in(vec![vec![INPUT, OUTPUT, lookup(0), ACCEPT]], &pair, packet(true, true)));

        let range = |first: [u8; 4], behind: [u8; 4]| {
            [Element::key(&[&first]), Element::key(&[&behind]).ending_a_range()]
        };
        let rule = || vec![vec![source(0, 4), lookup(0), ACCEPT]];
        assert!(!dropped_in(rule(), &range([172, 16, 0, 0], [172, 32, 0, 0]), packet(true, false)));
        assert!(dropped_in(rule(), &range([172, 16, 0, 0], [172, 17, 0, 0]), packet(true, false)));

        let map = Step::VerdictMap { from: 0, map: "set".to_owned() };
        let mut element = Element::key(&[&name("minke0")]);
        element.verdict = Some(Verdict::Jump("other".to_owned()));
        assert!(!dropped_in(vec![vec![INPUT, map, ACCEPT]], &[element], packet(true, false)));
    }
}
