//! What a server says of itself, and whether that is enough.

use std::time::Duration;

use serde_json::Value;
use terrace_store::{Durability, Error, ErrorKind, Result};

use super::{NAME, config, error};
use crate::wire;

pub(super) fn number(value: &Value, name: &str) -> Option<u64> {
    value[name].as_u64()
}

/// Whether a store of these facts is one that this client can use, and promises what is needed.
///
/// # Errors
/// `Config` if not.
pub(super) fn check(operation: &'static str, facts: &Value, needed: Durability) -> Result<()> {
    let format = number(facts, "format").ok_or_else(|| error::nonsense(operation))?;
    if format != wire::FORMAT {
        return Err(config::refused(&format!(
            "the server speaks format {format} of this interface, this release format {}: use releases that are closer",
            wire::FORMAT
        )));
    }
    let has = durability(facts).ok_or_else(|| error::nonsense(operation))?;
    if is_enough(has, needed) {
        return Ok(());
    }
    Err(config::refused(&format!(
        "the server's durability, which is the ceiling here, is {has:?}; {needed:?} was asked for: configure the server \
         for it, or ask for less"
    )))
}

/// # Errors
/// `Unavailable` with the reason if the store does not work.
pub(super) fn health(facts: &Value) -> Result<()> {
    match facts["health"].as_str() {
        Some("up" | "degraded") => Ok(()),
        Some(_) => {
            let why = facts["reason"].as_str().unwrap_or("it does not say why");
            let error = Error::new(ErrorKind::Unavailable, "health").with("store", NAME);
            Err(error.because(format!("the store in the server does not work: {why}")))
        }
        None => Err(error::nonsense("health")),
    }
}

fn durability(facts: &Value) -> Option<Durability> {
    let ms = |name| number(facts, name).map(Duration::from_millis);
    Some(match facts["durability"].as_str()? {
        "process" => Durability::Process,
        "never" => Durability::Never,
        "interval" => Durability::Interval(ms("interval_ms")?),
        "group" => Durability::Group(ms("group_ms")?),
        "always" => Durability::Always,
        _ => return None,
    })
}

/// Whether who has this also has that.
fn is_enough(has: Durability, needed: Durability) -> bool {
    match (has, needed) {
        (_, Durability::Process) | (Durability::Always, _) => true,
        (Durability::Group(_), needed) => needed != Durability::Always,
        (Durability::Interval(has), Durability::Interval(needed)) => has <= needed,
        (Durability::Interval(_) | Durability::Never, Durability::Never) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_server_that_promises_less_is_refused_with_its_ceiling() {
        let second = Durability::Interval(Duration::from_secs(1));
        let group = Durability::Group(Duration::from_millis(2));
        let all = [Durability::Process, Durability::Never, second, group, Durability::Always];
        for (has, facts) in [
            json!({"format": 1, "durability": "process"}),
            json!({"format": 1, "durability": "never"}),
            json!({"format": 1, "durability": "interval", "interval_ms": 1000}),
            json!({"format": 1, "durability": "group", "group_ms": 2}),
            json!({"format": 1, "durability": "always"}),
        ]
        .iter()
        .enumerate()
        {
            for (needs, needed) in all.iter().enumerate() {
                let checked = check("get", facts, *needed);
                assert_eq!(checked.is_ok(), needs <= has, "{facts} {needed:?}");
                if let Err(error) = checked {
                    assert!(
                        error.kind() == ErrorKind::Config && error.to_string().contains("ceiling"),
                        "{error}"
                    );
                }
            }
        }
        let often = Durability::Interval(Duration::from_millis(10));
        assert!(
            check("get", &json!({"format": 1, "durability": "interval", "interval_ms": 1000}), often)
                .is_err()
        );
    }

    #[test]
    fn what_is_no_terrace_or_a_later_one_is_told() {
        let error = check("get", &json!({"format": 2}), Durability::Process).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
        for nonsense in
            [json!({}), json!([]), json!({"format": 1}), json!({"format": 1, "durability": "perhaps"})]
        {
            assert_eq!(check("get", &nonsense, Durability::Process).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert!(
            health(&json!({"health": "down", "reason": "the disk"}))
                .unwrap_err()
                .to_string()
                .contains("disk")
        );
    }
}
