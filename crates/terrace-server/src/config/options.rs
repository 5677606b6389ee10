//! The names of all options, for suggestions and for the environment.

/// What kind of TOML value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string; in the environment anything.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its name, `section.option`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
}

impl Opt {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("TERRACE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

const fn opt(name: &'static str, kind: Kind) -> Opt {
    Opt { name, kind }
}

/// All of them. A test compares them with the model.
pub const OPTIONS: [Opt; 32] = [
    opt("resp.bind", Kind::Text),
    opt("resp.port", Kind::Number),
    opt("http.enabled", Kind::Switch),
    opt("http.bind", Kind::Text),
    opt("http.port", Kind::Number),
    opt("store.kind", Kind::Text),
    opt("store.dir", Kind::Text),
    opt("store.maxmemory", Kind::Text),
    opt("store.policy", Kind::Text),
    opt("store.durability", Kind::Text),
    opt("store.interval", Kind::Text),
    opt("store.group", Kind::Text),
    opt("disk.mode", Kind::Text),
    opt("disk.compression", Kind::Text),
    opt("disk.reads", Kind::Text),
    opt("disk.segment", Kind::Text),
    opt("disk.compaction", Kind::Text),
    opt("disk.key", Kind::Text),
    opt("disk.old_keys", Kind::Text),
    opt("hot.size", Kind::Text),
    opt("auth.requirepass", Kind::Text),
    opt("auth.requirepass_file", Kind::Text),
    opt("tls.cert", Kind::Text),
    opt("tls.key", Kind::Text),
    opt("limits.clients", Kind::Number),
    opt("limits.idle", Kind::Text),
    opt("limits.value", Kind::Text),
    opt("limits.request", Kind::Text),
    opt("limits.output", Kind::Text),
    opt("server.threads", Kind::Number),
    opt("server.shutdown", Kind::Text),
    opt("server.insecure", Kind::Switch),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, Config, Disk, Secret, Tls};

    #[test]
    fn the_document_describes_every_option() {
        let document = include_str!("../../../../docs/configuration.md");
        for opt in OPTIONS {
            assert!(document.contains(&format!("| `{}` |", opt.name)), "{} is not described", opt.name);
        }
        let described =
            document.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
        assert_eq!(described.count(), OPTIONS.len(), "the document describes an option that does not exist");
    }

    #[test]
    fn the_table_lists_exactly_what_the_model_has() {
        let full = Config {
            auth: Auth { requirepass: Some(Secret::new("x")), requirepass_file: Some("x".into()) },
            tls: Tls { cert: Some("x".into()), key: Some("x".into()) },
            disk: Disk { key: Some("x".into()), old_keys: Some("x".into()), ..Disk::default() },
            ..Config::default()
        };
        let mut modelled = Vec::new();
        for (section, options) in toml::Table::try_from(&full).unwrap() {
            for (option, value) in options.as_table().unwrap() {
                let kind = match value {
                    toml::Value::Integer(_) => Kind::Number,
                    toml::Value::Boolean(_) => Kind::Switch,
                    _ => Kind::Text,
                };
                modelled.push((format!("{section}.{option}"), kind));
            }
        }
        let mut listed: Vec<_> = OPTIONS.iter().map(|opt| (opt.name.to_owned(), opt.kind)).collect();
        modelled.sort_by(|a, b| a.0.cmp(&b.0));
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(listed, modelled);
    }
}
