//! One connection to Redis: to a server, over TLS, or to a cluster.
//!
//! The crate's own reconnecting is not used: with the server gone each command would wait out its tries (1.15 s),
//! and an idle subscriber whose tries ran out stays deaf for ever. Here a link that fails is thrown away, and the
//! one task that watches over the tier makes the next one.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, Value,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;

/// Where Redis is: one server, or some nodes of a cluster.
#[derive(Clone)]
pub struct Address {
    nodes: Vec<ConnectionInfo>,
}

/// The connections in use: one for questions that a request waits for, and one for what is written behind them, so
/// that a long answer on its way in holds up no look-up.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) asks: Link,
    pub(super) writes: Link,
}

/// A connection. Cheap to clone; all clones share one socket (in a cluster: one to each node).
#[derive(Clone)]
pub(super) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// What a link tells on its own.
pub(super) enum Push {
    /// A message on the channel.
    Message(Vec<u8>),
    /// A socket is gone.
    Disconnected,
}

/// More unread messages than this and the rest are dropped: what they say is found out by asking as well.
const UNREAD: usize = 4_096;

impl Address {
    /// Reads `cache.redis_url`: one URL, or several nodes of one cluster with commas between them. The error says
    /// what is accepted and holds nothing of the text, which can hold a password.
    pub(crate) fn parse(text: &SecretString) -> Result<Self, String> {
        let read = |url: &str| {
            if url.trim().ends_with("#insecure") {
                let accepted = "expected a URL without #insecure: certificates are always checked";
                return Err(accepted.to_owned());
            }
            let info = url.trim().into_connection_info().map_err(|_| {
                "expected a URL such as \"redis://127.0.0.1:6379\", \"rediss://user:password@host:6379/0\" (TLS) or \
                 \"redis+unix:///run/redis.sock\", or several nodes of a cluster with commas between them"
                    .to_owned()
            })?;
            // Messages arrive on the connection of the commands, which RESP2 cannot do.
            let settings = info.redis_settings().clone();
            Ok(info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3)))
        };
        let nodes = text.expose_secret().split(',').map(read);
        Ok(Self {
            nodes: nodes.collect::<Result<_, String>>()?,
        })
    }

    /// Connects and subscribes. One address that turns out to belong to a cluster leads to all of it.
    pub(super) async fn connect(
        &self,
        channel: &str,
    ) -> RedisResult<(Links, mpsc::Receiver<Push>)> {
        let (sender, pushes) = mpsc::channel(UNREAD);
        let forward = move |info: PushInfo| {
            let push = match info.kind {
                PushKind::Disconnection => Push::Disconnected,
                PushKind::Message => match info.data.into_iter().nth(1) {
                    Some(Value::BulkString(payload)) => Push::Message(payload),
                    _ => return Ok(()),
                },
                _ => return Ok(()),
            };
            match sender.try_send(push) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(redis::aio::SendError),
            }
        };
        if let [node] = &self.nodes[..] {
            // Timeouts are the caller's: one around all of this, and one around each command.
            let config = || {
                AsyncConnectionConfig::new()
                    .set_connection_timeout(None)
                    .set_response_timeout(None)
            };
            let client = Client::open(node.clone())?;
            let subscribed = config().set_push_sender(forward.clone());
            let mut server = client
                .get_multiplexed_async_connection_with_config(&subscribed)
                .await?;
            let info: RedisResult<String> = redis::cmd("INFO")
                .arg("server")
                .query_async(&mut server)
                .await;
            let info = match info {
                // Not permitted: then it is taken for what its address says.
                Err(error) if is_refusal(&error) => String::new(),
                info => info?,
            };
            if !info.lines().any(|line| line.trim() == "redis_mode:cluster") {
                server.subscribe(channel).await?;
                let writes = client
                    .get_multiplexed_async_connection_with_config(&config())
                    .await?;
                let links = Links {
                    asks: Link::Server(server),
                    writes: Link::Server(writes),
                };
                return Ok((links, pushes));
            }
        }
        let builder = || {
            ClusterClientBuilder::new(self.nodes.clone())
                .use_protocol(ProtocolVersion::RESP3)
                .retries(1)
                .overall_response_timeout(None)
        };
        let client = builder().push_sender(forward).build()?;
        let mut cluster = client.get_async_connection().await?;
        cluster.subscribe(channel).await?;
        let writes = builder().build()?;
        let links = Links {
            asks: Link::Cluster(cluster),
            writes: Link::Cluster(writes.get_async_connection().await?),
        };
        Ok((links, pushes))
    }
}

impl Link {
    /// What takes commands for all that a scan of the keys must visit: the masters of a cluster, or the one server.
    pub(super) async fn masters(&mut self) -> RedisResult<Vec<Option<(String, u16)>>> {
        let Self::Cluster(cluster) = self else {
            return Ok(vec![None]);
        };
        let slots = cluster
            .route_command(
                redis::cmd("CLUSTER").arg("SLOTS").clone(),
                RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random),
            )
            .await?;
        // Each range: first slot, last slot, its master (host, port, id …), its replicas.
        let ranges: Vec<Vec<Value>> = redis::from_redis_value(slots.extract_error()?)?;
        let mut masters = Vec::new();
        for range in ranges {
            let Some(master) = range.into_iter().nth(2) else {
                continue;
            };
            let master: Vec<Value> = redis::from_redis_value(master)?;
            let [host, port, ..] = &master[..] else {
                continue;
            };
            let node = Some((
                redis::from_redis_value(host.clone())?,
                redis::from_redis_value(port.clone())?,
            ));
            if !masters.contains(&node) {
                masters.push(node);
            }
        }
        Ok(masters)
    }

    /// Sends a command to one of [`Link::masters`].
    pub(super) async fn ask(
        &mut self,
        master: Option<&(String, u16)>,
        command: &Cmd,
    ) -> RedisResult<Value> {
        let answer = match (self, master) {
            (Self::Cluster(cluster), Some((host, port))) => {
                let node = SingleNodeRoutingInfo::ByAddress {
                    host: host.clone(),
                    port: *port,
                };
                cluster
                    .route_command(command.clone(), RoutingInfo::SingleNode(node))
                    .await
            }
            (link, _) => link.req_packed_command(command).await,
        };
        // A refusal comes as a value here.
        answer.and_then(Value::extract_error)
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(link) => link.req_packed_command(command),
            Self::Cluster(link) => link.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(link) => link.req_packed_commands(pipeline, offset, count),
            Self::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

/// Whether the server is well and only this command was refused, for its memory being full, a key of another type or
/// a missing permission. Everything else, a replica that takes no writes included, ends the link.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::ClusterDown
        ),
        // Codes that the crate has no name for: OOM and WRONGTYPE above all.
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_and_bad_ones_are_not_repeated() {
        for text in [
            "redis://127.0.0.1:6379",
            "rediss://user:secret@cache.example.com:6380/2",
            "redis+unix:///run/redis.sock",
            "redis://a:1, redis://b:2",
        ] {
            assert!(Address::parse(&text.into()).is_ok(), "{text}");
        }
        for text in ["", "127.0.0.1:6379", "http://secret@x", "redis://a:1,"] {
            let error = Address::parse(&text.into()).err().unwrap();
            assert!(
                error.contains("rediss://") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
