use crate::compressor::{
    Role,
    document::{About, Document},
};

/// The lines that may be reworded.
fn free(text: &str, role: Role) -> Vec<&str> {
    let document = Document::of(text, role);
    let lines = document.kinds.iter().enumerate();
    lines
        .filter(|(_, kind)| kind.is_wordable())
        .map(|(at, _)| document.body(at))
        .collect()
}

#[test]
fn an_instruction_without_material_is_free() {
    for text in [
        "Please write a short story about a dog in 500 words.",
        "Could you please prepare a table with the title and the author of ten books for me?",
        "I want you to act as a coach. I will send you messages and you will tell me what to do.",
        "How do I open an account in a foreign country? Please explain each of the steps to me.",
        "Please follow the following rules when you write code for me.",
    ] {
        assert_eq!(free(text, Role::User), [text]);
    }
}

#[test]
fn material_is_not() {
    for text in [
        "Please proofread it for me. I would like to apply for the job.",
        "Please tell me what you think of my letter. I would like you to consider me.",
        "Please summarize it for me.\n\nIn order to win, you have to run.",
        "Write a reply to this email. I want you to call me.",
        "Is this a good opening? I want you to imagine a world that is round.",
        "Guess who said it. I want you to know that I am able to see you.",
        "Make a headline out of it. Please note that the shop is closed.",
        "What would you reply?\n\nHi! Could you please tell me when it will come?",
        "My boss sent me an angry note.\n\nI want you to be on time.\n\nHow should I act?",
        "Write a thank you letter for me. Thank you for all of the gifts, we are happy.",
        "How polite is it to say please? Please tell me about it.",
    ] {
        assert_eq!(free(text, Role::User), [""; 0], "{text}");
    }
    for text in [
        "Have a look at it.\n\nI want you to know that the shop is shut. You will hear of us.",
        "I want you to know that the shop is shut. You will hear of us.\n\nHave a look at it.",
        "So I begin.\n\nI want you to know that the shop is shut.",
        "I want you to know that the shop is shut. Funny?",
        "I want you to know that the shop is shut. What would a pirate make of it?",
        "I live in close proximity to the shop, and in order to get there I walk.",
        "Please tell me who is right below.\n\nI want you to leave, he thought.\nPlease go.",
        "Please tell me who it is.\nHint from him: please look in order to find it.",
        "Please use the **main** file for each of them.",
        "Try again, please.",
        "How do I open an account in a foreign country? Please explain it to me.",
    ] {
        assert_eq!(free(text, Role::User), [""; 0], "{text}");
    }
}

#[test]
fn code_lists_and_thanks_are_no_other_prose() {
    let request = "Please tell me why the loop below never ends.";
    let code = "```\nfor (;;) {}\n```";
    for behind in ["- in C\n- in Rust", code] {
        let text = format!("{request}\n\n{behind}\n\nThank you in advance!");
        let expected = [request, "Thank you in advance!"];
        assert_eq!(free(&text, Role::User), expected, "{text}");
    }
}

#[test]
fn the_instructions_of_an_application_are_free_up_to_their_material() {
    let text = "You translate what the user sends you.\nI want you to be quick.";
    assert_eq!(free(text, Role::System).len(), 2);
    let text =
        "You are an editor of letters to us.\nTranslate the following text.\nI want you to go.";
    assert_eq!(free(text, Role::System).len(), 1);
    for text in [
        "Spam looks like this. I want you to buy it.",
        "The sign reads as follows. Please take off your shoes.",
        "- Opening line: I would like you to know that we are here.",
        "Would you use this reply: Please note that we are closed.",
    ] {
        assert!(free(text, Role::System).is_empty(), "{text}");
    }
}

#[test]
fn words_about_letters_and_copies_are_heeded_without_a_pointer() {
    let body = "The caretaker waters the plants in the hall each Friday at noon.\n".repeat(20);
    let about = |text: &str| {
        let document = Document::of(text, Role::User);
        (document.about == About::Wording, document.counts_copies)
    };
    for task in [
        "Translate to Dutch:",
        "Any typos left?",
        "Type it out once more:",
    ] {
        assert!(about(&format!("{task}\n\n{body}")).0, "{task}");
        assert!(about(&format!("{body}\n{task}")).0, "{task}");
    }
    for task in [
        "Who is in row 3?",
        "How often is Friday named?",
        "Give me the line numbers of the plants.",
        "Which of them came more than once?",
        "Keep all rows.",
    ] {
        assert!(about(&format!("{task}\n\n{body}")).1, "{task}");
    }
    assert_eq!(
        about(&format!("When are they watered?\n\n{body}")),
        (false, false)
    );
}
