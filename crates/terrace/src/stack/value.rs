//! A configuration before anybody has read it: tables, lists and words, and where each came from.
//!
//! Decision: TOML, YAML, the environment and overrides all become this one tree, which is then read by one serde model. It is its
//! own deserializer, because only so can an error name the whole path of a key and suggest the nearest one there is, and
//! can words from the environment be numbers where a number is wanted.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use terrace_store::nearest::{did_you_mean, nearest};

/// A part of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Text whose kind whoever reads it decides: from the environment, or an override.
    Words(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// Puts another over this one: tables are merged, anything else is replaced.
    pub(super) fn merge(&mut self, over: Node) {
        match (self, over) {
            (Node::Table(under), Node::Table(over)) => {
                for (key, value) in over {
                    match under.get_mut(&key) {
                        Some(there) => there.merge(value),
                        None => drop(under.insert(key, value)),
                    }
                }
            }
            (under, over) => *under = over,
        }
    }

    /// The paths of everything in it that is no table.
    pub(super) fn leaves(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Node::Table(table) if !table.is_empty() => {
                for (key, value) in table {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    value.leaves(&path, found);
                }
            }
            _ => found.push(path.to_owned()),
        }
    }
}

/// Why a configuration cannot be read, and at which path.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: Vec<String>,
    pub(super) reason: String,
}

impl Fault {
    fn at(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }

    /// The path as it is written.
    pub(super) fn path(&self) -> String {
        self.path.join(".")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { path: Vec::new(), reason: reason.to_string() }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = did_you_mean(nearest(field, expected.iter().copied()));
        let known = match expected.len() {
            0 => "it has none".to_owned(),
            // A long list helps nobody who was told the nearest.
            _ if !near.is_empty() => String::new(),
            _ => format!("; there are: {}", expected.join(", ")),
        };
        Self { path: vec![field.to_owned()], reason: format!("there is no such key{near}{known}") }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let near = did_you_mean(nearest(variant, expected.iter().copied()));
        Self::custom(format!("`{variant}` is none of: {}{near}", expected.join(", ")))
    }
}

/// Reads a node of any kind.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((key, node)) = map.next_entry::<String, Node>()? {
            if table.insert(key.clone(), node).is_some() {
                return Err(A::Error::custom(format!("the key `{key}` is there twice")));
            }
        }
        Ok(Node::Table(table))
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn wrong(words: &str, wanted: &str) -> Fault {
    Fault::custom(format!("`{words}` is not {wanted}"))
}

/// A whole number, whatever the width that is asked for: the visitor refuses what it cannot hold.
macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self {
                Node::Words(words) => {
                    let number: i128 = words.trim().parse().map_err(|_| wrong(&words, "a whole number"))?;
                    Node::Integer(number).deserialize_any(visitor)
                }
                other => other.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(value),
            Node::Integer(value) => match (u64::try_from(value), i64::try_from(value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => Err(Fault::custom(format!("{value} is too large"))),
            },
            Node::Float(value) => visitor.visit_f64(value),
            Node::Text(text) | Node::Words(text) => visitor.visit_string(text),
            Node::List(nodes) => visitor.visit_seq(SeqDeserializer::new(nodes.into_iter())),
            Node::Table(table) => visitor.visit_map(Entries { rest: table.into_iter(), next: None }),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Words(words) => match switch(&words) {
                Some(value) => visitor.visit_bool(value),
                None => Err(wrong(&words, "true or false")),
            },
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Words(words) => {
                visitor.visit_f64(words.trim().parse().map_err(|_| wrong(&words, "a number"))?)
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Node::Words(words) => {
                let parts = words.split(',').map(|part| Node::Words(part.trim().to_owned()));
                Node::List(parts.collect()).deserialize_any(visitor)
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Node::Text(name) | Node::Words(name) => visitor.visit_enum(Word(name)),
            other => Err(Fault::invalid_type(other.unexpected(), &"a word")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Node::Null => Unexpected::Unit,
            Node::Bool(value) => Unexpected::Bool(*value),
            Node::Integer(_) => Unexpected::Other("a number"),
            Node::Float(value) => Unexpected::Float(*value),
            Node::Text(text) | Node::Words(text) => Unexpected::Str(text),
            Node::List(_) => Unexpected::Seq,
            Node::Table(_) => Unexpected::Map,
        }
    }
}

/// What people write for on and off.
pub(super) fn switch(words: &str) -> Option<bool> {
    match words.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A variant without content, by its name.
struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: serde::de::value::StringDeserializer<Fault> = self.0.clone().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Fault> {
        Err(Fault::custom("a word is expected"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::custom("a word is expected"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fault> {
        Err(Fault::custom("a word is expected"))
    }
}

/// The entries of a table.
struct Entries {
    rest: std::collections::btree_map::IntoIter<String, Node>,
    next: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.next = self.rest.next();
        let Some((key, _)) = &self.next else { return Ok(None) };
        let key: serde::de::value::StringDeserializer<Fault> = key.clone().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.next.take() else {
            return Err(Fault::custom("a value without its key"));
        };
        seed.deserialize(node).map_err(|fault| fault.at(&key))
    }
}

/// The keys that a model has, without a second list of them: a deserializer that only looks which are asked for.
pub(super) fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = Fault;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
            Err(Fault::custom(""))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Fault> {
            *self.0 = fields;
            Err(Fault::custom(""))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    // It always fails: the keys are what it was asked for.
    let _ = T::deserialize(Ask(&mut keys));
    keys
}

/// A model that may also be given as a word or as on and off, read from a map.
pub(super) fn from_map<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: A) -> Result<T, A::Error> {
    T::deserialize(MapAccessDeserializer::new(map))
}
