//! Reads how answers are kept, where, which and for how long.

use std::time::Duration;

use secrecy::SecretString;

use super::named_twice;
use crate::chat::{Admit, Quality};
use crate::config::{Cache, CacheScope, Eviction, Redis, accept, reader::Reader};

use crate::request::{Chat, Route};
use crate::store::redis::Address;

impl Cache {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let cache = Self {
            enabled: reader.flag("cache.enabled"),
            ttl: reader.timeout("cache.ttl"),
            routes: routes(reader),
            admit: admit(reader),
            max_temperature: reader.optional_number("cache.max_temperature", 0.0..=2.0),
            max_entries: reader.integer("cache.max_entries", 1..=1_000_000_000),
            max_bytes: reader.size("cache.max_bytes"),
            eviction: reader.text("cache.eviction", |text| match text {
                "lru" => Ok(Eviction::Lru),
                "value" => Ok(Eviction::Value),
                _ => Err("expected lru or value".to_owned()),
            }),
            sweep_interval: reader.timeout("cache.sweep_interval"),
            stale_if_error: reader.delay("cache.stale_if_error"),
            scope: reader.text("cache.scope", |text| match text {
                "credential" => Ok(CacheScope::Credential),
                "global" => Ok(CacheScope::Global),
                _ => Err("expected credential or global".to_owned()),
            }),
            stale_while_revalidate: reader.delay("cache.stale_while_revalidate"),
            variants: reader.integer("cache.variants", 1..=100),
            snapshot: reader.text("cache.snapshot", accept::snapshot),
            redis: Redis::read(reader),
        };
        if cache.snapshot.is_some() && cache.redis.is_some() {
            reader.refuse(
                "cache.snapshot",
                "expected none beside cache.redis_url, which keeps the answers as well: a file of this instance \
                 could bring back what the others have cleared meanwhile"
                    .to_owned(),
            );
        }
        cache
    }
}

impl Redis {
    fn read(reader: &mut Reader) -> Option<Self> {
        // Its address can hold a password, so it is masked like a secret.
        let url = reader.secret("cache.redis_url", |text| {
            let url = SecretString::from(text);
            Address::parse(&url).map(|_| url)
        });
        let namespace = reader.text("cache.redis_namespace", accept::namespace);
        let timeout = reader.timeout("cache.redis_timeout");
        let address = Address::parse(&url?).ok()?;
        Some(Self {
            address,
            namespace,
            timeout,
        })
    }
}

impl Cache {
    /// How long answers of this endpoint are fresh. Zero: they are neither kept nor given.
    pub fn ttl_of(&self, route: Route) -> Duration {
        let own = self.routes.iter().find(|(known, _)| *known == route);
        own.map_or(self.ttl, |(_, ttl)| *ttl)
    }

    /// Whether requests like this one may be answered from the cache, and their answers kept and shared.
    pub fn takes(&self, route: Route, chat: &Chat) -> bool {
        let is_too_hot = |most: f64| chat.temperature() > most;
        !self.ttl_of(route).is_zero() && !self.max_temperature.is_some_and(is_too_hot)
    }

    /// Whether it takes all requests to this endpoint, whatever their bodies.
    pub fn takes_all(&self, route: Route) -> bool {
        !self.ttl_of(route).is_zero() && self.max_temperature.is_none()
    }

    /// The longest time for which any answer is fresh.
    pub fn longest_ttl(&self) -> Duration {
        let ttls = Route::ALL.map(|route| self.ttl_of(route));
        ttls.into_iter().max().unwrap_or(self.ttl)
    }
}

/// The kinds of answers that are kept.
fn admit(reader: &mut Reader) -> Admit {
    const KEY: &str = "cache.admit";
    let kinds = reader.list(KEY, accept::quality);
    if kinds.is_empty() {
        let names = Quality::ADMISSIBLE.map(Quality::as_str).join(", ");
        reader.refuse(
            KEY,
            format!(
                "expected at least one of {names}; to keep no answers, set cache.enabled = false"
            ),
        );
    }
    if let Some(kind) = named_twice(kinds.iter().map(|kind| kind.as_str())) {
        reader.refuse(
            KEY,
            format!("expected each kind once: {kind} stands there twice"),
        );
    }
    kinds.into_iter().collect()
}

/// Endpoints with a time of their own.
fn routes(reader: &mut Reader) -> Vec<(Route, Duration)> {
    const KEY: &str = "cache.routes";
    let routes = reader.list(KEY, accept::route_ttl);
    if let Some(route) = named_twice(routes.iter().map(|(route, _)| route.as_str())) {
        reader.refuse(
            KEY,
            format!("expected one time for each endpoint: {route} has two"),
        );
    }
    routes
}
