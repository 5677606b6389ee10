//! Sequences of commands, from a seed.

use terrace_store::Rng;
use terrace_store::rng::SplitMix;

use super::compare::How;

/// A command on one of the two connections.
pub(crate) struct Step {
    pub(crate) client: usize,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) how: How,
    /// The connections that are read until a PING is answered, instead of one reply.
    pub(crate) fences: Vec<usize>,
}

pub(crate) struct Sequence {
    pub(crate) steps: Vec<Step>,
}

/// What a connection is about, as far as the generator must know.
#[derive(Default)]
struct Line {
    /// How the commands queued since MULTI are compared.
    queued: Option<Vec<How>>,
    listening: bool,
    resp3: bool,
}

struct Generator<'r> {
    rng: &'r SplitMix,
    lines: [Line; 2],
    steps: Vec<Step>,
    /// A value was set whose end had come already.
    ended: bool,
}

type Words = Vec<Vec<u8>>;

fn words(line: &str) -> Words {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl Sequence {
    pub(crate) fn generate(rng: &SplitMix) -> Self {
        let lines = [Line::default(), Line::default()];
        let mut generator = Generator { rng, lines, steps: Vec::new(), ended: false };
        for client in [0, 1] {
            generator.plain(client, "reset", How::Exact);
        }
        generator.plain(0, "flushall", How::Exact);
        for client in [0, 1] {
            if generator.chance(40) {
                generator.plain(client, "hello 3", How::Ignored);
                generator.lines[client].resp3 = true;
            }
        }
        for _ in 0..8 + rng.below(20) {
            let client = usize::from(generator.chance(25));
            generator.step(client);
        }
        Self { steps: generator.steps }
    }
}

impl Generator<'_> {
    fn chance(&self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&self, of: &[&'a T]) -> &'a T {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn plain(&mut self, client: usize, line: &str, how: How) {
        self.push(client, words(line), how);
    }

    fn push(&mut self, client: usize, args: Words, how: How) {
        let fences = Vec::new();
        self.steps.push(Step { client, args, how, fences });
    }

    fn step(&mut self, client: usize) {
        if self.lines[client].queued.is_some() {
            return self.queue(client);
        }
        match self.rng.below(100) {
            0..6 if !self.lines[client].listening => {
                if self.chance(30) {
                    let (mut args, key) = (words("watch"), self.key());
                    args.push(key);
                    self.push(client, args, How::Exact);
                }
                self.plain(client, "multi", How::Exact);
                self.lines[client].queued = Some(Vec::new());
            }
            6..12 => self.talk(client),
            12..14 => {
                let line = self.pick(&["unwatch", "exec", "discard", "reset", "watch", "multi 1", "ping"]);
                self.plain(client, line, How::Exact);
                if line == "reset" {
                    self.lines[client] = Line::default();
                }
            }
            14..17 if !self.lines[client].listening => {
                let line = self.pick(&[
                    "hello 3",
                    "hello 2",
                    "hello",
                    "hello 3 setname me",
                    "hello 3 auth default pass",
                ]);
                self.plain(client, line, How::Type);
            }
            _ => {
                let (args, how) = self.command();
                self.push(client, args, how);
            }
        }
    }

    /// Inside MULTI: queues a command, or ends it.
    fn queue(&mut self, client: usize) {
        match self.rng.below(100) {
            0..25 => {
                let each = self.lines[client].queued.take().unwrap_or_default();
                self.plain(client, "exec", How::Each(each));
            }
            25..28 => {
                self.lines[client].queued = None;
                self.plain(client, "discard", How::Exact);
            }
            28..30 => self.plain(client, "multi", How::Exact),
            30..32 => self.plain(client, "watch x", How::Exact),
            _ => {
                let (args, how) = self.command();
                if args[0].eq_ignore_ascii_case(b"reset") || args[0].eq_ignore_ascii_case(b"hello") {
                    return;
                }
                self.push(client, args, How::Exact);
                if let Some(queued) = &mut self.lines[client].queued {
                    queued.push(how);
                }
            }
        }
    }

    /// Publishing and listening; read until a fence, for messages come in between.
    fn talk(&mut self, client: usize) {
        let line = self.pick(&[
            "subscribe news",
            "subscribe news sport",
            "psubscribe n*",
            "psubscribe [a-m]* s*",
            "unsubscribe",
            "unsubscribe news",
            "unsubscribe news other",
            "punsubscribe",
            "punsubscribe n*",
            "publish news hello",
            "publish news hello",
            "publish sport 1:0",
            "publish nothing x",
            "pubsub channels",
            "pubsub channels n*",
            "pubsub numsub news sport x",
            "pubsub numsub",
            "pubsub numpat",
            "pubsub numpat 1",
            "pubsub nonsense",
            "subscribe",
            "publish news",
        ]);
        let other = 1 - client;
        let how = if line == "pubsub channels" || line.ends_with("unsubscribe") {
            How::AnyOrder
        } else {
            How::Exact
        };
        let mut fences = vec![client];
        if self.lines[other].queued.is_none() {
            fences.push(other);
        } else if line.starts_with("publish") {
            return;
        }
        self.lines[client].listening |= line.contains("subscribe ") && !line.contains("unsub");
        self.steps.push(Step { client, args: words(line), how, fences });
    }

    fn key(&self) -> Vec<u8> {
        match self.rng.below(40) {
            0 => Vec::new(),
            1 => b"\x00\r\n\xff".to_vec(),
            2 => vec![b'L'; 300],
            n => format!("k{}", n % 6).into_bytes(),
        }
    }

    fn value(&self) -> Vec<u8> {
        match self.rng.below(14) {
            0 => Vec::new(),
            1 => b"\x00\r\n$-1\xff".to_vec(),
            2 => vec![b'v'; 3000],
            3 => b"hello world".to_vec(),
            4 => vec![b'e'; 44],
            5 => vec![b'r'; 45],
            6..10 => self.number(),
            10 => self.float(),
            _ => format!("value {}", self.rng.below(100)).into_bytes(),
        }
    }

    fn number(&self) -> Vec<u8> {
        let edges =
            ["0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808", "9223372036854775806"];
        match self.rng.below(4) {
            0 => self.pick(&edges).into(),
            _ => (self.rng.below(2000) as i64 - 1000).to_string().into_bytes(),
        }
    }

    fn float(&self) -> Vec<u8> {
        let edges = [
            "3.0e3", "0.1", "-0.5", "1.1", "10.5", "1e17", "inf", "-inf", "nan", "1e400", ".5", "5.", "+1",
            "1e-5",
        ];
        match self.rng.below(3) {
            0 => self.pick(&edges).into(),
            _ => format!("{}.{}", self.rng.below(1000), self.rng.below(1000)).into_bytes(),
        }
    }

    /// Something that is no good number.
    fn junk(&self) -> Vec<u8> {
        let junk =
            ["", "x", "1.5", "+1", "01", " 1", "1 ", "9223372036854775808", "-9223372036854775809", "--1"];
        self.pick(&junk).into()
    }

    fn index(&self) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.junk(),
            1 => self.number(),
            _ => (self.rng.below(30) as i64 - 15).to_string().into_bytes(),
        }
    }

    /// A relative time far enough from now that milliseconds do not matter, or an edge.
    fn relative(&self, millis: bool) -> Vec<u8> {
        let edges = [
            "0",
            "-1",
            "9223372036854775807",
            "9223372036854775",
            "-9223372036854775808",
            "-9223372036854776",
        ];
        match self.rng.below(10) {
            0 => self.junk(),
            1 => self.pick(&edges).into(),
            _ => {
                let seconds = 100_000 + self.rng.below(1_000_000_000);
                (seconds * if millis { 1000 } else { 1 }).to_string().into_bytes()
            }
        }
    }

    fn absolute(&mut self, millis: bool, may_end: bool) -> Vec<u8> {
        let edges = ["0", "-1", "9223372036854775807", "9223372036854775", "-5"];
        match self.rng.below(12) {
            0 => self.junk(),
            1 => self.pick(&edges).into(),
            2 if may_end => {
                self.ended = true;
                b"1000".to_vec()
            }
            _ => {
                let seconds = 4_102_444_800 + self.rng.below(100_000);
                (seconds * if millis { 1000 } else { 1 }).to_string().into_bytes()
            }
        }
    }

    /// Any letter case.
    fn cased(&self, word: &str) -> Vec<u8> {
        match self.rng.below(3) {
            0 => word.to_ascii_uppercase().into_bytes(),
            1 => word
                .chars()
                .map(|c| if self.chance(50) { c.to_ascii_uppercase() } else { c })
                .collect::<String>()
                .into_bytes(),
            _ => word.as_bytes().to_vec(),
        }
    }

    fn command(&mut self) -> (Words, How) {
        let (mut args, how) = self.good_command();
        // COMMAND by itself lists commands that only one of them has.
        if self.chance(6) && how == How::Exact && args[0] != b"command" {
            match self.rng.below(4) {
                0 if args.len() > 1 => drop(args.pop()),
                1 => args.push(self.value()),
                2 if args.len() > 1 => {
                    let at = 1 + self.rng.below(args.len() as u64 - 1) as usize;
                    args[at] = self.junk();
                }
                _ => args.truncate(1),
            }
        }
        (args, how)
    }

    fn good_command(&mut self) -> (Words, How) {
        match self.rng.below(100) {
            0..60 => self.string_command(),
            60..92 => self.key_command(),
            _ => self.server_command(),
        }
    }

    fn string_command(&mut self) -> (Words, How) {
        let name = self.pick(&[
            "set",
            "set",
            "set",
            "set",
            "get",
            "get",
            "getex",
            "getdel",
            "getset",
            "setnx",
            "setex",
            "psetex",
            "mget",
            "mset",
            "msetnx",
            "incr",
            "decr",
            "incrby",
            "decrby",
            "incrbyfloat",
            "append",
            "strlen",
            "getrange",
            "substr",
            "setrange",
        ]);
        let mut args = vec![self.cased(name), self.key()];
        match name {
            "set" => {
                args.push(self.value());
                self.set_options(&mut args);
            }
            "getex" => self.getex_options(&mut args),
            "getset" | "setnx" | "append" => args.push(self.value()),
            "setex" | "psetex" => args.extend([self.relative(name == "psetex"), self.value()]),
            "mget" => (0..self.rng.below(4)).for_each(|_| args.push(self.key())),
            "mset" | "msetnx" => {
                args.push(self.value());
                for _ in 0..self.rng.below(3) {
                    args.extend([self.key(), self.value()]);
                }
            }
            "incrby" | "decrby" => args.push(if self.chance(5) { self.junk() } else { self.number() }),
            "incrbyfloat" => args.push(if self.chance(70) { self.float() } else { self.number() }),
            "getrange" | "substr" => args.extend([self.index(), self.index()]),
            "setrange" => {
                let offset = self.pick(&["0", "1", "5", "20", "-1", "67108863", "67108864", "x"]);
                // Large gaps only as errors: the memory of the test is not to be filled.
                let value = if offset.len() > 3 { b"too long".to_vec() } else { self.value() };
                args.extend([offset.into(), value]);
            }
            _ => {}
        }
        (args, How::Exact)
    }

    fn set_options(&mut self, args: &mut Words) {
        for _ in 0..[0, 0, 0, 1, 1, 2, 3][self.rng.below(7) as usize] {
            let option =
                self.pick(&["ex", "px", "exat", "pxat", "keepttl", "nx", "xx", "get", "persist", "junk"]);
            args.push(self.cased(option));
            match option {
                "ex" | "px" => args.push(self.relative(option == "px")),
                "exat" | "pxat" => {
                    let end = self.absolute(option == "pxat", true);
                    args.push(end);
                }
                _ => {}
            }
        }
    }

    fn getex_options(&mut self, args: &mut Words) {
        for _ in 0..[0, 1, 1, 2][self.rng.below(4) as usize] {
            let option = self.pick(&["ex", "px", "exat", "pxat", "persist", "keepttl"]);
            args.push(self.cased(option));
            match option {
                "ex" | "px" => args.push(self.relative(option == "px")),
                "exat" | "pxat" => {
                    let end = self.absolute(option == "pxat", true);
                    args.push(end);
                }
                _ => {}
            }
        }
    }

    fn key_command(&mut self) -> (Words, How) {
        let name = self.pick(&[
            "del",
            "unlink",
            "exists",
            "touch",
            "type",
            "expire",
            "expire",
            "pexpire",
            "pexpire",
            "expireat",
            "pexpireat",
            "ttl",
            "pttl",
            "expiretime",
            "pexpiretime",
            "persist",
            "rename",
            "renamenx",
            "copy",
            "randomkey",
            "keys",
            "scan",
            "object",
            "memory",
            "dbsize",
            "flushdb",
        ]);
        let mut args = vec![self.cased(name), self.key()];
        match name {
            "del" | "unlink" | "exists" | "touch" => {
                (0..self.rng.below(3)).for_each(|_| args.push(self.key()));
            }
            "expire" | "pexpire" => {
                args.push(self.relative(name == "pexpire"));
                self.expire_options(&mut args);
            }
            "expireat" | "pexpireat" => {
                let end = self.absolute(name == "pexpireat", true);
                args.push(end);
                self.expire_options(&mut args);
            }
            "ttl" | "expiretime" => return (args, How::Near(10)),
            "pttl" | "pexpiretime" => return (args, How::Near(10_000)),
            "rename" | "renamenx" => args.push(self.key()),
            "copy" => {
                args.push(self.key());
                for _ in 0..self.rng.below(3) {
                    let option = self.pick(&["replace", "db", "junk"]);
                    args.push(self.cased(option));
                    if option == "db" {
                        args.push(self.pick(&["0", "1", "15", "16", "-1", "x", "99999999999"]).into());
                    }
                }
            }
            "randomkey" => return (words("randomkey"), How::Type),
            "keys" => {
                args[1] =
                    self.pick(&["*", "k?", "k[0-3]", "*1", "", "nothing", "\\k*", "k[^1]", "L*"]).into();
                return (args, How::AnyOrder);
            }
            "scan" => return self.scan(),
            "object" => return self.object(),
            "dbsize" | "memory" if self.ended => return (words("ping"), How::Exact),
            "memory" => return (vec![self.cased("memory"), self.cased("usage"), self.key()], How::Type),
            "dbsize" => args.truncate(1),
            "flushdb" => {
                args[1] = self.pick(&["async", "SYNC", "now"]).into();
                if self.chance(70) {
                    args.truncate(1);
                }
            }
            _ => {}
        }
        (args, How::Exact)
    }

    fn expire_options(&mut self, args: &mut Words) {
        for _ in 0..[0, 0, 1, 1, 2][self.rng.below(5) as usize] {
            let option = self.pick(&["nx", "xx", "gt", "lt", "gt", "lt", "junk"]);
            args.push(self.cased(option));
        }
    }

    /// In one page: the order of keys is not defined, nor how many a page has.
    fn scan(&self) -> (Words, How) {
        let mut args = words("scan 0 count 1000");
        if self.chance(40) {
            args.extend([self.cased("match"), self.pick(&["k*", "*", "x*", "k[12]"]).into()]);
        }
        if self.chance(30) {
            args.extend([self.cased("type"), self.pick(&["string", "hash", "STRING"]).into()]);
        }
        match self.rng.below(12) {
            0 => args[1] = b"x".to_vec(),
            1 => args[3] = b"0".to_vec(),
            2 => args[3] = b"x".to_vec(),
            3 => args.truncate(3),
            _ => {}
        }
        (args, How::AnyOrder)
    }

    fn object(&mut self) -> (Words, How) {
        let key = self.key();
        match self.rng.below(6) {
            0 | 1 => {
                // Its own sequence of two: Redis remembers how a value came to be.
                let value = self.value();
                let script = vec![self.cased("set"), key.clone(), value];
                let client = self.steps.last().map_or(0, |step| step.client);
                if self.lines.iter().all(|line| line.queued.is_none() && !line.listening) {
                    self.push(client, script, How::Exact);
                    return (vec![self.cased("object"), self.cased("encoding"), key], How::Exact);
                }
                (vec![self.cased("object"), self.cased("refcount"), b"no such key".to_vec()], How::Exact)
            }
            2 => (vec![self.cased("object"), self.cased("idletime"), key], How::Exact),
            3 => (vec![self.cased("object"), self.cased("freq"), key], How::Type),
            4 => (vec![self.cased("object"), self.cased("refcount"), key], How::Type),
            _ => (words("object nonsense k1"), How::Exact),
        }
    }

    fn server_command(&mut self) -> (Words, How) {
        let line = self.pick(&[
            "ping",
            "ping hello",
            "ping a b",
            "echo hello",
            "echo",
            "select 0",
            "select 1",
            "select 15",
            "select 16",
            "select -1",
            "select x",
            "select 99999999999",
            "nonsense",
            "nonsense with some arguments",
            "client",
            "client getname",
            "client setname me",
            "client setname bad\nname",
            "client setname",
            "client no-evict on",
            "client no-evict off",
            "client no-evict maybe",
            "client nonsense",
            "client kill 1.2.3.4:5",
            "client kill id 0",
            "client kill id 999999999",
            "client kill id x",
            "client kill type nonsense",
            "client kill skipme maybe",
            "client list type nonsense",
            "client list nonsense",
            "client reply nonsense",
            "client pause x",
            "client pause 1 maybe",
            "client unpause",
            "config get databases",
            "config get maxmemory-policy",
            "config get nonsense",
            "config get",
            "config nonsense",
            "config resetstat",
            "command getkeys get a",
            "command getkeys mset a 1 b 2",
            "command getkeys rename a b",
            "command getkeys get",
            "command getkeys ping",
            "command getkeys nonsense a",
            "command nonsense",
            "auth x",
            "auth default x",
            "auth nobody x",
            "auth",
            "auth a b c",
            "hello x",
            "hello 4",
            "hello 1",
            "hello 2 junk",
            "hello 2 auth nobody x",
            "hello 2 setname",
            "object",
            "object encoding",
            "object help x",
            "memory usage k1 samples",
            "memory usage k1 samples x",
            "memory usage k1 samples -1",
            "memory usage k1 junk 1",
            "memory nonsense",
            "flushall junk",
            "flushdb a b",
            "time 1",
        ]);
        let how = match line {
            line if ["hello", "memory usage", "object help", "client list", "time"]
                .iter()
                .any(|of| line.starts_with(of)) =>
            {
                How::Type
            }
            _ => How::Exact,
        };
        // A name with a line end in it is one word here.
        (words(line), how)
    }
}
