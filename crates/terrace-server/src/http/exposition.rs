//! The text format of Prometheus, version 0.0.4, written by hand: it is a dozen lines, and the figures are already
//! counted elsewhere.

use std::fmt::{Display, Write};

/// A page of metrics on its way.
#[derive(Default)]
pub(crate) struct Exposition(String);

/// One metric of an [`Exposition`].
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// Something that only grows.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// Something that goes up and down.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Quantiles, a sum and a count.
    pub(crate) fn summary(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "summary", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One sample.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.suffixed("", labels, value)
    }

    /// One sample under the metric's name with this suffix.
    pub(crate) fn suffixed(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) -> &mut Self {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{open}{label}=\"{escaped}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Exposition::default();
        page.gauge("up", "Is it?").sample(&[], 1).sample(&[("a", "x\"\\\n"), ("b", "")], 0.5);
        assert_eq!(
            page.finish(),
            "# HELP up Is it?\n# TYPE up gauge\nup 1\nup{a=\"x\\\"\\\\\\n\",b=\"\"} 0.5\n"
        );
    }
}
