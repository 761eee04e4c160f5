//! Lays environment variables over the settings below them.

use std::{collections::BTreeMap, net::SocketAddr};

use toml::Value;

use super::{API_KEY, LISTEN, Layers, did_you_mean};
use crate::config::problem::{Origin, Problem, nearest};

/// Variables that stand in for `PEGASUS_UPSTREAM__API_KEY`, the first set one wins.
const API_KEY_FALLBACKS: [&str; 2] = ["OPENROUTER_API_KEY", "OPENAI_API_KEY"];

impl Layers {
    /// Lays the environment over what is there.
    pub(in crate::config) fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) {
        let variables: BTreeMap<String, String> = variables.collect();
        let names: BTreeMap<String, String> = self
            .defaults
            .keys()
            .map(|key| (variable(key), key.clone()))
            .collect();
        let set = |name: &str| variables.get(name).filter(|value| !value.trim().is_empty());

        for (name, value) in variables
            .iter()
            .filter(|(name, _)| name.starts_with("PEGASUS_"))
        {
            // An empty variable is how many tools say "unset"; only the key can be taken away so.
            let unset = value.trim().is_empty();
            match names.get(name) {
                Some(key) if unset && key != API_KEY => {}
                Some(key) => {
                    let value = Value::String(value.clone());
                    self.set(key.clone(), value, Origin::Environment(name.clone()));
                }
                None if unset || is_service_link(name, value) => {}
                None => self.unknown_variable(name, names.keys().map(String::as_str)),
            }
        }
        if let Some(port) = set("PORT") {
            self.port(port);
        }
        if set(&variable(API_KEY)).is_none()
            && let Some(name) = API_KEY_FALLBACKS
                .into_iter()
                .find(|name| set(name).is_some())
        {
            let value = Value::String(variables[name].clone());
            self.set(
                API_KEY.to_owned(),
                value,
                Origin::Environment(name.to_owned()),
            );
        }
    }

    /// Replaces the port of the listen address, wherever that comes from: a platform that says PORT means it.
    fn port(&mut self, port: &str) {
        let origin = Origin::Environment("PORT".to_owned());
        let Ok(port) = port.trim().parse::<u16>() else {
            let accepted = "expected a port number from 0 to 65535".to_owned();
            let given = Some(format!("{port:?}"));
            self.problems.push(Problem {
                key: LISTEN.to_owned(),
                given,
                origin,
                accepted,
            });
            return;
        };
        let below = self.entries[LISTEN].value.as_str().unwrap_or_default();
        // An address that cannot be read stays, so that its own problem is reported.
        if let Ok(mut address) = below.trim().parse::<SocketAddr>() {
            address.set_port(port);
            self.set(
                LISTEN.to_owned(),
                Value::String(address.to_string()),
                origin,
            );
        }
    }

    fn unknown_variable<'a>(&mut self, name: &str, known: impl Iterator<Item = &'a str> + Clone) {
        let single = known
            .clone()
            .find(|known| known.replace("__", "_") == name.replace("__", "_"));
        let hint = match single {
            Some(single) => {
                format!(": two underscores stand between section and key, as in {single}")
            }
            None => did_you_mean(nearest(name, known)),
        };
        let accepted = format!("there is no such setting{hint}");
        self.problem(name, Origin::Environment(name.to_owned()), accepted);
    }
}

/// The environment variable of a setting: `server.listen` is `PEGASUS_SERVER__LISTEN`.
pub(in crate::config) fn variable(key: &str) -> String {
    format!("PEGASUS_{}", key.replace('.', "__").to_uppercase())
}

/// Kubernetes puts the address of each service into every container of its namespace; for one called
/// "pegasus" or "pegasus-nest" these names begin like ours, and no operator wrote them.
fn is_service_link(name: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let part = ["_TCP_", "_UDP_", "_SCTP_"]
        .iter()
        .any(|protocol| name.contains(protocol));
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || (name.contains("_PORT_") && part)
            || (name.contains("_PORT") && address))
}
