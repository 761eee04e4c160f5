//! Reads who may call: tokens, and clients by name with limits of their own.

use secrecy::ExposeSecret;
use toml::{Table, Value};

use super::{MANY, named_twice};
use crate::config::{
    Auth, Client, accept,
    problem::nearest,
    reader::Reader,
    values::{Refusal, masked},
};
use crate::metering::exact_nano_usd;

/// The fields of a client.
const FIELDS: [&str; 6] = [
    "name",
    "token_sha256",
    "requests_per_minute",
    "max_in_flight",
    "budget_usd_per_day",
    "budget_usd_per_month",
];

/// The largest budget, in dollars. Up to here a number of TOML has nine decimals as they were written.
const MAX_BUDGET: u64 = 1_000_000;

impl Auth {
    pub(in crate::config) fn read(reader: &mut Reader) -> Self {
        let auth = Self {
            client_tokens: reader.secrets("auth.client_tokens", accept::token),
            clients: reader.tables("auth.clients", client),
            admin_token: reader.secret("auth.admin_token", accept::token),
            allow_anonymous: reader.flag("auth.allow_anonymous"),
        };
        if reader.can_judge(&["auth.client_tokens", "auth.clients", "auth.admin_token"]) {
            auth.refuse_repeats(reader);
        }
        auth
    }

    /// Whether callers must show a token.
    pub fn asks_for_a_token(&self) -> bool {
        !self.client_tokens.is_empty() || !self.clients.is_empty()
    }

    fn refuse_repeats(&self, reader: &mut Reader) {
        let mut tokens: Vec<&str> = self
            .client_tokens
            .iter()
            .map(ExposeSecret::expose_secret)
            .collect();
        let admin = self.admin_token.as_ref().map(ExposeSecret::expose_secret);
        if admin.is_some_and(|admin| tokens.contains(&admin)) {
            let accepted =
                "expected another token than the clients': whoever holds it is the admin";
            reader.refuse("auth.admin_token", accepted.to_owned());
        }
        if let Some(name) = named_twice(self.clients.iter().map(|client| &*client.name)) {
            let accepted = format!("expected each name once: {name:?} stands there twice");
            reader.refuse("auth.clients", accepted);
        }
        let mut digests: Vec<_> = self.clients.iter().map(|c| c.token_sha256).collect();
        digests.extend(tokens.iter().copied().chain(admin).map(Client::digest));
        digests.sort_unstable();
        tokens.sort_unstable();
        if tokens.windows(2).any(|pair| pair[0] == pair[1]) {
            reader.refuse("auth.client_tokens", "expected each token once".to_owned());
        } else if !self.clients.is_empty() && digests.windows(2).any(|pair| pair[0] == pair[1]) {
            let accepted = "expected each client to have a token of its own, which is neither \
                            in auth.client_tokens nor the admin's";
            reader.refuse("auth.clients", accepted.to_owned());
        }
    }
}

/// One client, or all that is wrong with it.
fn client(table: &Table) -> Result<Client, Vec<Refusal>> {
    let mut refusals = Vec::new();
    // What stands in a field may be the token, by a slip; a number is none.
    let mut refuse = |given: Option<&Value>, accepted: String| {
        let number = given.filter(|given| given.is_integer() || given.is_float());
        let given = Some(number.cloned().unwrap_or_else(masked));
        refusals.push(Refusal { given, accepted });
    };
    let name = table.get("name").and_then(Value::as_str).map(str::trim);
    let name = name.filter(|name| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let whose = name.map_or_else(|| "of a client".to_owned(), |name| format!("of {name:?}"));
    if name.is_none() {
        let accepted = "expected as name of a client 1 to 64 visible ASCII characters without blanks, such as \"web\"";
        refuse(table.get("name"), accepted.to_owned());
    }
    let text = table.get("token_sha256").and_then(Value::as_str);
    let token_sha256 = text.and_then(|text| from_hex(text.trim()));
    if token_sha256.is_none() {
        let accepted = format!(
            "expected as token_sha256 {whose} the SHA-256 of its token, 64 hexadecimal digits (printf %s TOKEN | sha256sum)"
        );
        refuse(None, accepted);
    }
    let mut limit = |field: &str| {
        let given = table.get(field)?;
        let number = given.as_integer().filter(|n| (1..=MANY).contains(n));
        let number = number.and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            let accepted = format!(
                "expected as {field} {whose} a whole number from 1 to {MANY}; none: leave it out"
            );
            refuse(Some(given), accepted);
        }
        number
    };
    let (requests_per_minute, max_in_flight) =
        (limit("requests_per_minute"), limit("max_in_flight"));
    let mut budget = |field: &str| {
        let given = table.get(field)?;
        let amount = dollars(given);
        if amount.is_none() {
            let accepted = format!(
                "expected as {field} {whose} dollars from 0 to {MAX_BUDGET} with at most 9 decimals, such as 12.5; none: \
                 leave it out"
            );
            refuse(Some(given), accepted);
        }
        amount
    };
    let (budget_usd_per_day, budget_usd_per_month) =
        (budget("budget_usd_per_day"), budget("budget_usd_per_month"));
    for field in table.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
        let hint = nearest(field, FIELDS).map_or_else(
            || format!("there are {}", FIELDS.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        refuse(
            None,
            format!("there is no field {field:?} {whose} here; {hint}"),
        );
    }
    match (name, token_sha256) {
        (Some(name), Some(token_sha256)) if refusals.is_empty() => Ok(Client {
            name: name.into(),
            token_sha256,
            requests_per_minute,
            max_in_flight,
            budget_usd_per_day,
            budget_usd_per_month,
        }),
        _ => Err(refusals),
    }
}

/// An amount in nano-dollars.
fn dollars(given: &Value) -> Option<u64> {
    let text = match given {
        Value::Integer(number) => number.to_string(),
        // The shortest text that reads as this number: what was written.
        Value::Float(number) => number.to_string(),
        _ => return None,
    };
    exact_nano_usd(&text).filter(|&amount| amount <= MAX_BUDGET * 1_000_000_000)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}
