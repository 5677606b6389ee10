//! Four kinds of values, always the same ones: like prose, JSON records, binary records, and noise.

/// The value of a kind with this number, of this length.
pub(crate) type Make = fn(u32, usize) -> Vec<u8>;

/// The kinds by name.
pub(crate) const KINDS: [(&str, Make); 4] =
    [("text", text), ("json", |number, len| fill(number, len, json)), ("binary", binary), ("noise", noise)];

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    *state >> 33
}

fn seeded(number: u32) -> u64 {
    u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill(number: u32, len: usize, record: fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..).flat_map(|at| record(number.wrapping_mul(1000).wrapping_add(at))).take(len).collect()
}

/// Words as frequent as words are: the n-th of a list about 1/n as often as the first.
fn text(number: u32, len: usize) -> Vec<u8> {
    const WORDS: &str = "the of and to in a is that for it was on as with be by at this from which or an were \
        their been has would what more when other into some could time these two may then first any my now such like \
        our over even most made after also did many before must through years where much your way well down should \
        because each just those people how too little state good very make world still see own men work long here get \
        both between life being under never day same another know while last might us great old year off come since \
        against go came right used take three terrace segment record envelope cache value writer reader checksum";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let (mut state, mut out) = (seeded(number), Vec::with_capacity(len + 16));
    while out.len() < len {
        let rank = (words.len() as f64).powf(next(&mut state) as f64 / f64::from(1_u32 << 31)) as usize - 1;
        out.extend_from_slice(words[rank].as_bytes());
        out.extend_from_slice(if next(&mut state).is_multiple_of(11) { b". " } else { b" " });
    }
    out.truncate(len);
    out
}

/// A record of about 130 bytes.
pub(crate) fn json(number: u32) -> Vec<u8> {
    let mut state = seeded(number);
    let (name, balance, seen) =
        (next(&mut state) % 5000, next(&mut state) % 1_000_000, next(&mut state) % 90_000);
    let active = state.is_multiple_of(2);
    format!(
        r#"{{"id":{number},"name":"customer {name}","balance":{}.{:02},"active":{active},"seen":"2026-03-{:02}T{:02}:{:02}:07Z","roles":["user"]}}"#,
        balance / 100,
        balance % 100,
        seen % 28 + 1,
        seen % 24,
        seen % 60,
    )
    .into_bytes()
}

/// Records of 24 bytes: a counter, a float that walks, small numbers, and flags.
fn binary(number: u32, len: usize) -> Vec<u8> {
    let (mut state, mut price, mut out) = (seeded(number), 100.0_f64, Vec::with_capacity(len + 24));
    for at in 0_u32.. {
        if out.len() >= len {
            break;
        }
        price += (next(&mut state) % 200) as f64 / 100.0 - 1.0;
        out.extend_from_slice(&number.wrapping_mul(1000).wrapping_add(at).to_le_bytes());
        out.extend_from_slice(&price.to_le_bytes());
        out.extend_from_slice(&((next(&mut state) % 500) as u32).to_le_bytes());
        out.extend_from_slice(&((next(&mut state) % 16) as u32).to_le_bytes());
        out.extend_from_slice(&[1, 0, (next(&mut state) % 3) as u8, 0]);
    }
    out.truncate(len);
    out
}

fn noise(number: u32, len: usize) -> Vec<u8> {
    let mut state = seeded(number);
    (0..len).map(|_| (next(&mut state) >> 20) as u8).collect()
}
