//! Turns the values of settings into types, and keeps count of every problem on the way.

use std::{collections::BTreeSet, fmt::Write as _, ops::RangeInclusive, time::Duration};

use secrecy::SecretString;
use toml::{Table, Value};

use super::{
    layers::{Entry, Layers},
    problem::{Origin, Problem, Problems},
    units,
    values::{
        self, Refusal, Shown, TEXT, coerce_list, coerce_number, coerce_text, describe, duration,
        list, number,
    },
};

/// A setting that was read, as it is shown to the operator.
struct Seen {
    key: &'static str,
    value: Value,
    origin: Origin,
}

/// Reads settings one by one; a setting that cannot be read counts as its default from there on.
pub(super) struct Reader {
    layers: Layers,
    seen: Vec<Seen>,
    failed: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self {
            layers,
            seen: Vec::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Text, surrounding blanks kept.
    pub(super) fn raw_text(&mut self, key: &'static str) -> String {
        self.value(key, Shown::Plain, coerce_text, |value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| Refusal::all(TEXT.to_owned()))
        })
    }

    /// Text, surrounding blanks removed, that `parse` understands.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.value(key, Shown::Plain, coerce_text, |value| {
            let text = value
                .as_str()
                .ok_or_else(|| Refusal::all(TEXT.to_owned()))?;
            parse(text.trim()).map_err(Refusal::all)
        })
    }

    /// A duration; zero is refused.
    pub(super) fn timeout(&mut self, key: &'static str) -> Duration {
        self.value(key, Shown::Plain, coerce_text, |value| {
            let duration = duration(value)?;
            if duration.is_zero() {
                return Err(Refusal::all("expected a duration above zero".to_owned()));
            }
            Ok(duration)
        })
    }

    /// A duration; zero is accepted.
    pub(super) fn delay(&mut self, key: &'static str) -> Duration {
        self.value(key, Shown::Plain, coerce_text, duration)
    }

    /// A number of bytes, at least 1.
    pub(super) fn size<T: TryFrom<u64>>(&mut self, key: &'static str) -> T {
        self.value(key, Shown::Plain, coerce_text, |value| {
            let bytes = match value {
                Value::String(text) => units::size(text),
                Value::Integer(bytes) if *bytes >= 0 => units::bytes(u64::try_from(*bytes).ok()),
                _ => Err(units::size_accepted()),
            };
            let size = bytes.and_then(|bytes| {
                T::try_from(bytes).map_err(|_| "a size that this machine can address".to_owned())
            });
            size.map_err(|accepted| Refusal::all(format!("expected {accepted}")))
        })
    }

    /// A whole number within the range.
    pub(super) fn integer<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> T {
        let coerce = |text: &str| text.trim().parse().ok().map(Value::Integer);
        self.value(key, Shown::Plain, coerce, |value| {
            let number = value.as_integer().filter(|number| range.contains(number));
            number
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| {
                    let (least, most) = (range.start(), range.end());
                    Refusal::all(format!("expected a whole number from {least} to {most}"))
                })
        })
    }

    /// A number within the range.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> f64 {
        self.value(key, Shown::Plain, coerce_number, |value| {
            number(value, &range).map_err(Refusal::all)
        })
    }

    /// A number within the range; `None` where it is left empty.
    pub(super) fn optional_number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        self.value(key, Shown::Plain, coerce_number, |value| {
            if value.as_str().is_some_and(|text| text.trim().is_empty()) {
                return Ok(None);
            }
            number(value, &range)
                .map(Some)
                .map_err(|accepted| Refusal::all(format!("{accepted}, or \"\" for none")))
        })
    }

    /// true or false.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        let coerce = |text: &str| text.trim().parse().ok().map(Value::Boolean);
        self.value(key, Shown::Plain, coerce, |value| {
            value
                .as_bool()
                .ok_or_else(|| Refusal::all("expected true or false".to_owned()))
        })
    }

    /// A list of texts, each of which `parse` understands.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        self.value(key, Shown::Plain, coerce_list, |value| list(value, &parse))
    }

    /// A list of tables, each of which `parse` understands.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Table) -> Result<T, Vec<Refusal>>,
    ) -> Vec<T> {
        self.value(key, Shown::Plain, coerce_list, |value| {
            values::tables(value, &parse)
        })
    }

    /// A secret that `parse` accepts; empty is none.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<SecretString, String>,
    ) -> Option<SecretString> {
        self.value(key, Shown::Secret, coerce_text, |value| {
            let text = value
                .as_str()
                .ok_or_else(|| Refusal::all(TEXT.to_owned()))?
                .trim();
            (!text.is_empty())
                .then(|| parse(text))
                .transpose()
                .map_err(Refusal::all)
        })
    }

    /// A list of secrets, each of which `parse` accepts.
    pub(super) fn secrets<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        self.value(key, Shown::Secret, coerce_list, |value| list(value, &parse))
    }

    fn value<T>(
        &mut self,
        key: &'static str,
        shown: Shown,
        coerce: impl Fn(&str) -> Option<Value>,
        parse: impl Fn(&Value) -> Result<T, Vec<Refusal>>,
    ) -> T {
        let Entry { mut value, origin } = self
            .layers
            .entries
            .get(key)
            .expect("default.toml has every setting")
            .clone();
        // Outside of files all values are text, whatever the setting's type.
        if let (Origin::Environment(_) | Origin::Option(_), Value::String(text)) = (&origin, &value)
            && let Some(typed) = coerce(text)
        {
            value = typed;
        }
        let parsed = parse(&value);
        let seen = Seen {
            key,
            value: values::show(&value, shown),
            origin: origin.clone(),
        };
        self.seen.push(seen);
        parsed.unwrap_or_else(|refusals| {
            self.failed.insert(key);
            for Refusal { given, accepted } in refusals {
                let given = Some(describe(given.as_ref().unwrap_or(&value), shown));
                let (key, origin) = (key.to_owned(), origin.clone());
                self.layers.problems.push(Problem {
                    key,
                    given,
                    origin,
                    accepted,
                });
            }
            parse(&self.layers.defaults[key].value).expect("the built-in defaults are accepted")
        })
    }

    /// Whether these settings were all read, so that their combination can be judged.
    pub(super) fn can_judge(&self, keys: &[&'static str]) -> bool {
        !self.layers.incomplete && !keys.iter().any(|key| self.failed.contains(key))
    }

    /// Reports a combination that cannot work, under the key that is to be changed.
    pub(super) fn refuse(&mut self, key: &'static str, accepted: String) {
        let seen = self.seen(key);
        let given = Some(describe(&seen.value, Shown::Plain));
        let origin = seen.origin.clone();
        self.layers.problems.push(Problem {
            key: key.to_owned(),
            given,
            origin,
            accepted,
        });
    }

    /// Holds `low` to `high`: a default is lowered with it, an operator's own value is a problem.
    pub(super) fn at_most<T: PartialOrd + Copy>(
        &mut self,
        (low_key, low): (&'static str, &mut T),
        (high_key, high): (&'static str, T),
    ) {
        if *low <= high || !self.can_judge(&[low_key, high_key]) {
            return;
        }
        let limit = self.seen(high_key);
        let (value, origin) = (limit.value.clone(), limit.origin.clone());
        if self.seen(low_key).origin == Origin::Default {
            *low = high;
            if let Some(seen) = self.seen.iter_mut().find(|seen| seen.key == low_key) {
                seen.value = value;
                seen.origin = Origin::Follows(high_key);
            }
            return;
        }
        self.refuse(
            low_key,
            format!("expected at most {high_key}, which is {value} ({origin})"),
        );
    }

    /// Notes that a setting has no effect beside another one.
    pub(super) fn set_aside(&mut self, key: &'static str, by: &'static str) {
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.key == key) {
            seen.origin = Origin::SetAside(by);
        }
    }

    fn seen(&self, key: &str) -> &Seen {
        self.seen
            .iter()
            .find(|seen| seen.key == key)
            .expect("a setting is read before it is judged")
    }

    /// The keys read so far.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.seen.iter().map(|seen| seen.key)
    }

    /// All problems, or the configuration as TOML with its secrets masked.
    pub(super) fn finish(self) -> Result<String, Problems> {
        if !self.layers.problems.is_empty() {
            return Err(Problems(self.layers.problems));
        }
        let mut effective = String::new();
        let mut open = "";
        for Seen { key, value, origin } in &self.seen {
            let (section, setting) = key.split_once('.').unwrap_or(("", key));
            if section != open {
                let gap = if open.is_empty() { "" } else { "\n" };
                let _ = writeln!(effective, "{gap}[{section}]");
                open = section;
            }
            let _ = match origin {
                Origin::Default => writeln!(effective, "{setting} = {value}"),
                origin => writeln!(effective, "{setting} = {value} # {origin}"),
            };
        }
        Ok(effective)
    }
}
