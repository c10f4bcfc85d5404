//! How much a Dockerfile may be. Each is far above what people write and far below what would hurt.

/// The largest file, in bytes. Here-documents with programs in them are the largest that people write.
pub const LARGEST_FILE: usize = 4 << 20;
/// The most instructions, and the most stages.
pub const MOST_INSTRUCTIONS: usize = 10_000;
/// How deep `${a:-${b:-…}}` may be.
pub(crate) const DEEPEST_EXPANSION: usize = 100;
/// The longest text that variables may make of a word: the kernel takes 128 KiB for one argument.
pub(crate) const LONGEST_EXPANSION: usize = 1 << 20;
/// How many characters of values times characters of patterns `${x#…}`, `${x%…}` and `${x/…}` of one stage may cost.
pub(crate) const MOST_MATCHING: u64 = 1 << 28;
/// How many bytes all words of one stage may become together.
pub(crate) const MOST_EXPANDED: usize = 64 << 20;
/// The most variables of one stage.
pub(crate) const MOST_VARIABLES: usize = 4096;
/// The most bytes of variables, commands and history that the steps of one stage may hold together.
pub(crate) const MOST_EVALUATED: usize = 64 << 20;
/// The same of all stages of one build, each with what it has of the stage that it is built on.
pub const MOST_HELD: usize = 256 << 20;
/// The most ports of one `EXPOSE`.
pub(crate) const MOST_PORTS: usize = 65_536;
/// The most patterns in a `.dockerignore`, and the longest.
pub(crate) const MOST_PATTERNS: usize = 50_000;
/// The largest `.dockerignore`, in bytes.
pub const LARGEST_IGNORE_FILE: usize = 4 << 20;
