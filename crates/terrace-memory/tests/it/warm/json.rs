//! Values as applications cache them: orders of a shop as JSON, about a kilobyte each, from a seed.
//!
//! Everything that differs between real records differs here: identifiers, names, addresses, amounts, times,
//! the number of items, which optional fields there are, some words of free text and an opaque token.

/// SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len() as u64) as usize]
    }
}

const FIRST: [&str; 24] = [
    "Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jamal", "Katya", "Liam",
    "Mei", "Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Sven", "Tala", "Umar", "Vera", "Wanda", "Yusuf",
];
const LAST: [&str; 24] = [
    "Abe", "Bianchi", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ivanov", "Jansen",
    "Kowalski", "Lopez", "Moreau", "Novak", "Okafor", "Petrov", "Quinn", "Rossi", "Singh", "Tanaka", "Ueda",
    "Vargas", "Weber", "Zhang",
];
const CITIES: [(&str, &str); 12] = [
    ("Zürich", "CH"),
    ("Lyon", "FR"),
    ("Osaka", "JP"),
    ("Porto", "PT"),
    ("Leeds", "GB"),
    ("Austin", "US"),
    ("Kraków", "PL"),
    ("Pune", "IN"),
    ("Malmö", "SE"),
    ("Quito", "EC"),
    ("Perth", "AU"),
    ("Turin", "IT"),
];
const STREETS: [&str; 12] = [
    "Station Road",
    "Via Roma",
    "Rue de la Paix",
    "Hauptstrasse",
    "High Street",
    "Mill Lane",
    "Calle Mayor",
    "Elm Avenue",
    "Ringweg",
    "Park View",
    "Harbour Drive",
    "Old Market",
];
const PRODUCTS: [&str; 20] = [
    "wool socks",
    "desk lamp",
    "espresso cups",
    "trail shoes",
    "notebook A5",
    "bike pump",
    "olive oil 1l",
    "linen shirt",
    "usb-c cable",
    "garden shears",
    "chess set",
    "rain jacket",
    "tea sampler",
    "yoga mat",
    "ink cartridge",
    "camp stove",
    "puzzle 1000",
    "headphones",
    "cutting board",
    "sunscreen 50",
];
const WORDS: [&str; 40] = [
    "please",
    "leave",
    "parcel",
    "with",
    "the",
    "neighbour",
    "if",
    "nobody",
    "answers",
    "gift",
    "wrap",
    "second",
    "floor",
    "ring",
    "twice",
    "fragile",
    "thank",
    "you",
    "call",
    "before",
    "delivery",
    "after",
    "six",
    "door",
    "code",
    "is",
    "behind",
    "green",
    "gate",
    "invoice",
    "by",
    "email",
    "only",
    "no",
    "plastic",
    "return",
    "from",
    "last",
    "order",
    "inside",
];
const STATES: [&str; 5] = ["pending", "paid", "packed", "shipped", "delivered"];
const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The order with this number.
pub(crate) fn order(number: u64) -> Vec<u8> {
    let mut chance = Chance(number.wrapping_mul(0x0dd0_5eed) ^ 0x5eed);
    let c = &mut chance;
    let (first, last) = (c.of(&FIRST), c.of(&LAST));
    let (city, country) = CITIES[c.below(12) as usize];
    let time = |c: &mut Chance| {
        format!(
            "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            1 + c.below(12),
            1 + c.below(28),
            c.below(24),
            c.below(60),
            c.below(60),
            c.below(1000)
        )
    };
    let items: Vec<String> = (0..3 + c.below(4))
        .map(|_| {
            format!(
                r#"{{"sku":"{}-{:06}","name":"{}","quantity":{},"unit_price":{}.{:02},"discount":{}}}"#,
                c.of(&["HOM", "SPO", "FOO", "CLO", "ELE"]),
                c.below(1_000_000),
                c.of(&PRODUCTS),
                1 + c.below(5),
                1 + c.below(200),
                c.below(100),
                c.below(4) * 5
            )
        })
        .collect();
    let note: Vec<&str> = (0..4 + c.below(12)).map(|_| c.of(&WORDS)).collect();
    let token: String = (0..32).map(|_| char::from(CHARACTERS[c.below(64) as usize])).collect();
    let company = if c.below(3) == 0 {
        format!(r#""company":"{} & {}","vat":"{country}{:09}","#, last, c.of(&LAST), c.below(1_000_000_000))
    } else {
        String::new()
    };
    format!(
        r#"{{"id":{},"uuid":"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}","status":"{}","created_at":"{}","updated_at":"{}","customer":{{"id":{},"name":"{first} {last}","email":"{}.{}{}@{}","phone":"+{} {:03} {:04}",{company}"loyalty_points":{},"verified":{}}},"shipping":{{"street":"{} {}","city":"{city}","country":"{country}","postal_code":"{:05}","lat":{}.{:06},"lon":{}.{:06}}},"items":[{}],"total":{}.{:02},"currency":"{}","note":"{}","session":"{token}"}}"#,
        10_000_000 + number, c.below(1 << 32), c.below(1 << 16), c.below(1 << 12), c.below(1 << 12), c.below(1 << 48),
        c.of(&STATES), time(c), time(c), c.below(5_000_000), first.to_lowercase(), last.to_lowercase(), c.below(100),
        c.of(&["example.com", "example.org", "mail.example", "post.example"]), 1 + c.below(98), c.below(1000),
        c.below(10_000), c.below(20_000), c.below(2) == 0, 1 + c.below(180), c.of(&STREETS), c.below(100_000),
        c.below(90), c.below(1_000_000), c.below(180), c.below(1_000_000), items.join(","), 10 + c.below(900),
        c.below(100), c.of(&["EUR", "USD", "CHF", "JPY"]), note.join(" ")
    )
    .into_bytes()
}
