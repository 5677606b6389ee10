//! Every reply compared with that of the real `redis-server`, byte for byte, over generated sequences of commands.
//!
//! What may differ, and is compared less strictly:
//! - the time left to a key that was given a relative lifetime: a few seconds;
//! - KEYS, SCAN in one page, PUBSUB CHANNELS, UNSUBSCRIBE from all: Redis defines no order;
//! - RANDOMKEY, CLIENT ID, MEMORY USAGE, HELLO: only whether there is an answer, and of which type;
//! - OBJECT ENCODING is asked only of values that were just set: Redis remembers how a value came to be;
//! - messages are published where at most one pattern matches: in which order patterns are tried is not defined;
//! - INCRBYFLOAT is not given hexadecimal numbers, which C reads;
//! - DBSIZE and MEMORY USAGE are not asked after a value was set that had ended already: Redis counts it until it
//!   is touched.

mod compare;
mod generate;

use terrace_store::rng::SplitMix;

use self::compare::{How, agree};
use self::generate::Sequence;
use crate::world::{Client, Ours, Redis, Setup, Value};

const SEQUENCES: u64 = 8_000;
const SEED: u64 = 20_240_229;

/// The two connections to one server.
struct Side {
    clients: [Client; 2],
    fences: u64,
}

impl Side {
    fn connect(address: std::net::SocketAddr) -> Self {
        Self { clients: [Client::connect(address), Client::connect(address)], fences: 0 }
    }

    /// Everything that arrives until a PING is answered.
    fn until_fence(&mut self, client: usize) -> Vec<Value> {
        self.fences += 1;
        let token = format!("fence {}", self.fences);
        let client = &mut self.clients[client];
        client.send(&["PING", &token]);
        let mut arrived = Vec::new();
        loop {
            let value = client.receive().expect("the answer to PING");
            let pong = value.elements().last().unwrap_or(&value);
            if pong.text() == token {
                return arrived;
            }
            arrived.push(value);
        }
    }

    fn run(&mut self, step: &generate::Step) -> Vec<Value> {
        let client = &mut self.clients[step.client];
        client.send(&step.args);
        let mut arrived = Vec::new();
        if step.fences.is_empty() {
            arrived.push(client.receive().expect("a reply"));
        }
        for client in &step.fences {
            arrived.extend(self.until_fence(*client));
        }
        arrived
    }
}

#[test]
fn replies_are_those_of_redis() {
    let Some(redis) = Redis::start() else {
        eprintln!("skipped: redis-server is not installed");
        return;
    };
    compare_all(&redis, Setup::default(), 0..SEQUENCES);
    // Without a hot tier every read comes from the store that decides.
    compare_all(&redis, Setup { hot: 0, ..Setup::default() }, SEQUENCES..SEQUENCES * 5 / 4);
    let folder = tempfile::tempdir().unwrap();
    let on = |engine: &str| format!("{engine}:{}", folder.path().join(engine).display());
    compare_all(
        &redis,
        Setup { store: on("disk"), ..Setup::default() },
        SEQUENCES * 5 / 4..SEQUENCES * 3 / 2,
    );
    let bare = Setup { store: on("disk") + "?segment_bytes=65536", hot: 0, ..Setup::default() };
    compare_all(&redis, bare, SEQUENCES * 3 / 2..SEQUENCES * 13 / 8);
    #[cfg(feature = "fjall")]
    {
        let before = Setup { store: on("fjall"), ..Setup::default() };
        compare_all(&redis, before, SEQUENCES * 13 / 8..SEQUENCES * 7 / 4);
    }
}

fn compare_all(redis: &Redis, setup: Setup, indices: std::ops::Range<u64>) {
    let ours = Ours::start(setup);
    let sides = (&mut Side::connect(redis.address), &mut Side::connect(ours.address));
    let only = std::env::var("TERRACE_SEQUENCE").ok().and_then(|text| text.parse::<u64>().ok());
    let mut steps = 0;
    for index in indices.clone().filter(|index| only.is_none_or(|only| only == *index)) {
        let sequence = Sequence::generate(&SplitMix::seeded(SEED + index * 7919));
        if let Err(report) = compare_sequence(sides.0, sides.1, &sequence) {
            panic!("seed {SEED}, sequence {index} (TERRACE_SEQUENCE={index} runs it alone):\n{report}");
        }
        steps += sequence.steps.len();
    }
    assert!(
        steps as u64 > 10 * (indices.end - indices.start) || only.is_some(),
        "the sequences are too short: {steps} steps"
    );
}

fn compare_sequence(redis: &mut Side, ours: &mut Side, sequence: &Sequence) -> Result<(), String> {
    let mut story = String::new();
    for step in &sequence.steps {
        let (expect, got) = (redis.run(step), ours.run(step));
        let words: Vec<String> = step.args.iter().map(|arg| short(arg)).collect();
        story += &format!("[{}] {}\n", step.client, words.join(" "));
        if !agree(&step.how, &expect, &got) {
            let (expect, got) = (clipped(&expect), clipped(&got));
            return Err(format!("{story}redis: {expect}\nours:  {got}\ncompared {:?}", step.how));
        }
        if step.how != How::Ignored && expect.len() == 1 {
            story += &format!("    {}\n", clipped(&expect));
        }
    }
    Ok(())
}

fn clipped(values: &[Value]) -> String {
    format!("{values:?}").chars().take(1000).collect()
}

fn short(arg: &[u8]) -> String {
    if arg.len() > 60 {
        return format!("({} bytes)", arg.len());
    }
    format!("'{}'", arg.escape_ascii())
}
