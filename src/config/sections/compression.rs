//! Reads `[compression]`.

use super::named_twice;
use crate::compressor::Rule;
use crate::config::{Compression, Learning, accept, reader::Reader};
use crate::tuning::learn::{Mode, Shelf};

/// A text that so many callers must have sent is as good as never kept.
const MANY_CALLERS: i64 = 16;

impl Compression {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let routes = reader.list("compression.routes", accept::route_level);
        let roles = reader.list("compression.roles", accept::role_level);
        if let Some(route) = named_twice(routes.iter().map(|(route, _)| route.as_str())) {
            reader.refuse(
                "compression.routes",
                format!("expected one level for each endpoint: {route} has two"),
            );
        }
        if let Some(role) = named_twice(roles.iter().map(|(role, _)| role.as_str())) {
            reader.refuse(
                "compression.roles",
                format!("expected each role once: {role} stands there twice (developer is system, function is tool)"),
            );
        }
        Self {
            level: reader.text("compression.level", accept::level),
            routes,
            roles,
            deny: reader
                .list("compression.rules.deny", |name| {
                    name.parse::<Rule>().map_err(|_| {
                        let names: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
                        format!("expected names of rules: {}", names.join(", "))
                    })
                })
                .into_iter()
                .collect(),
            learning: Learning::read(reader),
        }
    }
}

impl Learning {
    fn read(reader: &mut Reader) -> Self {
        let learning = Self {
            mode: reader.text("compression.learn", |text| {
                let mut all = [Mode::Off, Mode::Observe, Mode::Act].into_iter();
                let known = all.find(|mode| mode.as_str() == text);
                known.ok_or_else(|| "expected off, observe or act".to_owned())
            }),
            holdout: reader.number("compression.holdout", 0.0..=0.5),
            callers: reader.integer("compression.learn_callers", 1..=MANY_CALLERS),
            file: reader.text("compression.rules.file", |path| {
                accept::snapshot(path)?.ok_or_else(|| "expected the path of a file".to_owned())
            }),
        };
        // What people may have edited is judged before anything starts. Where it is not used it does not matter.
        if learning.mode != Mode::Off
            && reader.can_judge(&["compression.learn", "compression.rules.file"])
            && let Err(trouble) = Shelf::new(learning.file.clone()).read()
        {
            let accepted = format!("expected a file of compression rules: {trouble}");
            reader.refuse("compression.rules.file", accepted);
        }
        learning
    }
}
