//! Who may do what, and whose credential goes where.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::OwnedSemaphorePermit;

use super::access::Context;
use super::quota::Quota;
use crate::config::{CacheScope, Client, Config};
use crate::error::ProxyError;
use crate::fingerprint::Scope;
use crate::metering::account::{Account, Who};
use crate::metering::budget::Budgets;
use crate::request::Route;

/// Checks credentials. Holds digests only, so that a comparison tells nothing by its duration, not even
/// a token's length.
pub(super) struct Guard {
    asks_for_a_token: bool,
    client_tokens: Vec<[u8; 32]>,
    clients: Vec<([u8; 32], Arc<Quota>)>,
    admin_token: Option<[u8; 32]>,
    scope: CacheScope,
}

/// Somebody who may use the proxy.
pub(super) struct Caller {
    /// Who shares cached answers with them.
    pub(super) scope: Scope,
    /// Their own credential for the upstream; never a token of the proxy.
    pub(super) authorization: Option<HeaderValue>,
    /// Their limits, where they have a name.
    pub(super) quota: Option<Arc<Quota>>,
    /// One of the places that these limits give, once taken.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// What pays for the request.
    pub(super) account: Arc<Account>,
    is_admin: bool,
}

// === impl Caller ===

impl Caller {
    /// The same, whose request is from now on one for the books, and paid from their budget.
    pub(super) fn with_account(mut self, context: &Context, route: Route) -> Self {
        context.open_account(route, self.who());
        self.account = Arc::clone(context.account());
        if let Some(quota) = &self.quota {
            context.note_client(quota.name());
            if let Some(budget) = quota.budget() {
                self.account.pay_from(Arc::clone(budget));
            }
        }
        self
    }

    /// The same with another request, which has neither a place nor an account yet.
    pub(super) fn again(&self) -> Self {
        Self {
            scope: self.scope,
            authorization: self.authorization.clone(),
            quota: self.quota.clone(),
            place: None,
            account: Arc::default(),
            is_admin: self.is_admin,
        }
    }

    /// Whose requests these are, for the books.
    pub(super) fn who(&self) -> Who {
        match &self.quota {
            Some(quota) => Who::Named(Arc::clone(quota.name())),
            None => Who::of(self.scope),
        }
    }
}

// === impl Guard ===

impl Guard {
    pub(super) fn new(config: &Config, budgets: &Budgets) -> Self {
        let digest = |token: &SecretString| Client::digest(token.expose_secret());
        let clients = config.auth.clients.iter();
        Self {
            asks_for_a_token: config.auth.asks_for_a_token(),
            client_tokens: config.auth.client_tokens.iter().map(digest).collect(),
            clients: clients
                .map(|client| (client.token_sha256, Arc::new(Quota::new(client, budgets))))
                .collect(),
            admin_token: config.auth.admin_token.as_ref().map(digest),
            scope: config.cache.scope,
        }
    }

    /// Lets a caller in, or says what credential is missing.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, ProxyError> {
        let authorization = headers.get(header::AUTHORIZATION);
        let shown = authorization.and_then(bearer).map(Client::digest);
        let is_admin = matches(shown, self.admin_token.as_slice());
        let quota = self.quota(shown);
        let is_client = matches(shown, &self.client_tokens) || quota.is_some();
        if self.asks_for_a_token && !is_client && !is_admin {
            return Err(unauthorized(if authorization.is_some() {
                "this token is not known here; send Authorization: Bearer with a client token of this proxy"
            } else {
                "this proxy asks for a token: send Authorization: Bearer with a client token of this proxy"
            }));
        }
        let scope = match self.scope {
            CacheScope::Global => Scope::Global,
            CacheScope::Credential => Scope::of(authorization.map(HeaderValue::as_bytes)),
        };
        let is_ours = is_admin || is_client;
        let authorization = authorization
            .filter(|_| !is_ours)
            .cloned()
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        Ok(Caller {
            scope,
            authorization,
            quota,
            place: None,
            account: Arc::default(),
            is_admin,
        })
    }

    /// The limits of the client whose token this is. All tokens are compared, whichever it is.
    fn quota(&self, shown: Option<[u8; 32]>) -> Option<Arc<Quota>> {
        let shown = shown?;
        self.clients.iter().fold(None, |found, (token, quota)| {
            if token.ct_eq(&shown).into() {
                Some(Arc::clone(quota))
            } else {
                found
            }
        })
    }

    /// Lets the operator in: by the admin token where one is set, else from this machine alone. Gives who shares
    /// answers with them.
    pub(super) fn operator(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<Scope, ProxyError> {
        let caller = self.caller(headers)?;
        match self.admin_token {
            Some(_) if caller.is_admin => Ok(caller.scope),
            Some(_) if headers.contains_key(header::AUTHORIZATION) => Err(ProxyError::reject(
                StatusCode::FORBIDDEN,
                "forbidden",
                "this takes the admin token (auth.admin_token), which the token sent is not",
            )),
            Some(_) => Err(unauthorized(
                "this takes the admin token: send Authorization: Bearer with auth.admin_token",
            )),
            None if is_local(headers, peer) => Ok(caller.scope),
            None => Err(ProxyError::reject(
                StatusCode::FORBIDDEN,
                "forbidden",
                "without auth.admin_token this answers the proxy's own machine (loopback) alone",
            )),
        }
    }
}

/// Whether a request comes from this machine, and on nobody else's behalf: a reverse proxy beside us names its
/// client in a header, and a page under a foreign name that resolves to us has that name for Host.
fn is_local(headers: &HeaderMap, peer: Option<SocketAddr>) -> bool {
    let relayed = ["forwarded", "x-forwarded-for", "x-real-ip"];
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
        && !relayed.iter().any(|name| headers.contains_key(*name))
        && headers
            .get(header::HOST)
            .is_none_or(|host| is_address(host.as_bytes()))
}

/// Whether an authority is `localhost` or an IP address: a name that no foreign name server can point here.
pub(super) fn is_address(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else {
        return false;
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok()
}

fn unauthorized(message: &str) -> ProxyError {
    ProxyError::reject(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

/// The token of a `Bearer` credential; the scheme is case-insensitive (RFC 9110 section 11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let bytes = value.as_bytes();
    let (scheme, token) = bytes.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn matches(shown: Option<[u8; 32]>, known: &[[u8; 32]]) -> bool {
    let Some(shown) = shown else { return false };
    known
        .iter()
        .fold(Choice::from(0), |found, token| found | token.ct_eq(&shown))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(toml: &str) -> Guard {
        Guard::new(&Config::from_toml(toml).unwrap(), &Budgets::new(&[]))
    }

    fn show(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, token.parse().unwrap());
        headers
    }

    const LOCAL: Option<SocketAddr> = Some(SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        1,
    ));

    #[test]
    fn a_token_of_the_proxy_opens_it_and_never_leaves_it() {
        let guard = guard("[auth]\nclient_tokens = [\"one\", \"two\"]\nadmin_token = \"boss\"");
        for good in ["Bearer one", "bearer two", "Bearer boss"] {
            assert!(
                guard.caller(&show(good)).unwrap().authorization.is_none(),
                "{good}"
            );
        }
        for bad in ["Bearer", "Bearer ", "Bearer three", "Basic one", "one"] {
            assert_eq!(
                guard.caller(&show(bad)).err().unwrap().status(),
                401,
                "{bad}"
            );
        }
        assert_eq!(guard.caller(&HeaderMap::new()).err().unwrap().status(), 401);
        assert_eq!(
            guard
                .operator(&show("Bearer one"), LOCAL)
                .unwrap_err()
                .status(),
            403
        );
        assert!(guard.operator(&show("Bearer boss"), None).is_ok());
    }

    #[test]
    fn without_tokens_the_clients_credential_goes_up_and_loopback_may_clear() {
        let guard = guard("");
        let caller = guard.caller(&show("Bearer sk-1")).unwrap();
        assert!(caller.authorization.unwrap().is_sensitive());
        assert_ne!(
            caller.scope,
            guard.caller(&show("Bearer sk-2")).unwrap().scope
        );
        assert!(guard.operator(&HeaderMap::new(), LOCAL).is_ok());
        assert!(
            guard
                .operator(&HeaderMap::new(), "[::ffff:127.0.0.1]:5".parse().ok())
                .is_ok()
        );
        assert_eq!(
            guard
                .operator(&HeaderMap::new(), "10.0.0.1:5".parse().ok())
                .unwrap_err()
                .status(),
            403
        );
        for (name, value) in [
            ("x-forwarded-for", "1.2.3.4"),
            ("host", "evil.example:3000"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert!(guard.operator(&headers, LOCAL).is_err(), "{name}");
        }
        for host in ["localhost:3000", "127.0.0.1", "[::1]:3000", "[::1]"] {
            assert!(is_address(host.as_bytes()), "{host}");
        }
        assert_eq!(
            guard
                .operator(&HeaderMap::new(), None)
                .unwrap_err()
                .status(),
            403
        );
    }

    #[test]
    fn only_the_admin_token_set_leaves_the_rest_open_and_keeps_it_here() {
        let guard = guard("[auth]\nadmin_token = \"boss\"");
        assert!(guard.caller(&HeaderMap::new()).is_ok());
        assert!(
            guard
                .caller(&show("Bearer boss"))
                .unwrap()
                .authorization
                .is_none()
        );
        assert_eq!(
            guard
                .operator(&HeaderMap::new(), LOCAL)
                .unwrap_err()
                .status(),
            401
        );
    }
}
