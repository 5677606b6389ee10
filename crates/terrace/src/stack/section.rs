//! The section of a layer in a configuration: its options, `enabled`, or on and off alone.
//!
//! Decision: what a layer's own configuration has is listed here once, and a pattern without `..` makes the compiler ask
//! for an option that is new there. An option that is not given is what the layer has by default.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::value::{from_map, switch};

/// What a configuration says of a layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Setting<T> {
    /// Nothing: what the program gives the builder holds.
    #[default]
    Unsaid,
    /// It is not to be there, whatever the program gives.
    Off,
    /// It is to be there, like this.
    On(T),
}

impl<T> Setting<T> {
    /// The same of something that is made from it.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Setting<U> {
        match self {
            Self::Unsaid => Setting::Unsaid,
            Self::Off => Setting::Off,
            Self::On(said) => Setting::On(make(said)),
        }
    }

    /// What holds, if the program gives this.
    pub(super) fn or(self, given: Option<T>) -> Option<T> {
        match self {
            Self::Unsaid => given,
            Self::Off => None,
            Self::On(said) => Some(said),
        }
    }
}

impl<T> From<T> for Setting<T> {
    fn from(value: T) -> Self {
        Self::On(value)
    }
}

/// The options of a section.
pub(super) trait Section<'de>: Deserialize<'de> + Default {
    /// What they are for.
    type Config;

    /// Whether `enabled` is false.
    fn is_off(&self) -> bool;

    /// The layer's configuration.
    fn config(self) -> Result<Self::Config, String>;
}

/// Reads a section: a table, or `true` and `false`.
pub(super) fn read<'de, S: Section<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Setting<S::Config>, D::Error> {
    struct Sections<S>(PhantomData<S>);

    impl<'de, S: Section<'de>> Visitor<'de> for Sections<S> {
        type Value = Setting<S::Config>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of options, or true or false")
        }

        fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Self::Value, E> {
            if !on {
                return Ok(Setting::Off);
            }
            S::default().config().map(Setting::On).map_err(E::custom)
        }

        fn visit_str<E: serde::de::Error>(self, words: &str) -> Result<Self::Value, E> {
            match switch(words) {
                Some(on) => self.visit_bool(on),
                None => Err(E::custom(format!("`{words}` is no table of options, nor true or false"))),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            let section: S = from_map(map)?;
            if section.is_off() {
                return Ok(Setting::Off);
            }
            section.config().map(Setting::On).map_err(A::Error::custom)
        }
    }

    deserializer.deserialize_any(Sections::<S>(PhantomData))
}

/// Sections whose options are those of the layer's own configuration, by the same names.
macro_rules! sections {
    ($($name:ident: $config:path { $($field:ident: $type:ty),* $(,)? };)*) => {$(
        pub(super) mod $name {
            #[allow(unused_imports, reason = "not every section has a size or a span")]
            use super::{MaybeSpan, Size, Span};

            #[derive(Default, serde::Deserialize)]
            #[serde(default, deny_unknown_fields)]
            struct Options {
                enabled: Option<bool>,
                $($field: Option<$type>,)*
            }

            impl<'de> crate::stack::section::Section<'de> for Options {
                type Config = $config;

                fn is_off(&self) -> bool {
                    self.enabled == Some(false)
                }

                fn config(self) -> Result<$config, String> {
                    let mut config = <$config>::default();
                    // Asks for an option that the layer has and this section has not.
                    let $config { $($field: _),* } = &config;
                    $(if let Some(value) = self.$field {
                        config.$field = value.into();
                    })*
                    Ok(config)
                }
            }

            pub(in crate::stack) fn read<'de, D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<crate::stack::Setting<$config>, D::Error> {
                crate::stack::section::read::<Options, D>(deserializer)
            }
        }
    )*};
}

pub(super) use sections;
