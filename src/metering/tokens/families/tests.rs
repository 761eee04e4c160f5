use super::*;

/// A model for each real tokenizer.
const MODELS: [&str; 9] = [
    "claude-2.1",
    "google/gemini-2.5-pro",
    "meta-llama/llama-3.1-70b-instruct",
    "meta-llama/llama-4-scout",
    "qwen/qwen3-32b",
    "qwen/qwen3.6-plus",
    "deepseek/deepseek-v4-flash",
    "mistralai/mistral-nemo",
    "mistralai/mixtral-8x7b-instruct",
];

/// By how many percent the estimate of a short text may be off; of all of them together it is a few.
const TOLERANCE: u64 = 25;

/// Texts, and their tokens as the real tokenizers of [`MODELS`] count them.
const TEXTS: [(&str, [u64; 9]); 7] = [
    (
        "The quick brown fox jumps over the lazy dog, and nobody was surprised by it. He had done so every \
         morning since the fence was mended, usually before seven.",
        [34, 34, 34, 34, 34, 34, 34, 34, 36],
    ),
    (
        "Heute Morgen fuhren wir früh in die Stadt, um unsere alten Freunde zu treffen und über die Pläne für \
         das nächste Jahr zu sprechen.",
        [41, 28, 37, 29, 35, 30, 37, 28, 41],
    ),
    (
        "今天早上我们去城里见老朋友，讨论明年的计划。天气很好，路上没有什么车，所以我们比预定的时间早到了二十分钟。",
        [55, 34, 38, 33, 30, 27, 29, 40, 58],
    ),
    (
        "오늘 아침 우리는 오랜 친구들을 만나 내년 계획을 의논하기 위해 시내로 갔습니다. 날씨가 좋아서 걸어갔습니다.",
        [67, 32, 35, 28, 39, 26, 42, 31, 80],
    ),
    (
        "Сегодня утром мы поехали в город, чтобы встретиться со старыми друзьями и обсудить планы на следующий \
         год.",
        [59, 24, 33, 23, 33, 25, 36, 31, 42],
    ),
    (
        "fn main() {\n    let total: u64 = (1..=100).filter(|n| n % 3 == 0).sum();\n    println!(\"total = \
         {total}\");\n}\n",
        [44, 47, 40, 40, 43, 48, 40, 43, 49],
    ),
    (
        "{\"orders\": [{\"id\": 482913, \"total\": 1299.95, \"paid\": true}, {\"id\": 482914, \"total\": 86.10, \
         \"paid\": false}], \"next\": null}",
        [47, 62, 49, 49, 62, 62, 51, 64, 64],
    ),
];

#[test]
fn estimates_come_near_the_real_tokenizers() {
    let mut far = Vec::new();
    for (text, counts) in TEXTS {
        for (model, real) in MODELS.into_iter().zip(counts) {
            let estimate = Family::of(model).count(text);
            if estimate.abs_diff(real) * 100 > real * TOLERANCE {
                far.push(format!("{model}: {estimate}, not {real}: {text:.30}"));
            }
        }
    }
    assert!(far.is_empty(), "{far:#?}");
}

#[test]
fn a_correction_is_nearer_than_none() {
    let (mut corrected, mut plain) = (0, 0);
    for (text, counts) in TEXTS {
        for (model, real) in MODELS.into_iter().zip(counts) {
            corrected += Family::of(model).count(text).abs_diff(real);
            plain += Family::Unmeasured.count(text).abs_diff(real);
        }
    }
    assert!(corrected * 2 < plain, "{corrected} and {plain} tokens off");
}

#[test]
fn names_tell_the_family() {
    let exact = |vocabulary, framing| Family::Exact {
        vocabulary,
        framing,
    };
    for (model, family) in [
        ("gpt-4o", exact(Vocabulary::O200k, true)),
        (
            "openai/gpt-4o-mini-2024-07-18",
            exact(Vocabulary::O200k, true),
        ),
        ("openai/GPT-4.1-nano", exact(Vocabulary::O200k, true)),
        ("chatgpt-4o-latest", exact(Vocabulary::O200k, true)),
        ("ft:gpt-4o-mini:acme::x", exact(Vocabulary::O200k, true)),
        ("openai/gpt-5.1-codex", exact(Vocabulary::O200k, false)),
        ("gpt-oss-120b", exact(Vocabulary::O200k, false)),
        ("o1", exact(Vocabulary::O200k, false)),
        ("openai/o3-mini:nitro", exact(Vocabulary::O200k, false)),
        ("gpt-4", exact(Vocabulary::Cl100k, true)),
        ("gpt-4-turbo-2024-04-09", exact(Vocabulary::Cl100k, true)),
        ("gpt-3.5-turbo", exact(Vocabulary::Cl100k, true)),
        ("text-embedding-3-small", exact(Vocabulary::Cl100k, false)),
        ("claude-2.1", CLAUDE),
        ("anthropic/claude-sonnet-4.5", akin(CLAUDE)),
        ("models/gemini-2.5-flash", GEMMA),
        ("google/gemini-3-pro-preview", akin(GEMMA)),
        ("meta-llama/Llama-3.3-70B-Instruct", LLAMA_3),
        ("deepseek/deepseek-r1-distill-llama-70b", LLAMA_3),
        ("deepseek/deepseek-r1", akin(DEEPSEEK)),
        ("qwen/qwen-2.5-72b-instruct", QWEN),
        ("qwen/qwen3.6-plus", QWEN_3_5),
        ("qwen/qwen3.8-flash", akin(QWEN_3_5)),
        ("open-mixtral-8x22b", MISTRAL_OLD),
        ("mistral-large-2411", MISTRAL_OLD),
        ("mistral-large-2512", akin(TEKKEN)),
        ("mistral-small-24b-instruct-2501", akin(TEKKEN)),
        // Nothing is claimed of what is not known.
        ("gpt-6-sol", Family::Unmeasured),
        ("o11", Family::Unmeasured),
        ("o3x", Family::Unmeasured),
        ("x-ai/grok-4", Family::Unmeasured),
        ("my-gpt-4o", Family::Unmeasured),
        ("gpt-4o/mine", Family::Unmeasured),
        ("é", Family::Unmeasured),
        ("", Family::Unmeasured),
    ] {
        assert_eq!(Family::of(model), family, "{model}");
    }
}

#[test]
fn a_text_is_a_token_at_least() {
    for model in MODELS {
        let family = Family::of(model);
        assert_eq!(family.count(""), 0, "{model}");
        for text in [
            "a",
            "你",
            "あ",
            "é",
            "я",
            "한",
            "١",
            "1",
            "天地玄黃宇宙洪荒",
            "ğüşöçİ",
        ] {
            assert!(family.count(text) >= 1, "{model}: {text}");
        }
    }
}
