//! The prompts of `tests/corpus`: our own writing, in the shapes that people and agents send.

use std::{fs, path::Path};

use serde::Deserialize;

/// One prompt or conversation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    pub(crate) id: String,
    pub(crate) category: String,
    text: Option<String>,
    messages: Option<Vec<Message>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: String,
}

/// One message, to be compressed on its own.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) id: String,
    pub(crate) category: String,
    pub(crate) role: String,
    pub(crate) text: String,
}

/// Every prompt, in the order of the files' names and of their lines.
pub(crate) fn prompts() -> Vec<Prompt> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut prompts = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "jsonl"))
    {
        for line in fs::read_to_string(file).unwrap().lines() {
            let prompt: Prompt = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line:.60}", file.display()));
            prompts.push(prompt);
        }
    }
    prompts
}

/// Every message of every prompt.
pub(crate) fn units() -> Vec<Unit> {
    let units = |prompt: &Prompt| -> Vec<Unit> {
        let Prompt { id, category, .. } = prompt;
        let messages = prompt.messages().into_iter().enumerate();
        let unit = |(nth, (role, text))| Unit {
            id: format!("{id}#{nth}"),
            category: category.clone(),
            role,
            text,
        };
        messages.map(unit).collect()
    };
    prompts().iter().flat_map(units).collect()
}

// === impl Prompt ===

impl Prompt {
    /// Its messages, each with its role; a text alone has the role that its kind is sent in.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let role = match self.category.as_str() {
            "system_prompt" | "template" | "persona" => "system",
            "tool_output" => "tool",
            _ => "user",
        };
        let alone = self.text.iter().map(|text| (role.to_owned(), text.clone()));
        let said = self.messages.iter().flatten();
        alone
            .chain(said.map(|said| (said.role.clone(), said.content.clone())))
            .collect()
    }
}

#[test]
fn the_corpus_is_broad_and_every_id_is_its_own() {
    let prompts = prompts();
    let mut ids: Vec<&str> = prompts.iter().map(|prompt| prompt.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), prompts.len(), "two prompts share an id");
    assert!(
        prompts.len() >= 170,
        "{} prompts are too few",
        prompts.len()
    );
    for prompt in &prompts {
        assert!(!prompt.messages().is_empty(), "{} is empty", prompt.id);
    }
}
