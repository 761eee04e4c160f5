//! Reads each section, and judges what only several settings together can get wrong.

use std::{net::SocketAddr, path::Path, time::Duration};

use secrecy::SecretString;

use super::{
    Auth, Batch, Breaker, Cache, CacheScope, Compression, Config, Dedup, Dialect, Ledger, Log,
    LogFormat, MaxTokens, Metering, Prefetch, PromptCache, Retry, Server, Telemetry, Tuning,
    Upstream, accept, reader::Reader,
};
use crate::metering::ledger::{Address, Place};
use crate::metering::prices::PriceTable;

mod auth;
mod cache;
mod compression;
mod tuning;

/// More connections, requests or attempts than any machine holds.
const MANY: i64 = 1_000_000;
/// The most requests that one batch has.
const MOST_IN_A_BATCH: i64 = 256;
/// Longer than any client is to wait for others.
const LONGEST_WINDOW: Duration = Duration::from_secs(1);
/// The most inputs that OpenAI embeds at once.
const MOST_INPUTS: i64 = 2048;

impl Config {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut config = Self {
            server: Server::read(reader),
            upstream: Upstream::read(reader),
            compression: Compression::read(reader),
            cache: Cache::read(reader),
            dedup: Dedup {
                enabled: reader.flag("dedup.enabled"),
                across_instances: reader.flag("dedup.across_instances"),
            },
            breaker: Breaker::read(reader),
            retry: Retry::read(reader),
            max_tokens: MaxTokens::read(reader),
            create: Dialect::create(reader),
            chat: Dialect::chat(reader),
            batch: Batch::read(reader),
            auth: Auth::read(reader),
            log: Log::read(reader),
            metering: Metering::read(reader),
            telemetry: Telemetry::read(reader),
            ledger: Ledger::read(reader),
            tuning: Tuning::read(reader),
            prefetch: Prefetch::read(reader),
            is_demo: false,
        };
        config.tuning.allow(&config.cache, &config.max_tokens);
        config.refuse_open_purse(reader);
        config.refuse_prefetch_without_cache(reader);
        config.refuse_prefetch_for_all(reader);
        config
    }

    /// Refuses the start where anyone on the network could spend the owner's money.
    fn refuse_open_purse(&self, reader: &mut Reader) {
        const KEYS: [&str; 5] = [
            "server.listen",
            "upstream.api_key",
            "auth.client_tokens",
            "auth.clients",
            "auth.allow_anonymous",
        ];
        // An IPv4 address written as IPv6 is as local as it is.
        let is_local = self.server.listen.ip().to_canonical().is_loopback();
        if self.upstream.api_key.is_some()
            && !self.auth.asks_for_a_token()
            && !self.auth.allow_anonymous
            && !is_local
            && reader.can_judge(&KEYS)
        {
            reader.refuse(
                "server.listen",
                "anyone who reaches this address could spend the money behind upstream.api_key: \
                 set auth.client_tokens or auth.clients, or listen on a loopback address such as 127.0.0.1, \
                 or set auth.allow_anonymous = true"
                    .to_owned(),
            );
        }
    }
}

impl Config {
    /// Refuses to fetch what nothing would keep.
    fn refuse_prefetch_without_cache(&self, reader: &mut Reader) {
        let is_idle = self.prefetch.enabled && !self.cache.enabled;
        if is_idle && reader.can_judge(&["prefetch.enabled", "cache.enabled"]) {
            let accepted = "expected false where cache.enabled is false: there is nothing to keep answers in until they are asked for";
            reader.refuse("prefetch.enabled", accepted.to_owned());
        }
    }

    /// Refuses to fetch what callers who are told apart share: whoever asked first would pay for what the others ask again.
    fn refuse_prefetch_for_all(&self, reader: &mut Reader) {
        const KEYS: [&str; 5] = [
            "prefetch.enabled",
            "cache.enabled",
            "cache.scope",
            "auth.client_tokens",
            "auth.clients",
        ];
        let is_shared = self.cache.enabled && self.cache.scope == CacheScope::Global;
        if self.prefetch.enabled
            && is_shared
            && self.auth.asks_for_a_token()
            && reader.can_judge(&KEYS)
        {
            let accepted = "expected false where cache.scope is \"global\" and clients have tokens (auth.clients, \
                            auth.client_tokens): the one who asked first would pay for what others ask again";
            reader.refuse("prefetch.enabled", accepted.to_owned());
        }
    }
}

impl Server {
    fn read(reader: &mut Reader) -> Self {
        Self {
            listen: reader.text("server.listen", |text| {
                text.parse::<SocketAddr>().map_err(|_| {
                    "expected an IP address and a port such as \"127.0.0.1:3000\" or \
                     \"[::1]:3000\""
                        .to_owned()
                })
            }),
            max_body_bytes: reader.size("server.max_body_bytes"),
            max_connections: reader.integer("server.max_connections", 1..=MANY),
            max_connections_per_ip: reader.integer("server.max_connections_per_ip", 0..=MANY),
            header_read_timeout: reader.timeout("server.header_read_timeout"),
            body_read_timeout: reader.timeout("server.body_read_timeout"),
            write_timeout: reader.timeout("server.write_timeout"),
            max_in_flight: reader.integer("server.max_in_flight", 1..=MANY),
            shutdown_grace: reader.delay("server.shutdown_grace"),
            cors_origins: reader.list("server.cors_origins", accept::origin),
        }
    }
}

impl Upstream {
    fn read(reader: &mut Reader) -> Self {
        let mut upstream = Self {
            base_url: reader.text("upstream.base_url", accept::base_url),
            api_key: reader.secret("upstream.api_key", accept::token),
            connect_timeout: reader.timeout("upstream.connect_timeout"),
            read_timeout: reader.timeout("upstream.read_timeout"),
            total_timeout: reader.timeout("upstream.total_timeout"),
            max_connections: reader.integer("upstream.max_connections", 1..=MANY),
            max_connections_per_host: reader.integer("upstream.max_connections_per_host", 1..=MANY),
            idle_timeout: reader.timeout("upstream.idle_timeout"),
            max_connection_age: reader.timeout("upstream.max_connection_age"),
            max_stream_duration: reader.timeout("upstream.max_stream_duration"),
            http2: reader.flag("upstream.http2"),
            max_response_bytes: reader.size("upstream.max_response_bytes"),
            prompt_cache: reader.text("upstream.prompt_cache", |text| match text {
                "off" => Ok(PromptCache::Off),
                "auto" => Ok(PromptCache::Auto),
                "on" => Ok(PromptCache::On),
                _ => Err("expected off, auto or on".to_owned()),
            }),
            forward_headers: reader.list("upstream.forward_headers", accept::forwarded_header),
        };
        reader.at_most(
            ("upstream.connect_timeout", &mut upstream.connect_timeout),
            ("upstream.total_timeout", upstream.total_timeout),
        );
        reader.at_most(
            (
                "upstream.max_connections_per_host",
                &mut upstream.max_connections_per_host,
            ),
            ("upstream.max_connections", upstream.max_connections),
        );
        upstream
    }
}

impl Breaker {
    fn read(reader: &mut Reader) -> Self {
        Self {
            enabled: reader.flag("breaker.enabled"),
            failure_threshold: reader.integer("breaker.failure_threshold", 1..=MANY),
            open_for: reader.timeout("breaker.open_for"),
            half_open_probes: reader.integer("breaker.half_open_probes", 1..=MANY),
        }
    }
}

impl Retry {
    fn read(reader: &mut Reader) -> Self {
        let mut retry = Self {
            max_attempts: reader.integer("retry.max_attempts", 1..=100),
            base_delay: reader.delay("retry.base_delay"),
            max_delay: reader.delay("retry.max_delay"),
            budget: reader.number("retry.budget", 0.0..=1.0),
        };
        reader.at_most(
            ("retry.base_delay", &mut retry.base_delay),
            ("retry.max_delay", retry.max_delay),
        );
        retry
    }
}

impl MaxTokens {
    fn read(reader: &mut Reader) -> Self {
        Self {
            simple: reader.integer("max_tokens.simple", 1..=100 * MANY),
            medium: reader.integer("max_tokens.medium", 1..=100 * MANY),
            complex: reader.integer("max_tokens.complex", 1..=100 * MANY),
        }
    }
}

/// The settings of one dialect: their keys differ in the section alone.
macro_rules! dialect {
    ($reader:ident, $section:literal) => {
        Self {
            model: $reader.text(concat!($section, ".model"), accept::model),
            system_prompt: $reader.raw_text(concat!($section, ".system_prompt")),
            temperature: $reader.number(concat!($section, ".temperature"), 0.0..=2.0),
            presence_penalty: $reader.number(concat!($section, ".presence_penalty"), -2.0..=2.0),
            frequency_penalty: $reader.number(concat!($section, ".frequency_penalty"), -2.0..=2.0),
            max_prompt_chars: $reader
                .integer(concat!($section, ".max_prompt_chars"), 1..=1_000_000_000),
        }
    };
}

impl Dialect {
    fn create(reader: &mut Reader) -> Self {
        dialect!(reader, "create")
    }

    fn chat(reader: &mut Reader) -> Self {
        dialect!(reader, "chat")
    }
}

impl Batch {
    fn read(reader: &mut Reader) -> Self {
        let batch = Self {
            concurrency: reader.integer("batch.concurrency", 1..=MOST_IN_A_BATCH),
            window: reader.delay("batch.window"),
            max_inputs: reader.integer("batch.max_inputs", 1..=MOST_INPUTS),
        };
        if batch.window > LONGEST_WINDOW && reader.can_judge(&["batch.window"]) {
            let accepted =
                "expected at most 1s: each call waits for so long, whether others come or not";
            reader.refuse("batch.window", accepted.to_owned());
        }
        batch
    }
}

impl Log {
    fn read(reader: &mut Reader) -> Self {
        Self {
            level: reader.text("log.level", accept::filter),
            format: reader.text("log.format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("expected text or json".to_owned()),
            }),
            summary_interval: reader.delay("log.summary_interval"),
        }
    }
}

impl Ledger {
    fn read(reader: &mut Reader) -> Self {
        let path = reader.text("ledger.path", accept::ledger);
        // It can hold a password, so it is masked like a secret.
        let url = reader.secret("ledger.url", |text| {
            let url = SecretString::from(text);
            Address::parse(&url).map(|_| url)
        });
        let shared = url.and_then(|url| Address::parse(&url).ok());
        if shared.is_some() {
            reader.set_aside("ledger.path", "ledger.url");
        }
        Self {
            place: shared.map(Place::Shared).or(path),
            retention: reader.timeout("ledger.retention"),
        }
    }
}

impl Prefetch {
    fn read(reader: &mut Reader) -> Self {
        Self {
            enabled: reader.flag("prefetch.enabled"),
            budget_usd_per_day: reader.number("prefetch.budget_usd_per_day", 0.0..=1e6),
            max_share: reader.number("prefetch.max_share", 0.0..=0.9),
            value_per_second: reader.number("prefetch.value_per_second", 0.0..=1e3),
            max_bytes: reader.size("prefetch.max_bytes"),
        }
    }
}

impl Metering {
    fn read(reader: &mut Reader) -> Self {
        let prices = reader.text("metering.prices_file", |path| {
            if path.is_empty() {
                return Ok(PriceTable::default());
            }
            let text = std::fs::read_to_string(Path::new(path))
                .map_err(|error| format!("expected a readable file of prices: {error}"))?;
            PriceTable::from_toml(&text)
                .map_err(|error| format!("expected a file like config/prices.toml: {error}"))
        });
        Self {
            prices,
            stream_usage: reader.flag("metering.stream_usage"),
            refuse_overflow: reader.flag("metering.refuse_overflow"),
            fetch_prices: reader.flag("metering.fetch_prices"),
        }
    }
}

impl Telemetry {
    fn read(reader: &mut Reader) -> Self {
        let telemetry = Self {
            endpoint: reader.text("telemetry.otlp_endpoint", accept::otlp_endpoint),
            service_name: reader.text("telemetry.service_name", accept::service_name),
            sample_ratio: reader.number("telemetry.sample_ratio", 0.0..=1.0),
            headers: reader.secrets("telemetry.headers", accept::collector_header),
        };
        let names = telemetry.headers.iter().map(|(name, _)| name.as_str());
        if let Some(name) = named_twice(names) {
            let accepted = format!("expected each header once: {name} stands there twice");
            reader.refuse("telemetry.headers", accepted);
        }
        telemetry
    }
}

/// A name that stands in a list more than once.
fn named_twice<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Some(name);
        }
        seen.push(name);
    }
    None
}
