//! A fingerprint of a type: a hash of its name and schema as serde sees them.
//!
//! The type's own `Deserialize` is run over a deserializer that holds no data: it notes what is asked for (a
//! struct of this name with these fields, a sequence of that) and answers with the simplest value there is. So
//! the fingerprint depends on names and shape alone, not on the compiler, the module path or the machine, and
//! changes when a field is added, removed, renamed, moved or retyped. Where a type refuses the simplest value
//! (a non-zero number), the tracing ends there; what was noted so far counts. Of an enum's variants the first is
//! traced, and the names of all.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hasher;
use std::sync::{PoisonError, RwLock};

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use xxhash_rust::xxh3::Xxh3;

/// Recursive types are traced this deep.
const DEPTH: usize = 12;

/// The fingerprint of a type. Never 0, which says that the bytes are the value. The first call for a type traces
/// it, the others look it up.
pub fn fingerprint<T: DeserializeOwned + 'static>() -> u64 {
    static KNOWN: RwLock<Option<HashMap<TypeId, u64>>> = RwLock::new(None);
    let id = TypeId::of::<T>();
    let known = KNOWN
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .and_then(|known| known.get(&id).copied());
    known.unwrap_or_else(|| {
        let fingerprint = trace::<T>();
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_default().insert(id, fingerprint);
        fingerprint
    })
}

fn trace<T: DeserializeOwned>() -> u64 {
    let mut notes = Xxh3::new();
    // A refusal ends the tracing; what was noted until then is the same on every run.
    let _ = T::deserialize(Tracer { notes: &mut notes, depth: 0 });
    notes.finish().max(1)
}

struct Tracer<'a> {
    notes: &'a mut Xxh3,
    depth: usize,
}

impl Tracer<'_> {
    fn note(&mut self, kind: &str, names: &[&str]) {
        for text in [&[kind], names].concat() {
            self.notes.update(&(text.len() as u64).to_le_bytes());
            self.notes.update(text.as_bytes());
        }
        self.notes.update(b"|");
    }

    fn deeper(&mut self) -> Result<Tracer<'_>, Refused> {
        if self.depth >= DEPTH {
            return Err(Refused);
        }
        Ok(Tracer { notes: self.notes, depth: self.depth + 1 })
    }
}

/// The end of a tracing.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type refuses the simplest value")
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! simplest {
    ($($method:ident $kind:literal $visit:ident $value:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            self.note($kind, &[]);
            visitor.$visit($value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refused;

    simplest! {
        deserialize_bool "bool" visit_bool false;
        deserialize_i8 "i8" visit_i8 0;
        deserialize_i16 "i16" visit_i16 0;
        deserialize_i32 "i32" visit_i32 0;
        deserialize_i64 "i64" visit_i64 0;
        deserialize_i128 "i128" visit_i128 0;
        deserialize_u8 "u8" visit_u8 0;
        deserialize_u16 "u16" visit_u16 0;
        deserialize_u32 "u32" visit_u32 0;
        deserialize_u64 "u64" visit_u64 0;
        deserialize_u128 "u128" visit_u128 0;
        deserialize_f32 "f32" visit_f32 0.0;
        deserialize_f64 "f64" visit_f64 0.0;
        deserialize_char "char" visit_char 'a';
        deserialize_str "string" visit_str "";
        deserialize_string "string" visit_str "";
        deserialize_bytes "bytes" visit_bytes &[];
        deserialize_byte_buf "bytes" visit_bytes &[];
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("any", &[]);
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("option", &[]);
        if self.depth >= DEPTH {
            return visitor.visit_none();
        }
        visitor.visit_some(self.deeper()?)
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("unit", &[]);
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.note("unit struct", &[name]);
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.note("newtype", &[name]);
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("sequence", &[]);
        let left = usize::from(self.depth < DEPTH);
        visitor.visit_seq(Parts { tracer: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.note("tuple", &[&len.to_string()]);
        visitor.visit_seq(Parts { tracer: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.note("tuple struct", &[name, &len.to_string()]);
        visitor.visit_seq(Parts { tracer: self, left: len })
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("map", &[]);
        let left = usize::from(self.depth < DEPTH);
        visitor.visit_map(Parts { tracer: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.note("struct", &[&[name], fields].concat());
        visitor.visit_seq(Parts { tracer: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.note("enum", &[&[name], variants].concat());
        let first = variants.first().copied().ok_or_else(|| Refused::custom(""))?;
        visitor.visit_enum(Variant { tracer: self, first })
    }

    fn deserialize_identifier<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("identifier", &[]);
        visitor.visit_str("")
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    /// As the compact codecs do, so that types with two forms are traced in the one that is stored.
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a sequence, a map or a struct.
struct Parts<'a> {
    tracer: Tracer<'a>,
    left: usize,
}

impl Parts<'_> {
    fn take(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Refused;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        if !self.take() {
            return Ok(None);
        }
        seed.deserialize(self.tracer.deeper()?).map(Some)
    }
}

impl<'de> MapAccess<'de> for Parts<'_> {
    type Error = Refused;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        if !self.take() {
            return Ok(None);
        }
        seed.deserialize(self.tracer.deeper()?).map(Some)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(self.tracer.deeper()?)
    }
}

/// The first variant of an enum.
struct Variant<'a> {
    tracer: Tracer<'a>,
    first: &'static str,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Refused;
    type Variant = Variant<'a>;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), Refused> {
        let value = seed.deserialize(StrDeserializer::<Refused>::new(self.first))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refused;
    fn unit_variant(mut self) -> Result<(), Refused> {
        self.tracer.note("unit variant", &[]);
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Refused> {
        self.tracer.note("newtype variant", &[]);
        seed.deserialize(self.tracer.deeper()?)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.tracer.deserialize_tuple(len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.tracer.deserialize_struct("variant", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::{BTreeMap, HashSet};

    mod first {
        use super::*;
        #[derive(Serialize, Deserialize)]
        pub(super) struct User {
            name: String,
            age: u8,
        }
    }
    mod second {
        use super::*;
        #[derive(Serialize, Deserialize)]
        pub(super) struct User {
            name: String,
            age: u16,
        }
    }
    mod third {
        use super::*;
        #[derive(Serialize, Deserialize)]
        pub(super) struct User {
            name: String,
            age: u8,
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Tree {
        children: Vec<Tree>,
        parent: Option<Box<Tree>>,
    }

    #[derive(Serialize, Deserialize)]
    enum Shape {
        Circle { radius: f64 },
        Dot,
    }

    #[test]
    fn types_of_another_shape_have_another_fingerprint() {
        let all = [
            trace::<u64>(),
            trace::<i64>(),
            trace::<String>(),
            trace::<Vec<u64>>(),
            trace::<Vec<String>>(),
            trace::<Option<u64>>(),
            trace::<(u64, u64)>(),
            trace::<BTreeMap<String, u64>>(),
            trace::<BTreeMap<u64, String>>(),
            trace::<first::User>(),
            trace::<second::User>(),
            trace::<Tree>(),
            trace::<Shape>(),
            trace::<std::num::NonZeroU32>(),
            trace::<std::time::Duration>(),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn the_module_a_type_lives_in_does_not_matter() {
        assert_eq!(trace::<first::User>(), trace::<third::User>());
    }

    #[test]
    fn fingerprints_are_the_same_on_every_machine() {
        // Pinned: stored entries are recognised by these numbers.
        assert_eq!(
            [fingerprint::<u64>(), fingerprint::<String>(), fingerprint::<first::User>()],
            [PINNED[0], PINNED[1], PINNED[2]]
        );
    }

    const PINNED: [u64; 3] = [748520662041253403, 5093257467547108032, 9475138247558488194];
}
