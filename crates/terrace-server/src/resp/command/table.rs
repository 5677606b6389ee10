//! The command table: what is known about each command before it runs.
//!
//! Rows are written in words (`"write denyoom"`), which are checked and turned into bit sets while the program is
//! compiled; a misspelt word does not build. Names are found through a table of slots that is filled at compile
//! time as well: a lookup hashes the name without regard to case, probes a slot or two and allocates nothing.

use super::{connection, keys, pubsub, server, strings, transactions};
use crate::resp::call::{Attempt, Run, RunNow};

/// The groups of the table with the names `COMMAND DOCS` gives them, in the order of the table.
const GROUPS: [(&str, &[Command]); 6] = [
    ("string", strings::COMMANDS),
    ("generic", keys::COMMANDS),
    ("connection", connection::COMMANDS),
    ("server", server::COMMANDS),
    ("transactions", transactions::COMMANDS),
    ("pubsub", pubsub::COMMANDS),
];

/// The words of [`Flags`], in the order in which Redis lists them.
const FLAG_WORDS: &[&str] = &[
    "write",
    "readonly",
    "denyoom",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_slowlog",
    "fast",
    "no_auth",
    "allow_busy",
];

/// The words of [`Categories`], in the order in which Redis lists them.
const CATEGORY_WORDS: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// What the server must know about a command before it runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// May change the data.
    pub const WRITE: Self = Self::of("write");
    /// Reads the data and changes nothing.
    pub const READONLY: Self = Self::of("readonly");
    /// May need more memory, so it is refused when there is none.
    pub const DENYOOM: Self = Self::of("denyoom");
    /// For operators.
    pub const ADMIN: Self = Self::of("admin");
    /// About channels.
    pub const PUBSUB: Self = Self::of("pubsub");
    /// Not to be called by a script.
    pub const NOSCRIPT: Self = Self::of("noscript");
    /// Works while the data is still being loaded.
    pub const LOADING: Self = Self::of("loading");
    /// Constant or logarithmic time.
    pub const FAST: Self = Self::of("fast");
    /// Needs no login.
    pub const NO_AUTH: Self = Self::of("no_auth");

    const fn of(words: &str) -> Self {
        Self(bits(words, FLAG_WORDS))
    }

    /// True if every flag of `other` is set here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags that are set, as `COMMAND INFO` lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        names(self.0, FLAG_WORDS)
    }
}

/// The categories of access control a command belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Categories(u32);

impl Categories {
    /// The category of this name (without the `@`, in any case), if there is one.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let index = CATEGORY_WORDS.iter().position(|word| word.as_bytes().eq_ignore_ascii_case(name))?;
        Some(Self(1 << index))
    }

    /// True if the two have a category in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of the categories, without the `@`.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        names(self.0, CATEGORY_WORDS)
    }
}

/// Which arguments of a command are keys. Index 0 is the command's own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpan {
    /// Index of the first key, 0 if the command takes no key.
    pub first: i32,
    /// Index of the last key; -1 is the last argument.
    pub last: i32,
    /// From one key to the next.
    pub step: i32,
}

impl KeySpan {
    const NONE: Self = Self { first: 0, last: 0, step: 0 };
}

/// Why the keys of a command line cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// The command has no arguments that are keys.
    NoKeys,
    /// The number of arguments does not fit the command.
    Arity,
}

/// What a command does.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// It waits for nothing.
    Now(RunNow),
    /// It may wait.
    Later(Run),
    /// It may wait, but usually need not.
    Either(Attempt, Run),
    /// Nothing by itself: its subcommands do.
    Parent,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The name in lower case. A subcommand has its own name only (`list`, not `client|list`).
    pub name: &'static str,
    /// Place of the row in the table, from 0: an index for counters. 0 in a subcommand.
    pub id: u16,
    /// Number of arguments with the name counted: exactly this many, or at least the absolute value if negative.
    pub arity: i32,
    /// Flags.
    pub flags: Flags,
    /// Access control categories.
    pub categories: Categories,
    /// Where the keys are.
    pub keys: KeySpan,
    /// How each key is used, in the words of Redis (`"RO access"`): one text for all keys of [`keys`](Self::keys),
    /// or one for each of two keys.
    pub key_uses: [Option<&'static str>; 2],
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// The group, as `COMMAND DOCS` names it. Empty in a subcommand, which is of its parent's group.
    pub group: &'static str,
    /// The version of Redis that brought the command.
    pub since: &'static str,
    /// Cost.
    pub complexity: &'static str,
    /// One line that says what it does.
    pub summary: &'static str,
    /// What it takes, in the words that the module `arguments` explains; empty if nothing.
    pub arguments: &'static str,
    /// If it is out of fashion: since which version of Redis, and what took its place.
    pub replaced: Option<(&'static str, &'static str)>,
    /// Subcommands, empty for most.
    pub subcommands: &'static [Command],
    /// What it does.
    pub action: Action,
}

/// How rows are written.
impl Command {
    pub(super) const fn new(name: &'static str, arity: i32, flags: &str, categories: &str) -> Self {
        Self {
            name,
            id: 0,
            arity,
            flags: Flags::of(flags),
            categories: Categories(bits(categories, CATEGORY_WORDS)),
            keys: KeySpan::NONE,
            key_uses: [None; 2],
            tips: &[],
            group: "",
            since: "",
            complexity: "",
            summary: "",
            arguments: "",
            replaced: None,
            subcommands: &[],
            action: Action::Parent,
        }
    }

    pub(super) const fn key(mut self, index: i32, used: &'static str) -> Self {
        self.keys = KeySpan { first: index, last: index, step: 1 };
        self.key_uses = [Some(used), None];
        self
    }

    pub(super) const fn two_keys(mut self, first: &'static str, second: &'static str) -> Self {
        self.keys = KeySpan { first: 1, last: 2, step: 1 };
        self.key_uses = [Some(first), Some(second)];
        self
    }

    pub(super) const fn keys_to_end(mut self, first: i32, step: i32, used: &'static str) -> Self {
        self.keys = KeySpan { first, last: -1, step };
        self.key_uses = [Some(used), None];
        self
    }

    pub(super) const fn takes(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }

    pub(super) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(super) const fn about(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    pub(super) const fn replaced(mut self, since: &'static str, by: &'static str) -> Self {
        self.replaced = Some((since, by));
        self
    }

    pub(super) const fn now(mut self, run: RunNow) -> Self {
        self.action = Action::Now(run);
        self
    }

    pub(super) const fn later(mut self, run: Run) -> Self {
        self.action = Action::Later(run);
        self
    }

    pub(super) const fn either(mut self, attempt: Attempt, run: Run) -> Self {
        self.action = Action::Either(attempt, run);
        self
    }

    pub(super) const fn subcommands(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }
}

impl Command {
    /// True if the command may be called with `count` arguments, its name counted.
    #[must_use]
    pub fn accepts(&self, count: usize) -> bool {
        let Ok(count) = i32::try_from(count) else { return self.arity < 0 };
        if self.arity >= 0 { count == self.arity } else { count >= -self.arity }
    }

    /// Whether it concerns the whole key space: keys, and none by name.
    #[must_use]
    pub fn concerns_all_keys(&self) -> bool {
        const KEYSPACE: Categories = Categories(bits("keyspace", CATEGORY_WORDS));
        self.keys.first == 0 && self.categories.intersects(KEYSPACE) && !matches!(self.action, Action::Parent)
    }

    /// The subcommand of this name, in any case.
    #[must_use]
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        self.subcommands.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The indices of the keys in a command line of `count` arguments, the name counted.
    ///
    /// # Errors
    /// If the command takes no keys, or not this many arguments.
    pub fn key_indices(&self, count: usize) -> Result<impl Iterator<Item = usize> + Clone + use<>, KeyError> {
        if self.keys.first == 0 {
            return Err(KeyError::NoKeys);
        }
        if !self.accepts(count) {
            return Err(KeyError::Arity);
        }
        let first = self.keys.first.unsigned_abs() as usize;
        let end = match self.keys.last {
            last if last < 0 => count.saturating_sub(last.unsigned_abs() as usize - 1),
            last => (last.unsigned_abs() as usize + 1).min(count),
        };
        Ok((first..end).step_by(self.keys.step.unsigned_abs().max(1) as usize))
    }
}

/// Every command, a row each; [`Command::id`] is the index.
pub static TABLE: &[Command] = &ROWS;

/// The command of this name, in any case.
#[inline]
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let mut slot = hash(name) % SLOTS.len();
    loop {
        // An empty slot holds a number past the table, so that the loop ends there.
        let row = TABLE.get(usize::from(*SLOTS.get(slot)?))?;
        if row.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(row);
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].1.len();
        group += 1;
    }
    count
};

static ROWS: [Command; COUNT] = {
    let mut rows = [GROUPS[0].1[0]; COUNT];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let (name, commands) = GROUPS[group];
        let mut i = 0;
        while i < commands.len() {
            rows[at] = commands[i];
            rows[at].id = at as u16;
            rows[at].group = name;
            at += 1;
            i += 1;
        }
        group += 1;
    }
    rows
};

const EMPTY: u16 = u16::MAX;

/// At most a quarter of the slots is taken, so a probe is short.
static SLOTS: [u16; (COUNT * 4).next_power_of_two()] = {
    let mut slots = [EMPTY; (COUNT * 4).next_power_of_two()];
    let mut row = 0;
    while row < COUNT {
        let mut slot = hash(ROWS[row].name.as_bytes()) % slots.len();
        while slots[slot] != EMPTY {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = row as u16;
        row += 1;
    }
    slots
};

/// Sets the letters' case bit, so that case does not matter. It mixes up a few signs too, which costs a comparison.
const fn hash(name: &[u8]) -> usize {
    let mut hash = name.len() as u32;
    let mut i = 0;
    // No name is longer, and a stranger's name of a megabyte shall not be read to its end.
    while i < name.len() && i < 24 {
        hash = (hash ^ (name[i] | 0x20) as u32).wrapping_mul(0x9E37_79B1);
        hash ^= hash >> 15;
        i += 1;
    }
    hash as usize
}

/// The bit set of a text of words, at compile time. An unknown word fails the build.
const fn bits(words: &str, known: &[&str]) -> u32 {
    let words = words.as_bytes();
    let (mut set, mut start) = (0, 0);
    while start < words.len() {
        let mut end = start;
        while end < words.len() && words[end] != b' ' {
            end += 1;
        }
        set |= 1 << word_index(words, start, end, known);
        start = end + 1;
    }
    set
}

const fn word_index(words: &[u8], start: usize, end: usize, known: &[&str]) -> usize {
    let mut index = 0;
    while index < known.len() {
        let candidate = known[index].as_bytes();
        let mut i = 0;
        while i < candidate.len() && start + i < end && candidate[i] == words[start + i] {
            i += 1;
        }
        if i == candidate.len() && start + i == end {
            return index;
        }
        index += 1;
    }
    panic!("a row of the command table uses a word that is not known")
}

fn names(set: u32, known: &'static [&'static str]) -> impl Iterator<Item = &'static str> + Clone {
    known.iter().enumerate().filter(move |(i, _)| set & (1 << i) != 0).map(|(_, word)| *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for row in TABLE {
            let upper = row.name.to_uppercase();
            let mixed: String = row
                .name
                .chars()
                .enumerate()
                .map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c })
                .collect();
            for name in [row.name, &upper, &mixed] {
                assert_eq!(lookup(name.as_bytes()).map(|found| found.name), Some(row.name));
            }
            for sub in row.subcommands {
                assert_eq!(
                    row.subcommand(sub.name.to_uppercase().as_bytes()).map(|s| s.name),
                    Some(sub.name)
                );
            }
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for name in
            ["", "ge", "gett", "get ", "\u{c7}et", "client|list", "*", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
        {
            assert!(lookup(name.as_bytes()).is_none(), "{name}");
        }
        // The case bit alone must not make two names equal: '[' and '{' differ by it.
        assert!(lookup(b"g%t").is_none() && lookup(b"\x07ET").is_none());
    }

    #[test]
    fn ids_are_places_and_names_are_unique() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(row.id), i);
            assert_eq!(row.name, row.name.to_ascii_lowercase());
            assert!(row.name.len() <= 24, "the hash reads no further");
            assert_eq!(TABLE.iter().filter(|other| other.name == row.name).count(), 1);
        }
    }

    #[test]
    fn rows_are_complete_and_consistent() {
        for row in TABLE.iter().chain(TABLE.iter().flat_map(|row| row.subcommands)) {
            assert!(row.arity != 0 && !row.since.is_empty() && !row.complexity.is_empty(), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.summary.ends_with('.'), "{}", row.name);
            assert_eq!(row.keys.first > 0, row.key_uses[0].is_some(), "{}", row.name);
            assert!(
                !(row.flags.contains(Flags::WRITE) && row.flags.contains(Flags::READONLY)),
                "{}",
                row.name
            );
            // Redis derives these categories from the flags.
            let has = |name: &str| row.categories.names().any(|category| category == name);
            assert_eq!(row.flags.contains(Flags::FAST), has("fast"), "{}", row.name);
            assert_ne!(has("fast"), has("slow"), "{}", row.name);
            assert_eq!(row.flags.contains(Flags::WRITE), has("write"), "{}", row.name);
            assert_eq!(row.flags.contains(Flags::ADMIN), has("admin"), "{}", row.name);
        }
    }

    #[test]
    fn arity_counts_the_name() {
        let accepts = |name: &str, count| lookup(name.as_bytes()).is_some_and(|row| row.accepts(count));
        assert!(accepts("get", 2) && !accepts("get", 1) && !accepts("get", 3));
        assert!(accepts("set", 3) && accepts("set", 9) && !accepts("set", 2));
        assert!(accepts("mget", usize::MAX) && !accepts("get", usize::MAX));
    }

    #[test]
    fn keys_are_where_redis_says() {
        let keys = |name: &str, count| {
            let row = lookup(name.as_bytes()).expect("a known name");
            row.key_indices(count).map(|keys| keys.collect::<Vec<_>>())
        };
        assert_eq!(keys("get", 2), Ok(vec![1]));
        assert_eq!(keys("mget", 4), Ok(vec![1, 2, 3]));
        assert_eq!(keys("mset", 7), Ok(vec![1, 3, 5]));
        assert_eq!(keys("mset", 6), Ok(vec![1, 3, 5]));
        assert_eq!(keys("rename", 3), Ok(vec![1, 2]));
        assert_eq!(keys("get", 3), Err(KeyError::Arity));
        assert_eq!(keys("ping", 1), Err(KeyError::NoKeys));
        let usage = lookup(b"memory").and_then(|row| row.subcommand(b"USAGE")).expect("MEMORY USAGE");
        assert_eq!(usage.key_indices(3).map(|keys| keys.collect::<Vec<_>>()), Ok(vec![2]));
    }

    #[test]
    fn flags_and_categories_list_their_names_in_order() {
        let set = lookup(b"set").expect("SET");
        assert_eq!(set.flags.names().collect::<Vec<_>>(), ["write", "denyoom"]);
        assert_eq!(set.categories.names().collect::<Vec<_>>(), ["write", "string", "slow"]);
        let string = Categories::named(b"STRING").expect("a category");
        assert!(set.categories.intersects(string));
        assert!(Categories::named(b"strings").is_none());
    }
}
