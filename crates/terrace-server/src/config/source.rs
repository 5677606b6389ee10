//! Where settings come from, and which wins.
//!
//! Decision: every setting is checked by itself, together with the place it came from, before the layers are put
//! over each other. So an error names the file, the variable or the flag that is to be changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use terrace_store::nearest::{did_you_mean, nearest};
use toml::{Table, Value};

use super::options::{Kind, OPTIONS, Opt};
use super::{Config, ConfigError};

/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "TERRACE_CONFIG";

/// Variables with our prefix that are no options of the server.
const OTHER_VARIABLES: [&str; 2] = [FILE_VARIABLE, "TERRACE_PASSWORD"];

/// Settings by name, from the weakest source to the strongest.
#[derive(Default)]
pub struct Sources {
    settings: BTreeMap<&'static str, Value>,
}

impl Sources {
    /// Defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a TOML file says.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML, or has an option that does not exist or cannot have its value.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let place = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::new(&place, error.to_string()))?;
        self.text(&place, &text)
    }

    fn text(&mut self, place: &str, text: &str) -> Result<(), ConfigError> {
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| ConfigError::new(place, error.to_string()))?;
        for (section, options) in table {
            let Value::Table(options) = options else { return Err(unknown(place, &section)) };
            if options.is_empty() && !OPTIONS.iter().any(|opt| opt.name.starts_with(&format!("{section}."))) {
                return Err(unknown(place, &section));
            }
            for (option, value) in options {
                let name = format!("{section}.{option}");
                let known =
                    OPTIONS.iter().find(|opt| opt.name == name).ok_or_else(|| unknown(place, &name))?;
                self.set(place, known, value)?;
            }
        }
        Ok(())
    }

    /// Adds what environment variables that begin with `TERRACE_` say.
    ///
    /// # Errors
    /// If one of them is no option, or cannot have its value.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, value) in variables {
            let ours = variable.starts_with("TERRACE_")
                && !OTHER_VARIABLES.contains(&variable.as_str())
                && !variable.starts_with(terrace::stack::ENVIRONMENT);
            if !ours || is_from_kubernetes(&variable, &value) {
                continue;
            }
            let Some(known) = OPTIONS.iter().find(|opt| opt.variable() == variable) else {
                let names: Vec<String> = OPTIONS.iter().map(Opt::variable).collect();
                let hint = did_you_mean(nearest(&variable, names.iter().map(String::as_str)));
                return Err(ConfigError::new(
                    variable,
                    format!("no option has this environment variable{hint}"),
                ));
            };
            self.words(&variable, known, &value)?;
        }
        Ok(())
    }

    /// Adds what a flag says.
    ///
    /// # Errors
    /// If the option cannot have this value.
    pub fn flag(&mut self, flag: &str, name: &str, value: &str) -> Result<(), ConfigError> {
        let known = OPTIONS.iter().find(|opt| opt.name == name).ok_or_else(|| unknown(flag, name))?;
        self.words(flag, known, value)
    }

    fn words(&mut self, place: &str, known: &'static Opt, text: &str) -> Result<(), ConfigError> {
        let value = match known.kind {
            Kind::Text => Some(Value::String(text.to_owned())),
            Kind::Number => text.trim().parse().map(Value::Integer).ok(),
            Kind::Switch => switch(text).map(Value::Boolean),
        };
        let wanted = if known.kind == Kind::Number { "a whole number" } else { "true or false" };
        let value = value.ok_or_else(|| ConfigError::new(place, format!("`{text}` is not {wanted}")))?;
        self.set(place, known, value)
    }

    /// Checks the value alone, and lets it win over what was there.
    fn set(&mut self, place: &str, known: &'static Opt, value: Value) -> Result<(), ConfigError> {
        let alone = nest([(known.name, value.clone())]);
        Config::deserialize_table(alone).map_err(|reason| {
            let at = if place.starts_with("--") { String::new() } else { format!("{}: ", known.name) };
            ConfigError::new(place, format!("{at}{reason}"))
        })?;
        self.settings.insert(known.name, value);
        Ok(())
    }

    /// The configuration that follows, checked as a whole.
    ///
    /// # Errors
    /// If options contradict each other, or ask for what is not safe.
    pub fn finish(self) -> Result<Config, ConfigError> {
        self.unchecked()?.checked()
    }

    /// The configuration that follows, for those who run no server with it: each option is one that may be, and
    /// what only a server has to ask (for the password's file, or whether it is safe) is not asked.
    ///
    /// # Errors
    /// As [`Sources::finish`] without those questions.
    pub fn unchecked(self) -> Result<Config, ConfigError> {
        Config::deserialize_table(nest(self.settings))
            .map_err(|reason| ConfigError::new("configuration", reason))
    }

    /// Everything as the program takes it: the file given, or the one that [`FILE_VARIABLE`] names; then the
    /// environment. Flags are added by whoever has them.
    ///
    /// # Errors
    /// As the single steps.
    pub fn of_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut sources = Self::new();
        let named = std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
        if let Some(path) = file.map(Path::to_path_buf).or(named) {
            sources.file(&path)?;
        }
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        sources.environment(std::env::vars_os().filter_map(text))?;
        Ok(sources)
    }
}

impl Config {
    fn deserialize_table(table: Table) -> Result<Self, String> {
        table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

fn nest<'a>(settings: impl IntoIterator<Item = (&'a str, Value)>) -> Table {
    let mut table = Table::new();
    for (name, value) in settings {
        let (section, option) = name.split_once('.').unwrap_or(("", name));
        let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.insert(option.to_owned(), value);
        }
    }
    table
}

fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn unknown(place: &str, name: &str) -> ConfigError {
    // Someone who wrote only the second half, or the right half in the wrong section, is helped as well.
    let option = |name: &'static str| name.split_once('.').map_or(name, |(_, option)| option);
    let last = name.rsplit('.').next().unwrap_or(name);
    let same = OPTIONS.iter().map(|opt| opt.name).find(|known| option(known) == last);
    let near = same.or_else(|| nearest(name, OPTIONS.iter().map(|opt| opt.name)));
    ConfigError::new(place, format!("there is no option `{name}`{}", did_you_mean(near)))
}

/// Kubernetes gives every container variables named after the services around it, and a service is easily named
/// after what it runs: those are no mistakes of anybody.
fn is_from_kubernetes(variable: &str, value: &str) -> bool {
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || value.starts_with("tcp://")
        || value.starts_with("udp://")
        || ["_TCP", "_UDP"].iter().any(|protocol| {
            variable.split_once("_PORT_").is_some_and(|(_, rest)| {
                rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(protocol)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Acknowledge, units::Size};
    use crate::keyspace::Policy;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn fails(toml: &str, words: &str) {
        let error = Sources::new().text("t.toml", toml).unwrap_err().to_string();
        assert!(error.starts_with("t.toml: ") && error.contains(words), "{toml}: {error}");
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let mut sources = Sources::new();
        sources.text("f", "[resp]\nport = 1\n[http]\nport = 2\n[hot]\nsize = \"1mib\"\n[store]\npolicy = \"allkeys-lfu\"").unwrap();
        sources
            .environment([
                pair("TERRACE_HTTP_PORT", "3"),
                pair("TERRACE_HOT_SIZE", "2mib"),
                pair("PATH", "x"),
            ])
            .unwrap();
        sources.flag("--hot", "hot.size", "3mib").unwrap();
        let config = sources.finish().unwrap();
        assert_eq!((config.resp.port, config.http.port, config.hot.size), (1, 3, Size(3 << 20)));
        assert_eq!(
            (config.store.policy.0, config.store.durability),
            (Policy::AllKeysLfu, Acknowledge::Interval)
        );
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_nearest_one() {
        fails("[store]\nmax_memory = 1", "`store.maxmemory`");
        fails("[resp]\nprot = 1", "`resp.port`");
        fails("port = 1", "`resp.port`");
        fails("[sotre]\ndir = \"x\"", "`store.dir`");
        fails("[nothing]\n", "no option `nothing`");
        let error = Sources::new().environment([pair("TERRACE_RESP_PROT", "1")]).unwrap_err().to_string();
        assert!(error.contains("`TERRACE_RESP_PORT`"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_place() {
        fails("[resp]\nport = 70000", "resp.port");
        fails("[resp]\nbind = \"here\"", "resp.bind: `here` is no IP address");
        fails("[store]\ndurability = \"sometimes\"", "interval");
        fails("[store]\npolicy = \"random\"", "volatile-ttl");
        fails("[hot]\nsize = \"1 mile\"", "no size");
        fails("[hot", "TOML parse error");
        let flag = |name: &str, value| Sources::new().flag("--x", name, value).unwrap_err().to_string();
        assert_eq!(flag("resp.port", "many"), "--x: `many` is not a whole number");
        assert_eq!(flag("http.enabled", "maybe"), "--x: `maybe` is not true or false");
        assert!(flag("limits.idle", "5").starts_with("--x: `5` is no duration"));
    }

    #[test]
    fn a_password_of_digits_stays_a_password() {
        let mut sources = Sources::new();
        sources.environment([pair("TERRACE_AUTH_REQUIREPASS", "0123")]).unwrap();
        let config = sources.finish().unwrap();
        assert_eq!(config.auth.requirepass.as_ref().map(crate::config::Secret::reveal), Some("0123"));
        assert!(!config.to_toml().contains("0123"));
    }

    #[test]
    fn variables_of_kubernetes_services_are_no_options() {
        let variables = [
            pair("TERRACE_SERVICE_HOST", "10.0.0.1"),
            pair("TERRACE_SERVICE_PORT_HTTP", "7380"),
            pair("TERRACE_PORT", "tcp://10.0.0.1:7379"),
            pair("TERRACE_PORT_7379_TCP_ADDR", "10.0.0.1"),
            pair("TERRACE_RESP_PORT", "tcp://10.0.0.1:7379"),
        ];
        let mut sources = Sources::new();
        sources.environment(variables).unwrap();
        assert_eq!(sources.finish().unwrap(), Config::default());
    }

    #[test]
    fn the_printed_configuration_is_read_back_as_the_same_and_names_every_option() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let mut sources = Sources::new();
        sources.flag("--x", "auth.requirepass_file", file.path().to_str().unwrap()).unwrap();
        for config in [Config::default(), sources.finish().unwrap()] {
            let text = config.to_toml();
            for opt in OPTIONS {
                let option = opt.name.split_once('.').unwrap().1;
                assert!(
                    text.lines()
                        .any(|line| line.trim_start_matches("# ").starts_with(&format!("{option} ="))),
                    "{text}"
                );
            }
            assert!(!text.contains("hidden"), "{text}");
            let mut sources = Sources::new();
            sources.text("printed", &text).unwrap();
            assert_eq!(sources.finish().unwrap(), config);
        }
    }
}
