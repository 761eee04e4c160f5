//! Lays the sources of settings over each other: defaults, file, environment, command line.

pub(super) mod environment;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::problem::{Origin, Problem, nearest};

/// The defaults, and with their keys the list of all settings.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

const API_KEY: &str = "upstream.api_key";
const LISTEN: &str = "server.listen";
const BASE_URL: &str = "upstream.base_url";

/// What the command line sets.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--listen ADDR`.
    pub listen: Option<String>,
    /// `--upstream URL`.
    pub upstream: Option<String>,
    /// `--demo`: no upstream address or key is used.
    pub demo: bool,
}

/// A setting's value as given.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// All settings by key, the highest layer's value for each.
pub(super) struct Layers {
    pub(super) entries: BTreeMap<String, Entry>,
    /// The lowest layer alone.
    pub(super) defaults: BTreeMap<String, Entry>,
    pub(super) problems: Vec<Problem>,
    /// Whether a layer is missing, so that what only the whole can tell must not be judged.
    pub(super) incomplete: bool,
}

impl Layers {
    /// The defaults alone.
    pub(super) fn new() -> Self {
        let table: Table = DEFAULTS
            .parse()
            .expect("the built-in defaults are valid TOML");
        let mut defaults = BTreeMap::new();
        for (section, settings) in table {
            flatten(&section, settings, &|_| true, &mut |key, value| {
                let origin = Origin::Default;
                defaults.insert(key, Entry { value, origin });
            });
        }
        Self {
            entries: defaults.clone(),
            defaults,
            problems: Vec::new(),
            incomplete: false,
        }
    }

    /// Lays a file over what is there.
    pub(super) fn file(&mut self, path: &Path) {
        let read = std::fs::read(path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
            });
        match read {
            Ok(text) => self.toml(&text, &Origin::File(path.to_owned())),
            Err(error) => {
                self.incomplete = true;
                self.problem(
                    "--config",
                    Origin::File(path.to_owned()),
                    format!("expected a readable TOML file: {error}"),
                );
            }
        }
    }

    /// Lays TOML text over what is there.
    pub(super) fn toml(&mut self, text: &str, origin: &Origin) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                self.incomplete = true;
                // The error's own display quotes the line, which can hold a secret.
                let at = place(text, &error);
                let accepted = format!("expected valid TOML: {}", error.message().trim());
                self.problem(&at, origin.clone(), accepted);
                return;
            }
        };
        for (section, settings) in table {
            match settings {
                Value::Table(_) if self.has_section(&section) => {
                    let mut found = Vec::new();
                    let groups = |key: &str| self.has_group(key);
                    flatten(&section, settings, &groups, &mut |key, value| {
                        found.push((key, value));
                    });
                    for (key, value) in found {
                        self.set(key, value, origin.clone());
                    }
                }
                _ if self.has_section(&section) => {
                    let accepted = format!("expected a section: [{section}] and its settings");
                    self.problem(&section, origin.clone(), accepted);
                }
                other => self.unknown_section(&section, other.is_table(), origin.clone()),
            }
        }
    }

    /// Lays the command line over what is there.
    pub(super) fn command_line(&mut self, options: &Overrides) {
        if let Some(listen) = &options.listen {
            let value = Value::String(listen.clone());
            self.set(LISTEN.to_owned(), value, Origin::Option("--listen"));
        }
        if options.demo {
            if options.upstream.is_some() {
                let accepted = "expected --demo or --upstream, not both: the demo has no upstream";
                self.problem(
                    "--upstream",
                    Origin::Option("--upstream"),
                    accepted.to_owned(),
                );
            }
            for key in [API_KEY, BASE_URL] {
                self.entries
                    .insert(key.to_owned(), self.defaults[key].clone());
            }
        } else if let Some(upstream) = &options.upstream {
            let value = Value::String(upstream.clone());
            self.set(BASE_URL.to_owned(), value, Origin::Option("--upstream"));
        }
    }

    fn set(&mut self, key: String, value: Value, origin: Origin) {
        if self.defaults.contains_key(&key) {
            self.entries.insert(key, Entry { value, origin });
            return;
        }
        let hint = did_you_mean(nearest(&key, self.defaults.keys().map(String::as_str)));
        // The value is kept back: this may be a slip in the name of a secret.
        self.problem(&key, origin, format!("there is no such setting{hint}"));
    }

    fn has_section(&self, section: &str) -> bool {
        self.sections().any(|known| known == section)
    }

    /// Whether settings stand below this key, as below `compression.rules`.
    fn has_group(&self, key: &str) -> bool {
        let below = |known: &String| {
            known
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        self.defaults.keys().any(below)
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.defaults.keys().filter_map(|key| key.split('.').next())
    }

    fn unknown_section(&mut self, name: &str, is_table: bool, origin: Origin) {
        let (kind, near) = if is_table {
            ("section", nearest(name, self.sections()))
        } else {
            // Without its section's header a setting looks like one of the top level.
            let same = self.defaults.keys().find(|key| {
                key.split_once('.')
                    .is_some_and(|(_, setting)| setting == name)
                    || *key == name
            });
            ("setting", same.map(String::as_str))
        };
        let hint = did_you_mean(near);
        self.problem(name, origin, format!("there is no such {kind}{hint}"));
    }

    fn problem(&mut self, key: &str, origin: Origin, accepted: String) {
        let key = key.escape_debug().to_string();
        self.problems.push(Problem {
            key,
            given: None,
            origin,
            accepted,
        });
    }
}

/// Calls `found` with the settings in `value`, which stands at `key`, going into the tables that are groups.
fn flatten(
    key: &str,
    value: Value,
    is_group: &impl Fn(&str) -> bool,
    found: &mut impl FnMut(String, Value),
) {
    match value {
        Value::Table(settings) if is_group(key) => {
            for (name, value) in settings {
                flatten(&format!("{key}.{name}"), value, is_group, found);
            }
        }
        value => found(key.to_owned(), value),
    }
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default()
}

fn place(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!("line {line}, column {column}")
}
