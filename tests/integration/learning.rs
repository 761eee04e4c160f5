//! What compression learns on its own traffic: seen at the upstream, in the files, and through `pegasus-nest rules`.

use std::path::Path;
use std::process::Output;

use pegasus_nest::compressor::{Compressor, Level, Role};
use pegasus_nest::tokens::Vocabulary;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::process::{command, run};
use crate::support::{Act, Proxy, Upstream, patience, within};

/// What an application tells the model in each of its requests: 15 sentences of which much goes without saying.
const SYSTEM: &str = "\
You are a friendly and helpful assistant who works for the customer service of Lindgren Furniture, which is a company that \
sells furniture to people in Sweden, in Norway and in Denmark. It is your task to answer the questions that the customers of \
the company send to us by way of the chat on our website.

When a customer asks you a question about an order, then you should first of all ask the customer for the number of the order \
in the case that the customer has not already given it to you. The number of an order always has 8 digits, and it always \
begins with the letters LF. You must never make a guess about what the number of an order could be.

When a customer wants to return a product, then you should tell the customer that it is possible to return each product within \
30 days after the day on which it was delivered, as long as it has not been used. You must not promise a refund to anybody: \
only the people who work in our returns department can decide whether there will be a refund or not.

Please make sure that each answer that you give is written in the language that the customer has used, that it is polite, and \
that it is not longer than 120 words. In the event that you do not know the answer to a question, you should say that you do \
not know it, and you should give the customer our address, which is service@lindgren.example, so that they can write to us.";

/// The same in fewer words; no number, name or word that binds is gone.
const SHORTER: &str = "\
You answer customers in the website chat of Lindgren Furniture, which sells furniture in Sweden, Norway and Denmark.

Orders: if the customer has not given the order number, first ask for it. It always has 8 digits and always begins with LF. \
Never guess it.

Returns: within 30 days after delivery, if unused. You must not promise a refund: only the returns department can decide.

Answer in the customer's language, politely, in no more than 120 words. If you do not know, say so and give \
service@lindgren.example.";

const QUESTIONS: [&str; 6] = [
    "My oak table arrived with a scratch along one of its legs, and I would rather have another leg than another table. Is \
     that possible, and how long would it take until it is here?",
    "Do you deliver to Tromsø in the week before Christmas, and what does it cost for two armchairs and a lamp?",
    "I ordered a bookcase last Monday and have heard nothing since. Where is it now?",
    "The drawers of our new chest do not close any more since the weather turned damp. What do other people do about it?",
    "Which of your sofas can be taken apart far enough to go up a narrow staircase, and who does that?",
    "Can I still change the colour of the cushions that I ordered yesterday evening?",
];

/// What the rules that everybody has make of an application's words.
fn compressed(system: &str) -> String {
    let compressed = Compressor::new(Level::Balanced).compress(system, Role::System);
    compressed.map_or_else(|| system.to_owned(), |compressed| compressed.text)
}

/// Where a service keeps what it has learned.
struct House {
    directory: TempDir,
    more: &'static str,
}

impl House {
    fn new(more: &'static str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            more,
        }
    }

    fn file(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("rules.toml")
    }

    /// A proxy that learns here, with nothing held out unless it is said.
    async fn proxy(&self, upstream: &Upstream) -> Proxy {
        let (file, more) = (self.file(), self.more);
        let holdout = if more.contains("holdout") {
            ""
        } else {
            "holdout = 0"
        };
        let settings =
            format!("[compression]\nlearn = \"act\"\nrules.file = {file:?}\n{holdout}\n{more}");
        Proxy::start(&settings, upstream).await
    }

    /// Runs `pegasus-nest rules` with these arguments.
    async fn rules(&self, arguments: &[&str], upstream: &str) -> Output {
        let mut command = self.command(arguments, upstream);
        run(&mut command).await
    }

    fn command(&self, arguments: &[&str], upstream: &str) -> tokio::process::Command {
        let all: Vec<_> = ["rules"].iter().chain(arguments).copied().collect();
        let mut command = command(&all);
        command
            .env("PEGASUS_COMPRESSION__LEARN", "act")
            .env("PEGASUS_COMPRESSION__RULES__FILE", self.file())
            .env("PEGASUS_UPSTREAM__BASE_URL", upstream)
            .env("PEGASUS_UPSTREAM__API_KEY", "sk-operator");
        command
    }

    /// The same, which must do; what it prints as JSON.
    async fn told(&self, arguments: &[&str]) -> Value {
        self.told_by(arguments, "http://127.0.0.1:9/v1").await
    }

    async fn told_by(&self, arguments: &[&str], upstream: &str) -> Value {
        let all: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.rules(&all, upstream).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// All that stands in its files.
    fn kept(&self) -> String {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        let read = |file: std::io::Result<std::fs::DirEntry>| {
            String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned()
        };
        files.map(read).collect()
    }
}

/// What went wrong.
fn error(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A request with a price.
fn request(system: &str, question: &str) -> Value {
    json!({"model": "openai/gpt-4o", "messages": [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
    ]})
}

/// So many callers ask all questions.
async fn ask_all(proxy: &Proxy, system: &str, callers: usize) {
    for caller in 0..callers {
        let authorization = format!("Bearer caller-{caller}");
        for question in QUESTIONS {
            let request = request(system, question);
            let answer = proxy
                .chat_with(&request, &[("authorization", &authorization)])
                .await;
            assert_eq!(answer.status, 200);
        }
    }
}

fn tokens(text: &str) -> u32 {
    u32::try_from(Vocabulary::O200k.count(text)).unwrap()
}

/// The tokens of the prompts that came from the n-th on.
fn prompt_tokens(upstream: &Upstream, from: usize) -> u32 {
    let requests = upstream.requests();
    let texts = requests[from..].iter().flat_map(|request| {
        let messages = request.json()["messages"].as_array().unwrap().clone();
        messages
            .into_iter()
            .map(|message| tokens(message["content"].as_str().unwrap()))
    });
    texts.sum()
}

/// The honest route to large savings on prose, end to end: counted, proposed by a model on the operator's word, approved,
/// and applied.
#[tokio::test]
async fn an_approved_shorter_system_prompt_saves_15_to_30_percent_and_more_of_the_prompts() {
    let upstream = Upstream::start().await;
    let house = House::new("");
    let proxy = house.proxy(&upstream).await;
    ask_all(&proxy, SYSTEM, 4).await;
    let asked = upstream.calls();
    let before = prompt_tokens(&upstream, 0);
    proxy.stop().await;

    // Nobody but the operator has a model asked.
    let costly = house.told(&["costly"]).await;
    let text = costly["texts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|text| text["unit"] == "text")
        .unwrap();
    assert_eq!(
        (text["count"].as_u64(), text["text"].as_str()),
        (Some(24), Some(SYSTEM))
    );
    let spent = f64::from(tokens(SYSTEM)) * 24.0 * 2.5e-6;
    assert!(
        (text["costUsd"].as_f64().unwrap() - spent).abs() < 1e-6,
        "{text} and {spent}"
    );
    let id = text["id"].as_str().unwrap();
    assert_eq!(upstream.calls(), asked);
    let base_url = format!("http://{}/v1", upstream.address);
    let would = house
        .told_by(&["propose", id, "--model", "m", "--dry-run"], &base_url)
        .await;
    assert_eq!(
        (would["sent"].as_bool(), upstream.calls()),
        (Some(false), asked)
    );
    upstream.once(Act::says(SHORTER));
    let proposed = house
        .told_by(&["propose", id, "--model", "m"], &base_url)
        .await;
    assert_eq!(upstream.calls(), asked + 1);
    let question = upstream.last();
    assert_eq!(question.header("authorization"), "Bearer sk-operator");
    assert_eq!(question.prompt(), SYSTEM);
    assert_eq!(
        (proposed["with"].as_str(), proposed["state"].as_str()),
        (Some(SHORTER), Some("proposed"))
    );

    // What is proposed is not applied.
    let proxy = house.proxy(&upstream).await;
    proxy.chat(&request(SYSTEM, "Is it open today?")).await;
    assert_eq!(
        upstream.last().json()["messages"][0]["content"],
        compressed(SYSTEM)
    );
    proxy.stop().await;

    // What differs is shown, and takes a word more.
    let refused = error(&house.rules(&["approve", id], &base_url).await);
    assert!(refused.contains("--force"), "{refused}");
    let approved = house.told(&["approve", id, "--force"]).await;
    assert_eq!(approved["state"], "approved");
    let proxy = house.proxy(&upstream).await;
    let from = upstream.calls();
    ask_all(&proxy, SYSTEM, 4).await;
    let after = prompt_tokens(&upstream, from);
    let saved = 100.0 * f64::from(before - after) / f64::from(before);
    eprintln!("{saved:.1} % of {before} tokens saved");
    assert!(saved >= 15.0, "{saved:.1} % saved");
    for (sent, question) in upstream.requests()[from..]
        .iter()
        .zip(QUESTIONS.iter().cycle())
    {
        let mut expected = request(&compressed(SHORTER), question);
        // Nothing else changed but what compression does anyway.
        expected["messages"][1] = sent.json()["messages"][1].clone();
        assert_eq!(sent.json(), expected);
    }
    // What was replaced is booked as any saving.
    let stats = proxy.get("/api/optimization-stats").await.json();
    let booked = stats["compression"]["byRule"]["learned-texts"]["tokens"]
        .as_u64()
        .unwrap();
    let expected = 24 * (tokens(SYSTEM) - tokens(SHORTER));
    assert_eq!(booked, u64::from(expected));
    assert_eq!(stats["compression"]["learned"]["version"], 1);
    assert_eq!(stats["compression"]["learned"]["texts"], 1);
    let metrics = String::from_utf8(proxy.get("/metrics").await.body.to_vec()).unwrap();
    assert!(
        metrics.contains("pegasus_nest_learned_version 1"),
        "{metrics}"
    );
    // Who wants nothing done gets nothing done.
    let off = [
        ("x-pegasus-compression", "off"),
        ("cache-control", "no-cache"),
    ];
    proxy.chat_with(&request(SYSTEM, QUESTIONS[0]), &off).await;
    assert_eq!(upstream.last().json(), request(SYSTEM, QUESTIONS[0]));
    proxy.stop().await;
    let list = house.told(&["list"]).await;
    assert_eq!(list["rules"][0]["inForce"], true);
    assert_eq!(list["trial"]["shortened"], 24);
}

#[tokio::test]
async fn a_text_that_few_callers_sent_is_never_written_down() {
    let upstream = Upstream::start().await;
    let house = House::new("");
    let proxy = house.proxy(&upstream).await;
    ask_all(&proxy, SYSTEM, 2).await;
    // Nor what must not be kept, however many send it.
    let secret = SYSTEM.replace("Lindgren", "Secret");
    for caller in 0..5 {
        let authorization = format!("Bearer caller-{caller}");
        let headers = [
            ("authorization", &*authorization),
            ("cache-control", "no-store"),
        ];
        for question in QUESTIONS {
            proxy.chat_with(&request(&secret, question), &headers).await;
        }
    }
    proxy.stop().await;
    let costly = house.told(&["costly"]).await;
    assert_eq!(
        (
            costly["texts"].as_array().unwrap().len(),
            costly["heard"].as_u64()
        ),
        (0, Some(12))
    );
    let kept = house.kept();
    for word in ["Lindgren", "Secret", "furniture", "Tromsø", "caller-"] {
        assert!(!kept.contains(word), "{word} in {kept}");
    }
}

#[tokio::test]
async fn a_share_of_the_conversations_is_held_out_byte_for_byte_and_always_the_same() {
    let upstream = Upstream::start().await;
    let house = House::new("holdout = 0.5\n[cache]\nenabled = false");
    approve(&house, SYSTEM, SHORTER).await;
    let mut firsts: Option<Vec<bool>> = None;
    for _ in 0..2 {
        let proxy = house.proxy(&upstream).await;
        let mut held = Vec::new();
        for n in 0..40 {
            let mut conversation = request(SYSTEM, &format!("{} ({n})", QUESTIONS[2]));
            proxy.chat(&conversation).await;
            let sent = upstream.last().json();
            let is_held = sent["messages"][0]["content"] == SYSTEM;
            if is_held {
                assert_eq!(upstream.last().body, conversation.to_string());
                // What a client wishes for it gets.
                let wish = [("x-pegasus-compression", "balanced")];
                proxy.chat_with(&conversation, &wish).await;
                let wished = upstream.last().json();
                assert_eq!(wished["messages"][0]["content"], compressed(SHORTER));
            }
            // As it goes on it stays what it is.
            let more = [
                json!({"role": "assistant", "content": "Hello."}),
                json!({"role": "user", "content": "And then?"}),
            ];
            conversation["messages"]
                .as_array_mut()
                .unwrap()
                .extend(more);
            proxy.chat(&conversation).await;
            let later = upstream.last().json();
            assert_eq!(later["messages"][0], sent["messages"][0]);
            assert_eq!(later["messages"][1], sent["messages"][1]);
            held.push(is_held);
        }
        let count = held.iter().filter(|is_held| **is_held).count();
        assert!((8..=32).contains(&count), "{count} of 40");
        assert_eq!(firsts.get_or_insert_with(|| held.clone()), &held);
        proxy.stop().await;
    }
    let list = house.told(&["list"]).await;
    let (shortened, held) = (&list["trial"]["shortened"], &list["trial"]["heldOut"]);
    assert_eq!(shortened.as_u64().unwrap() + held.as_u64().unwrap(), 80);
    assert_eq!(list["rules"][0]["trial"]["heldOut"], *held);
}

/// A rule about a text that nobody has sent yet, by way of a file.
async fn approve(house: &House, text: &str, with: &str) {
    let file = json!({"rules": [{"state": "approved", "role": "system", "unit": "text", "text": text, "with": with}]});
    let file: toml::Table = serde_json::from_value(file).unwrap();
    let path = house.directory.path().join("import.toml");
    std::fs::write(&path, file.to_string()).unwrap();
    let told = house.told(&["import", path.to_str().unwrap()]).await;
    assert!(
        told["done"]
            .as_str()
            .unwrap()
            .starts_with("1 rule taken over"),
        "{told}"
    );
    std::fs::remove_file(path).unwrap();
}

/// Waits until a proxy has this version of the rules.
async fn in_force(proxy: &Proxy, version: u32) {
    let follows = async {
        loop {
            let stats = proxy.get("/api/optimization-stats").await.json();
            if stats["compression"]["learned"]["version"] == version {
                break;
            }
        }
    };
    within("the next version of the rules", follows).await;
}

#[tokio::test]
async fn what_is_denied_at_once_ends_at_once_however_often_the_same_is_asked() {
    let upstream = Upstream::start().await;
    let house = House::new("");
    approve(&house, SYSTEM, SHORTER).await;
    let proxy = house.proxy(&upstream).await;
    let first = request(SYSTEM, "hi");
    let mut later = first.clone();
    let more = [
        json!({"role": "assistant", "content": "Hello."}),
        json!({"role": "user", "content": "And then?"}),
    ];
    later["messages"].as_array_mut().unwrap().extend(more);
    let system = || upstream.last().json()["messages"][0]["content"].clone();
    for request in [&first, &later] {
        proxy.chat(request).await;
        assert_eq!(system(), compressed(SHORTER));
    }
    let id = house.told(&["list"]).await["rules"][0]["id"].clone();
    house.told(&["deny", id.as_str().unwrap(), "--now"]).await;
    in_force(&proxy, 2).await;
    // Under way or new, none is answered by what was answered to the shorter text.
    for request in [&later, &first] {
        let asked = upstream.calls();
        proxy.chat(request).await;
        assert_eq!(upstream.calls(), asked + 1);
        assert_eq!(system(), compressed(SYSTEM));
        proxy.chat(request).await;
        assert_eq!(upstream.calls(), asked + 1, "it is kept as it is now");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_answer_of_a_conversation_that_kept_its_version_is_not_that_of_the_next() {
    let upstream = Upstream::start().await;
    let house = House::new("");
    let proxy = house.proxy(&upstream).await;
    let first = request(SYSTEM, QUESTIONS[0]);
    let mut later = first.clone();
    let more = [
        json!({"role": "assistant", "content": "Hello."}),
        json!({"role": "user", "content": "And then?"}),
    ];
    later["messages"].as_array_mut().unwrap().extend(more);
    proxy.chat(&first).await;
    approve(&house, SYSTEM, SHORTER).await;
    in_force(&proxy, 1).await;
    proxy.chat(&later).await;
    let system = || upstream.last().json()["messages"][0]["content"].clone();
    assert_eq!(system(), compressed(SYSTEM), "it keeps what it began under");
    // It begins anew, and has the next version from then on.
    proxy.chat(&first).await;
    assert_eq!(system(), compressed(SHORTER));
    let asked = upstream.calls();
    proxy.chat(&later).await;
    assert_eq!(
        (upstream.calls(), system()),
        (asked + 1, json!(compressed(SHORTER)))
    );
    proxy.stop().await;
}

#[tokio::test]
async fn a_service_that_runs_follows_what_is_decided() {
    let upstream = Upstream::start().await;
    let house = House::new("[cache]\nenabled = false");
    let proxy = house.proxy(&upstream).await;
    let first = request(SYSTEM, QUESTIONS[0]);
    proxy.chat(&first).await;
    approve(&house, SYSTEM, SHORTER).await;
    in_force(&proxy, 1).await;
    proxy.chat(&request(SYSTEM, QUESTIONS[1])).await;
    assert_eq!(
        upstream.last().json()["messages"][0]["content"],
        compressed(SHORTER)
    );
    // A conversation that began before it goes on as it was.
    let mut later = first.clone();
    let more = [
        json!({"role": "assistant", "content": "Hello."}),
        json!({"role": "user", "content": "And then?"}),
    ];
    later["messages"].as_array_mut().unwrap().extend(more);
    proxy.chat(&later).await;
    assert_eq!(
        upstream.last().json()["messages"][0]["content"],
        compressed(SYSTEM)
    );
    let decisions = proxy.get("/api/tuning").await.json();
    let decision = &decisions["decisions"][0];
    assert_eq!(
        (decision["subject"].as_str(), decision["action"].as_str()),
        (Some("compression.learn"), Some("applied"))
    );
    assert!(!decisions.to_string().contains("Lindgren"));
    proxy.stop().await;
}

#[tokio::test]
async fn by_default_nothing_is_learned_and_nothing_is_written() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.toml");
    // Whatever stands there.
    std::fs::write(&file, "no rules").unwrap();
    let proxy = Proxy::start(
        &format!("compression.rules.file = {:?}", file.to_str().unwrap()),
        &upstream,
    )
    .await;
    ask_all(&proxy, SYSTEM, 4).await;
    assert_eq!(
        upstream.last().json()["messages"][0]["content"],
        compressed(SYSTEM)
    );
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(stats["compression"]["learned"], Value::Null);
    proxy.stop().await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(&file).unwrap(), b"no rules");
}

#[tokio::test]
async fn a_broken_rule_file_stops_the_start_with_its_line() {
    let house = House::new("");
    std::fs::write(
        house.path(),
        "version = 1\n\n[[rules]]\nstate = \"maybe\"\n",
    )
    .unwrap();
    let mut check = command(&["check"]);
    check.env("PEGASUS_COMPRESSION__LEARN", "observe");
    check.env("PEGASUS_COMPRESSION__RULES__FILE", house.file());
    let output = run(&mut check).await;
    assert_eq!(output.status.code(), Some(2));
    let told = error(&output);
    for part in [
        "compression.rules.file",
        "rules.toml, line 4",
        "\"maybe\" is no state",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(
        std::fs::read_to_string(house.path())
            .unwrap()
            .lines()
            .count(),
        4,
        "it is left alone"
    );
}

#[tokio::test]
async fn operators_are_told_what_is_wrong_with_what_they_say() {
    let house = House::new("");
    let nowhere = "http://127.0.0.1:9/v1";
    for (arguments, part) in [
        (&["approve", "zz"][..], "four or more of the digits"),
        (&["approve", "abcd"], "no text has the name abcd"),
        (
            &["deny", "phrase:prose"],
            "\"phrase\" is no compression rule",
        ),
        (&["deny", "phrases:poem"], "\"poem\" is no kind of content"),
        (&["pin", "phrases:prose"], "no rule about it to pin"),
        (&["propose", "abcd"], "rules costly"),
        (&["import", "/no/such/file"], "cannot read /no/such/file"),
    ] {
        let told = error(&house.rules(arguments, nowhere).await);
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
    approve(&house, SYSTEM, SHORTER).await;
    let id = house.told(&["list"]).await["rules"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Longer, also where it is forced.
    let longer = house.directory.path().join("longer");
    std::fs::write(&longer, format!("{SYSTEM} And so on.\n")).unwrap();
    let arguments = [
        "approve",
        &id[..6],
        "--force",
        "--text",
        longer.to_str().unwrap(),
    ];
    let told = error(&house.rules(&arguments, nowhere).await);
    assert!(told.contains("fewer tokens"), "{told}");
    // From standard input, for people.
    let mut approve = house.command(&["approve", &id, "--force", "--text", "-"], nowhere);
    let mut child = approve
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"You answer in the chat of Lindgren Furniture.\n")
        .await
        .unwrap();
    drop(input);
    let output = tokio::time::timeout(patience(), child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    for part in [
        "[-",
        "{+",
        "o200k_base: ",
        "numbers that are gone: 120, 30, 8",
        "is approved",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // Pinned, denied, and told by the list.
    house.told(&["pin", &id]).await;
    house.told(&["deny", "phrases:prose"]).await;
    house.told(&["deny", &id, "--now"]).await;
    let list = house.told(&["list"]).await;
    let rule = &list["rules"][0];
    assert_eq!(
        (&rule["state"], &rule["pinned"], &rule["inForce"]),
        (&json!("denied"), &json!(true), &json!(false))
    );
    assert_eq!(list["skips"][0]["state"], "denied");
    // What is exported can be imported elsewhere.
    let other = House::new("");
    let exported = house.rules(&["export"], nowhere).await;
    let file = other.directory.path().join("export.toml");
    std::fs::write(&file, exported.stdout).unwrap();
    other.told(&["import", file.to_str().unwrap()]).await;
    let list = other.told(&["list"]).await;
    assert_eq!(list["rules"][0]["id"], id);
    assert!(Path::new(&other.file()).exists());
}
