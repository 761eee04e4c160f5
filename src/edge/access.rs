//! One log line for each request, written when its response has ended or its client has gone.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::field::display;

use super::dialect::{Dialect, Failed};
use super::outgoing::Answer;
use super::page;
use crate::error::ProxyError;
use crate::metering::account::{Account, Row, Who};
use crate::reply::Provenance;
use crate::request::Route;
use crate::stack::Stack;
use crate::telemetry::{Span, Trace};

mod served;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const BUDGET: HeaderName = HeaderName::from_static("x-pegasus-budget");
/// Paths and model names come from clients; of their length no log line should be.
const MAX_LOGGED_CHARS: usize = 120;

/// What handlers know of the request beside its content. Cheap to clone.
#[derive(Clone)]
pub(super) struct Context {
    story: Arc<Story>,
}

struct Story {
    id: HeaderValue,
    begun: Instant,
    method: Method,
    /// As much of it as a line may hold. A copy, as the id is: parts of the head would keep all of the buffer that
    /// it was read into, for as long as a stream lasts.
    path: Box<str>,
    dialect: Dialect,
    notes: Mutex<Notes>,
    account: Arc<Account>,
    trace: Option<Trace>,
    /// Whether it is one of the requests in a batch.
    is_part: bool,
}

/// What becomes known on the way, for the log.
#[derive(Default)]
struct Notes {
    client: Option<Arc<str>>,
    model: Option<Arc<str>>,
    cache: Option<&'static str>,
    tokens_saved: Option<u64>,
    error: Option<(&'static str, String)>,
}

/// The log line in the making; written when dropped, whatever ended the request.
pub(super) struct Line {
    context: Context,
    status: Option<u16>,
    complete: bool,
    span: Option<Span>,
}

/// Whether nobody looks for requests to this path: health checks, scrapes, and the page's files, twenty at once.
fn is_routine(path: &str) -> bool {
    path.starts_with("/health") || path == "/metrics" || path.starts_with(page::ASSETS)
}

/// Says of a response that it is what it says it is, and of the proxy's own words that nobody keeps them.
fn label(headers: &mut HeaderMap, is_ours: bool) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if is_ours && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The client's id where it is fit for a log and a header, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_fit = |id: &&HeaderValue| {
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let own = headers.get(REQUEST_ID).filter(is_fit);
    own.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok())
        .unwrap_or_else(new_id)
}

/// Milliseconds since 1970, as people's clocks have it.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

fn new_account(stack: &Stack) -> Arc<Account> {
    match &stack.books {
        Some(books) => Account::open(books.clone(), Row::default()),
        None => Arc::default(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn new_id() -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    let id = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    // The digits and hyphens of an id are always fit for a header.
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("-"))
}

/// As much of a text as a line in the log may hold.
fn shorten(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_LOGGED_CHARS);
    end.map_or(text, |(end, _)| &text[..end])
}

// === impl Context ===

impl Context {
    /// The request's id: the client's own, or a new one.
    pub(super) fn id(&self) -> &str {
        self.story.id.to_str().unwrap_or_default()
    }

    /// When the request's head had been read.
    pub(super) fn begun(&self) -> Instant {
        self.story.begun
    }

    /// What the request runs up.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.story.account
    }

    /// Where the request is in its trace, if it is in one.
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.story.trace.as_ref()
    }

    /// From now on the request is one for the books.
    pub(super) fn open_account(&self, route: Route, who: Who) {
        self.account().note(|row| {
            row.at = now();
            row.id = self.id().into();
            row.endpoint = Some(route);
            row.who = who;
        });
    }

    /// The request is none for the books after all: those that came in it are.
    pub(super) fn close_account(&self) {
        self.account().note(|row| row.endpoint = None);
    }

    /// Notes whom the client attributes the request to.
    pub(super) fn note_user(&self, user: Option<&Arc<str>>) {
        if let Some(user) = user {
            self.account().note(|row| row.user = Some(Arc::clone(user)));
        }
    }

    /// Notes by which name the caller is known.
    pub(super) fn note_client(&self, name: &Arc<str>) {
        self.story.notes.lock().client = Some(Arc::clone(name));
    }

    /// Notes which model is asked, whatever becomes of it.
    pub(super) fn note_model(&self, model: Option<Arc<str>>) {
        self.account().note(|row| row.model = model);
    }

    /// Notes what the log should say of a reply, and how long its head, which is there `now`, took without the upstream's
    /// share.
    pub(super) fn note_reply(
        &self,
        model: Option<Arc<str>>,
        provenance: Provenance,
        upstream: Duration,
        now: Instant,
    ) {
        let took = now.saturating_duration_since(self.begun());
        self.account().note(|row| {
            row.model.clone_from(&model);
            row.source = provenance.into();
            row.took.upstream = micros(upstream);
            row.took.added = micros(took.saturating_sub(upstream));
        });
        let mut notes = self.story.notes.lock();
        notes.model = model;
        notes.cache = Some(provenance.x_cache());
    }

    /// Notes that the first event of a stream is on its way.
    pub(super) fn note_first_token(&self) {
        let after = micros(self.begun().elapsed());
        self.account()
            .note(|row| _ = row.took.first_token.get_or_insert(after));
    }

    /// Notes what an answer saved.
    pub(super) fn note_saved(&self, tokens: u64) {
        self.story.notes.lock().tokens_saved = Some(tokens);
    }

    /// Notes an error, also one that ends a stream whose status was fine.
    pub(super) fn note_error(&self, error: &ProxyError) {
        self.story.notes.lock().error = Some((error.code(), error.log_detail()));
    }
}

// === impl Line ===

impl Line {
    /// Begins the line of a request whose head has been read.
    pub(super) fn begin<B>(request: &Request<B>, stack: &Stack) -> Self {
        let id = request_id(request.headers());
        let begun = Instant::now();
        let path = request.uri().path();
        let telemetry = stack.telemetry.as_ref().filter(|_| !is_routine(path));
        let span = telemetry.map(|telemetry| telemetry.serve(request.headers(), begun));
        let story = Story {
            id,
            account: new_account(stack),
            begun,
            method: request.method().clone(),
            path: shorten(path).into(),
            dialect: Dialect::of(path),
            notes: Mutex::default(),
            trace: span.as_ref().map(|span| span.here().clone()),
            is_part: false,
        };
        Self {
            // The answer to HEAD has no body that could be cut.
            complete: story.method == Method::HEAD,
            context: Context {
                story: Arc::new(story),
            },
            status: None,
            span,
        }
    }

    /// Begins the line of one of the requests in a batch: its id is that of the batch and its place in it.
    pub(super) fn of_part(batch: &Context, index: usize, stack: &Stack) -> Self {
        let begun = Instant::now();
        let whole = &*batch.story;
        let trace = whole.trace.as_ref();
        let span = trace.and_then(|trace| trace.begin_at("batch.request", begun));
        let here = span.as_ref().map(|span| span.here().clone());
        let id = HeaderValue::try_from(format!("{}-{index}", batch.id()));
        let story = Story {
            // An id and a number are as fit for a header as the id was.
            id: id.unwrap_or_else(|_| new_id()),
            account: new_account(stack),
            begun,
            method: whole.method.clone(),
            path: whole.path.clone(),
            dialect: whole.dialect,
            notes: Mutex::default(),
            trace: here.or_else(|| trace.cloned()),
            is_part: true,
        };
        Self {
            complete: false,
            context: Context {
                story: Arc::new(story),
            },
            status: None,
            span,
        }
    }

    /// One of the requests in a batch has its answer, with this status.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
        self.complete = true;
    }

    /// What handlers know of the request.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// All of the response's body has been handed to the connection.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// Gives the response its id and, if it is an error, its body; the line is written when that has ended.
    pub(super) fn finish(mut self, mut response: Answer) -> Answer {
        let dialect = self.context.story.dialect;
        let failed = response.extensions_mut().remove::<Failed>();
        let is_ours = failed.is_some() || dialect == Dialect::Native;
        if let Some(failed) = failed {
            self.context.note_error(&failed.error);
            failed.render(dialect, &mut response, self.context.id());
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.context.story.id.clone());
        label(headers, is_ours);
        // Whatever stands there is about a budget that an upstream has for us.
        headers.remove(BUDGET);
        let budget = self.context.account().budget();
        let standing = budget.and_then(|budget| budget.standing());
        if let Some(Ok(standing)) = standing.map(HeaderValue::try_from) {
            headers.insert(BUDGET, standing);
        }
        self.status = Some(response.status().as_u16());
        response.map(|body| body.told_by(self))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self {
            context,
            status,
            complete,
            span,
        } = self;
        let story = &*context.story;
        let notes = story.notes.lock();
        let total = story.begun.elapsed();
        let ms = total.as_secs_f64() * 1_000.0;
        let ms = (ms * 1_000.0).round() / 1_000.0;
        let (error, detail) = match &notes.error {
            Some((code, detail)) => (Some(*code), Some(detail.as_str())),
            None => (None, None),
        };
        let (method, id) = (shorten(story.method.as_str()), context.id());
        let path = &*story.path;
        let (cache, tokens_saved) = (notes.cache, notes.tokens_saved);
        let model = notes.model.as_deref().map(shorten);
        let client = notes.client.as_deref();
        // What broke off here or upstream was not broken off by its client.
        let is_aborted = !*complete && error.is_none();
        let aborted = is_aborted.then_some(true);
        let trace_id = story.trace.as_ref().map(|trace| display(trace.id()));
        // The level of an event is part of its static description, hence a macro.
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    method,
                    path,
                    status,
                    client,
                    cache,
                    ms,
                    model,
                    tokens_saved,
                    error,
                    detail,
                    aborted,
                    id,
                    trace_id,
                    "request"
                )
            };
        }
        story.account.note(|row| {
            row.status = status.unwrap_or(0);
            row.error = error;
            row.is_aborted = is_aborted;
            row.took.total = micros(total);
        });
        if let Some(span) = span.take() {
            served::tell(&span, story, &notes, *status, !is_aborted);
            span.finish();
        }
        let broken_off = error.is_some() && *status == Some(200);
        if is_routine(path) {
            tell!(debug);
        } else if broken_off || status.is_some_and(|status| status >= 500) {
            tell!(warn);
        } else {
            tell!(info);
        }
    }
}
