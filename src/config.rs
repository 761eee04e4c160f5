//! Everything an operator can set, read once at the start, so that no request meets a bad setting.

mod accept;
mod beside;
mod layers;
mod problem;
mod reader;
mod sections;
#[cfg(test)]
mod tests;
mod units;
mod values;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use self::{layers::Layers, reader::Reader};
use crate::{
    chat::Admit,
    compressor::{Level, Role, RuleSet},
    metering::{ledger::Place, prices::PriceTable},
    request::Route,
    store::redis::Address,
};

pub(crate) use self::units::duration;
pub use self::{
    beside::{Batch, Learning, Prefetch, PromptCache, Tuning, TuningMode},
    layers::Overrides,
    problem::{Origin, Problem, Problems},
};

/// All settings, one field for each section of `config/default.toml`.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub upstream: Upstream,
    pub compression: Compression,
    pub cache: Cache,
    pub dedup: Dedup,
    pub breaker: Breaker,
    pub retry: Retry,
    pub max_tokens: MaxTokens,
    /// What `/create` asks for.
    pub create: Dialect,
    /// What `/create/chat` asks for.
    pub chat: Dialect,
    pub batch: Batch,
    pub auth: Auth,
    pub log: Log,
    pub metering: Metering,
    pub telemetry: Telemetry,
    pub ledger: Ledger,
    pub tuning: Tuning,
    pub prefetch: Prefetch,
    /// A simulated model answers.
    pub is_demo: bool,
}

/// The side that clients see.
#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    pub max_body_bytes: usize,
    pub max_connections: usize,
    /// Zero: no limit of its own.
    pub max_connections_per_ip: usize,
    pub header_read_timeout: Duration,
    pub body_read_timeout: Duration,
    pub write_timeout: Duration,
    pub max_in_flight: usize,
    /// May be zero: nothing is waited for.
    pub shutdown_grace: Duration,
    /// Origins as browsers send them.
    pub cors_origins: Vec<HeaderValue>,
}

/// The API that is called, and the limits on calling it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// http or https, without a trailing slash, query, fragment or user name.
    pub base_url: String,
    /// None: the client's own Authorization is forwarded.
    pub api_key: Option<SecretString>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub total_timeout: Duration,
    pub max_connections: usize,
    pub max_connections_per_host: usize,
    pub idle_timeout: Duration,
    /// How long connections are used before others are opened.
    pub max_connection_age: Duration,
    /// From the head to the last byte.
    pub max_stream_duration: Duration,
    pub http2: bool,
    pub max_response_bytes: usize,
    pub prompt_cache: PromptCache,
    /// Names allowed beside the built-in list.
    pub forward_headers: Vec<HeaderName>,
}

/// How prompts are shortened.
#[derive(Clone, Debug)]
pub struct Compression {
    pub level: Level,
    /// Endpoints with a level of their own.
    pub routes: Vec<(Route, Level)>,
    /// Whose text is shortened, and at which level if not at that of the request.
    pub roles: Vec<(Role, Option<Level>)>,
    pub deny: RuleSet,
    pub learning: Learning,
}

/// How answers are kept.
#[derive(Clone, Debug)]
pub struct Cache {
    pub enabled: bool,
    pub ttl: Duration,
    /// Endpoints whose answers are fresh for another time; zero: they are neither kept nor given.
    pub routes: Vec<(Route, Duration)>,
    /// The kinds of answers that are kept.
    pub admit: Admit,
    /// Requests above it bypass the cache.
    pub max_temperature: Option<f64>,
    pub max_entries: u64,
    pub max_bytes: u64,
    pub eviction: Eviction,
    pub sweep_interval: Duration,
    /// May be zero: no stale answers.
    pub stale_if_error: Duration,
    pub scope: CacheScope,
    /// May be zero: no answers past their life while the upstream is well.
    pub stale_while_revalidate: Duration,
    /// At least 1.
    pub variants: u32,
    pub snapshot: Option<PathBuf>,
    pub redis: Option<Redis>,
}

impl Cache {
    /// How long an answer is of any use: fresh, given while a new one is brought, or standing in for a failure.
    pub fn life(&self) -> Duration {
        let stale = self.stale_if_error.max(self.stale_while_revalidate);
        self.longest_ttl().saturating_add(stale)
    }
}

/// A second tier that many instances share.
#[derive(Clone)]
pub struct Redis {
    pub address: Address,
    /// Letters, digits and `.`, `-`, `_`.
    pub namespace: String,
    pub timeout: Duration,
}

impl fmt::Debug for Redis {
    /// The address can hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Which cached answers go first when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The least recently used.
    Lru,
    /// Those that save the fewest tokens for their room.
    Value,
}

/// Who shares cached answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Callers with the same Authorization.
    Credential,
    /// All callers.
    Global,
}

/// Whether identical requests in flight share a call.
#[derive(Clone, Debug)]
pub struct Dedup {
    pub enabled: bool,
    /// Of no effect without `enabled` and Redis.
    pub across_instances: bool,
}

/// When calls to a failing upstream stop.
#[derive(Clone, Debug)]
pub struct Breaker {
    pub enabled: bool,
    pub failure_threshold: u32,
    pub open_for: Duration,
    pub half_open_probes: u32,
}

/// How failed attempts are repeated.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The first included.
    pub max_attempts: u32,
    /// Never more than `max_delay`; may be zero.
    pub base_delay: Duration,
    pub max_delay: Duration,
    /// Retries as a share of calls, from 0 to 1.
    pub budget: f64,
}

/// Answer limits in tokens, by the length of the prompt.
#[derive(Clone, Debug)]
pub struct MaxTokens {
    pub simple: u32,
    pub medium: u32,
    pub complex: u32,
}

/// What a `/create` route asks for where its client does not say.
#[derive(Clone, Debug)]
pub struct Dialect {
    pub model: String,
    /// Empty: none is sent.
    pub system_prompt: String,
    pub temperature: f64,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
    pub max_prompt_chars: usize,
}

/// Who may call.
#[derive(Clone, Debug)]
pub struct Auth {
    pub client_tokens: Vec<SecretString>,
    /// Who has a name and limits. Neither these nor `client_tokens`: no token is asked for.
    pub clients: Vec<Client>,
    pub admin_token: Option<SecretString>,
    pub allow_anonymous: bool,
}

/// A client with a token and limits of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// As the log shows it.
    pub name: Box<str>,
    /// The SHA-256 of its bearer token.
    pub token_sha256: [u8; 32],
    /// The size of a bucket of requests that fills evenly within a minute; none: no limit.
    pub requests_per_minute: Option<u32>,
    /// Requests worked on at once; none: no limit of its own.
    pub max_in_flight: Option<u32>,
    /// What its calls may cost in a day, in nano-dollars; none: no limit.
    pub budget_usd_per_day: Option<u64>,
    /// The same in a month.
    pub budget_usd_per_month: Option<u64>,
}

impl fmt::Debug for Client {
    /// Whoever has the digest can try tokens at home.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .field("requests_per_minute", &self.requests_per_minute)
            .field("max_in_flight", &self.max_in_flight)
            .field("budget_usd_per_day", &self.budget_usd_per_day)
            .field("budget_usd_per_month", &self.budget_usd_per_month)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// What stands for a token wherever tokens are compared.
    pub fn digest(token: impl AsRef<[u8]>) -> [u8; 32] {
        Sha256::digest(token).into()
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// A valid `EnvFilter`.
    pub level: String,
    pub format: LogFormat,
    /// How often a line sums up what happened; zero: never.
    pub summary_interval: Duration,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What calls cost.
#[derive(Clone, Debug)]
pub struct Metering {
    pub prices: PriceTable,
    /// Whether streams are asked for their usage where their clients do not.
    pub stream_usage: bool,
    /// Whether a prompt is refused that is surely longer than its model reads.
    pub refuse_overflow: bool,
    /// Whether the upstream is asked for its prices.
    pub fetch_prices: bool,
}

/// Where traces go.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// The URL that spans are posted to; none: there are no traces.
    pub endpoint: Option<String>,
    pub service_name: String,
    /// From 0 to 1.
    pub sample_ratio: f64,
    /// Names and values of headers for the collector; the values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Where requests are kept when they are over.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// None: they are not.
    pub place: Option<Place>,
    /// How long the requests themselves are kept; their sums by hour stay.
    pub retention: Duration,
}

/// A valid configuration, and the same for people.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// TOML with secrets masked; comments tell where what is not a default came from.
    pub effective: String,
}

impl Config {
    /// Reads all sources, the command line above the environment above the file above the defaults.
    ///
    /// Fails with everything that is wrong.
    pub fn load(
        options: &Overrides,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Problems> {
        let mut layers = Layers::new();
        if let Some(path) = &options.config {
            layers.file(path);
        }
        layers.environment(environment);
        layers.command_line(options);
        let mut loaded = Self::finish(layers)?;
        if options.demo {
            loaded.config.is_demo = true;
            // What was simulated does not belong among what was paid for.
            loaded.config.ledger.place = loaded.config.ledger.place.and(Some(Place::Memory));
            let note = "# --demo: a simulated model answers; [upstream] base_url and api_key are not used.";
            loaded.effective.insert_str(0, &format!("{note}\n\n"));
        }
        Ok(loaded)
    }

    /// The address to listen on, whatever else is wrong with the settings: enough to ask whether somebody does.
    pub fn listen_address(
        options: &Overrides,
        environment: impl Iterator<Item = (String, String)>,
    ) -> SocketAddr {
        let mut layers = Layers::new();
        if let Some(path) = &options.config {
            layers.file(path);
        }
        layers.environment(environment);
        layers.command_line(options);
        Self::read(&mut Reader::new(layers)).server.listen
    }

    /// Reads TOML over the defaults, without environment or command line.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        let mut layers = Layers::new();
        layers.toml(text, &Origin::File(PathBuf::from("(text)")));
        Self::finish(layers).map(|loaded| loaded.config)
    }

    fn finish(layers: Layers) -> Result<Loaded, Problems> {
        let mut reader = Reader::new(layers);
        let config = Self::read(&mut reader);
        let effective = reader.finish()?;
        Ok(Loaded { config, effective })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_toml("").expect("the built-in defaults are accepted")
    }
}

/// The variables of this process that can be settings.
///
/// Text that is not Unicode is replaced, so that it is refused by name instead of being passed over.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| {
            name.starts_with("PEGASUS_")
                || ["PORT", "OPENROUTER_API_KEY", "OPENAI_API_KEY"].contains(&name.as_str())
        })
}
