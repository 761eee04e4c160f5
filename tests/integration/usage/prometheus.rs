//! `/metrics` as a real Prometheus reads it, and each query of `config/grafana-dashboard.json` and `config/alerts.yml`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::{NamedTempFile, TempDir};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::*;
use crate::process::{Process, config_file};
use crate::support::{Client, RedisServer};

/// Requests of a round of [`Site::bustle`].
const ROUND: usize = 8;

fn file(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), path].iter().collect()
}

/// The binary with all that has metrics: a Redis, prices, an upstream some of whose models fail.
struct Site {
    process: Process,
    client: Client,
    rounds: usize,
    _upstream: Upstream,
    _redis: RedisServer,
    _prices: NamedTempFile,
}

impl Site {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        upstream.script(|request| match request.json()["model"].as_str() {
            Some("fails") => Act::error(500, &[]),
            _ => counted(request),
        });
        let redis = RedisServer::start().await;
        let prices = config_file(
            "[models.a]\ninput = 1.0\noutput = 2.0\ncached_input = 0.25\ncontext_window = 100000\n",
        );
        let path = prices.path().to_str().unwrap();
        let settings = format!(
            "{}[upstream]\nbase_url = \"http://{}/v1\"\n[metering]\nprices_file = {path:?}\n\
             [retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n[breaker]\nfailure_threshold = 2\nopen_for = \"1h\"\n",
            redis.setting(),
            upstream.address
        );
        let process = Process::start(&settings, &[], &[]).await;
        Self {
            client: Client::new(process.address()),
            process,
            rounds: 0,
            _upstream: upstream,
            _redis: redis,
            _prices: prices,
        }
    }

    /// A few requests of each kind: [`ROUND`] that are counted.
    async fn bustle(&mut self) {
        self.rounds += 1;
        let number = self.rounds;
        let question = |counts: &str| asking("a", &format!("{number}|{counts}"));
        for expected in ["MISS", "HIT"] {
            let answer = self.client.chat(&question("100,10,20")).await;
            assert_eq!(answer.header("x-cache"), expected, "{answer:?}");
        }
        let mut stream = question("50,5,0");
        stream["stream"] = true.into();
        let events = self.client.stream(&stream).await;
        assert_eq!(events.all().await.last().unwrap(), "[DONE]");
        let past = [("cache-control", "no-store")];
        let answer = self.client.chat_with(&question("9,1,0"), &past).await;
        assert_eq!(answer.status, 200);
        // What a tool said, with blanks that nobody needs.
        let rows: Vec<_> = (0..40)
            .map(|row| json!({"row": row, "of": number}))
            .collect();
        let said = serde_json::to_string_pretty(&rows).unwrap();
        let mut long = question("900,10,0");
        long["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "rows", "arguments": "{}"}}]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": said}),
        ]);
        assert_eq!(self.client.chat(&long).await.status, 200);
        for question in ["x", "y"] {
            let failing = asking("fails", &format!("{question}{number}"));
            assert!(self.client.chat(&failing).await.status >= 500);
        }
        let answer = self.client.chat(&json!({"model": 1})).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }

    async fn metrics(&self) -> String {
        let answer = self.client.get("/metrics").await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    }
}

/// A Prometheus that reads `/metrics` of one process, five times a second, and has our alerts. It is killed when dropped.
struct Prometheus {
    client: Client,
    _child: Child,
    _directory: TempDir,
}

impl Prometheus {
    async fn reading(target: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("prometheus.yml");
        let settings = json!({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [file("config/alerts.yml")],
            "scrape_configs": [{
                "job_name": "pegasus-nest",
                "static_configs": [{"targets": [target.to_string()]}],
            }],
        });
        // JSON is YAML.
        fs::write(&config, settings.to_string()).unwrap();
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let mut child = Command::new("prometheus")
            .args([
                option("config.file", config.to_str().unwrap()),
                option("storage.tsdb.path", directory.path().to_str().unwrap()),
                option("web.listen-address", "127.0.0.1:0"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is needed: apt-get install prometheus");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = None;
        within("prometheus", async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once("msg=\"Listening on\" address=") {
                    address = rest.trim().parse().ok();
                }
                if line.contains("ready to receive web requests") {
                    return;
                }
            }
            panic!("prometheus ended");
        })
        .await;
        // Nobody may ever block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            client: Client::new(address.expect("prometheus says where it listens")),
            _child: child,
            _directory: directory,
        }
    }

    async fn data(&self, path: &str) -> Value {
        let answer = self.client.get(path).await.json();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The values of a query, one for each series.
    async fn ask(&self, query: &str) -> Vec<f64> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let data = self.data(&format!("/api/v1/query?query={query}")).await;
        let series = data["result"].as_array().unwrap();
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        series.iter().map(value).collect()
    }

    /// Waits until each query has a series with a number.
    async fn wait_for_all(&self, mut queries: Vec<String>) {
        let answered = async {
            while let Some(query) = queries.last() {
                if self.ask(query).await.iter().any(|value| !value.is_nan()) {
                    queries.pop();
                }
            }
        };
        let all = tokio::time::timeout(crate::support::patience(), answered).await;
        assert!(all.is_ok(), "no series: {:?}", queries.last());
    }

    /// Waits until it has read so many requests.
    async fn wait_for(&self, requests: usize) {
        within("the scrape", async {
            loop {
                let sums = self.ask("sum(pegasus_nest_requests_total)").await;
                #[expect(clippy::cast_precision_loss, reason = "a few requests")]
                if sums == [requests as f64] {
                    return;
                }
            }
        })
        .await;
    }

    /// Our alerts, once all of them have been evaluated.
    async fn alerts(&self) -> Vec<Value> {
        within("the evaluation of all alerts", async {
            loop {
                let rules = self.data("/api/v1/rules").await["groups"][0]["rules"].clone();
                let rules = rules.as_array().unwrap().clone();
                assert!(
                    rules.iter().all(|rule| rule["health"] != "err"),
                    "{rules:?}"
                );
                if rules.iter().all(|rule| rule["health"] == "ok") {
                    return rules;
                }
            }
        })
        .await
    }
}

/// Runs promtool; gives what it says, on both ways.
async fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("promtool is needed: apt-get install prometheus");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = within("promtool", child.wait_with_output()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The queries of the dashboard as Grafana would send them.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    targets
        .flatten()
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            query
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1h")
                .replace("$instance", ".*")
        })
        .collect()
}

fn dashboard() -> Value {
    let text = fs::read_to_string(file("config/grafana-dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics() {
    let mut site = Site::start().await;
    for _ in 0..2 {
        // Before anything has happened, and after all of it.
        let text = site.metrics().await;
        let checked = promtool(&["check", "metrics"], &text).await;
        assert_eq!(checked, (true, String::new()));
        site.bustle().await;
    }
    let text = site.metrics().await;
    for line in [
        "pegasus_nest_redis_up 1\n",
        "pegasus_nest_responses_total{code=\"200\",error=\"\"} 10\n",
        "pegasus_nest_breaker_state{model=\"fails\",state=\"open\"} 1\n",
        "pegasus_nest_breaker_circuits{state=\"open\"} 1\n",
        "pegasus_nest_upstream_sockets{state=\"in_use\"} 0\n",
        "pegasus_nest_upstream_sockets_limit 100\n",
        "pegasus_nest_upstream_waiting_calls 0\n",
        "pegasus_nest_cached_tokens_total{model=\"a\"} 40\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let (_, saved) = text
        .split_once("rule=\"json-space\",kind=\"json\"} ")
        .unwrap();
    let (saved, _) = saved.split_once('\n').unwrap();
    assert!(saved.parse::<u64>().unwrap() > 0, "{saved}");
}

#[tokio::test]
async fn promtool_finds_the_alerts_right_and_going_off_when_they_should() {
    let rules = file("config/alerts.yml");
    let (is_right, said) = promtool(&["check", "rules", rules.to_str().unwrap()], "").await;
    assert!(is_right, "{said}");
    let tests = file("tests/integration/usage/alerts.yml");
    let (is_right, said) = promtool(&["test", "rules", tests.to_str().unwrap()], "").await;
    assert!(is_right, "{said}");
}

/// Each query returns what it is about, and the alerts see what is wrong.
#[tokio::test]
async fn a_prometheus_answers_each_query_of_dashboard_and_alerts() {
    let mut site = Site::start().await;
    let prometheus = Prometheus::reading(site.process.address()).await;
    prometheus.wait_for_all(vec!["up == 1".to_owned()]).await;
    // What grows is seen to grow: a series that a round begins, as that of an open circuit's errors, by the next one.
    for _ in 0..3 {
        site.bustle().await;
        prometheus.wait_for(site.rounds * ROUND).await;
    }

    let queries = queries(&dashboard());
    assert!(queries.len() > 50, "{queries:?}");
    prometheus.wait_for_all(queries).await;

    let alerts = prometheus.alerts().await;
    assert!(alerts.len() > 10, "{alerts:?}");
    // Whatever is compared has to be there, whichever way the comparison goes.
    let compared = alerts.iter().map(|alert| {
        let query = alert["query"].as_str().unwrap();
        query
            .replace(" > ", " > bool ")
            .replace(" == ", " == bool ")
            .replace("absent(", "(")
            .replace("[1d:10m] offset 1h", "[1m:1s]")
    });
    prometheus.wait_for_all(compared.collect()).await;
    for expected in [
        "PegasusNestBreakerOpen",
        "PegasusNestErrors",
        "PegasusNestUpstreamFails",
    ] {
        within(expected, async {
            loop {
                let alerts = prometheus.alerts().await;
                let alert = alerts.iter().find(|alert| alert["name"] == expected);
                if alert.unwrap()["state"] != "inactive" {
                    return;
                }
            }
        })
        .await;
    }
}

#[test]
fn the_panels_of_the_dashboard_do_not_lie_upon_each_other() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
    let mut taken = BTreeMap::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| of(panel, key));
        assert!(x + w <= 24, "{panel}");
        for at in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            let other = taken.insert(at, &panel["title"]);
            assert_eq!(other, None, "{panel}");
        }
    }
    let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
}
