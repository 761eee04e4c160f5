//! Lines that stay as they are, because the plainer words would be wrong there.

use super::tests::{aggressive, user};

#[test]
fn what_would_be_wrong_is_left_alone() {
    for line in [
        // Another meaning.
        "We put a Gaussian prior to the test on the weights.",
        "Paint the inside of the box and the outside of the house.",
        "You can make sure of it if you call the office.",
        "Do you have the ability to read the files?",
        "The system does not have the ability to read the files.",
        "The data will have the ability to change.",
        "We play not in order to win but to learn.",
        "This is the house that we went to in order to see the children.",
        "It performs as well as the old one does.",
        "You can do as you please with all of it.",
        "All of these are the right ones for you.",
        "All of the above is what you need to do.",
        "It has come to the conclusion that it is late.",
        "The fruit is a variety of apple that you can eat.",
        "Use the derivative with respect to the input of it.",
        "It is in a way that is confusing to the user.",
        "Note any errors that you find in the text.",
        "Remember that song when you are on the road.",
        "At the end of the day, send the report to me.",
        "A decision they can live with is one to make.",
        "Can you use a lambda in this kind of function?",
        "Can you write a class without a constructor in Java?",
        "Would you recommend this approach to me or not?",
        "Can you explain it to me or is it too hard?",
        "Your task is to read the file and to write the summary.",
        "Your job is to help me and your name is Bob.",
        "I want you to be honest, but not to be rude to me.",
        "I want you to know that it is all right.",
        "Provide a summary of the text and a list of the names.",
        "Provide a summary of the text. It should be short.",
        "Make changes to the files that break the build.",
        "Respond in a professional manner that fits the user.",
        "Yes, please, that would be what I want.",
        "Hello world is what the program has to print.",
        "Thank you for the details that you gave me.",
        "Please the customer in any way that you can.",
        "A large number of the items and a small number of them are old.",
        "The results are in accordance with the theory that he has.",
        "Should I write in order to or just to in this letter?",
        "Which of them is better: make use of or use?",
        "I use because instead of due to the fact that.",
        "Can you help me?",
        // Requests to two, or of what is not asked for.
        "I want you to act as a judge, and I want you to be fair to me.",
        "If you are lost, I want you to call me and I want you to wait.",
        "I will send you a text and you want me to read it and I want you to answer and to wait.",
        "As a teacher, I want you to grade the papers and send them to me.",
        "I'm a nurse, I need you to help me with all of it, and I'm tired.",
        "Your role is to be the narrator, and my role is to be the hero.",
        "What I want you to do is not what you want me to do.",
        "It is not that I want you to leave the house for me.",
        "Could you tell me whether I should take the job or not?",
        "Can you find me in the crowd when you are at the station?",
        "Can you teach me how to swim, and can you send me to the sea?",
        "Would you tell me the truth if I asked you for it?",
        "I want you to be able to say no to all of them.",
        "You will act like a fool if you do that to your friends.",
        "The ship sailed in the course of the river for all of us.",
        // Giving.
        "I will provide you with a key and me with a lock for it.",
        "Provide me with a list and with a summary of the files.",
        "The tools that we provide you with are the ones you need.",
        "The data I provide you with is not for the others.",
        // `able` and what hangs on it.
        "He is able, willing and ready to help you with all of it.",
        "Are you able to tell me what time it is for you?",
        "You are able to read the files and not able to write to them.",
        // Statements and things that are pointed at.
        "Note that error in the file and fix it for me.",
        "Note that errors in the file are red and that warnings are yellow.",
        "However, note that down for me and for the others.",
        // Purpose.
        "You have to speak so as not to be ignored by them.",
        "Put the steps and the files so as to order in the list.",
        // Thanks that are an answer or a task.
        "You may say to him, thanks, and then go to the next one.",
        "Tell him that you do not want it: no, thanks.",
        "The safe word is please and you must wait for it.",
        "Please Please Me was the first of their records to be sold.",
        "He said that he is able to do it on a daily basis, and to pay.",
        "The button says make sure to save it and the label says please wait.",
        "Is it rude to write please note that in a mail to my boss?",
        "How polite is the sentence I would like you to call me back?",
        // Protected spans.
        "Print \"in order to\" for each of the users.",
        "Print 'in order to' for each of the users.",
        "Use `in order to` in the first of the lines.",
        "Fill in {in order to} with what you have.",
        "The title is In Order To Live and it is good.",
        "Use in-order-to and in_order to as they are.",
        // Lines that are not prose, or not for us.
        "# Your task is to do it in order to win",
        "> In order to win, you have to run for it.",
        "User: please write a story for me in order to win.",
        "Is the phrase in order to the same as to?",
        "The Tenant shall pay it in order to stay in the house.",
        "He said please write to me when you are there.",
        "Um zu gewinnen, in order to, muss man schnell rennen.",
        "This is the first line of it and I told them\" in order to win.",
    ] {
        assert_eq!(user(line), line);
    }
}

#[test]
fn the_aggressive_level_has_its_limits() {
    for line in [
        "Tell me how important it is to the user.",
        "I do not know what it is for the user.",
        "That is who you are, and it is what it is.",
        "It is not very good for the user.",
        "Rate it as very good, good or bad for the user.",
        "All are very good or good for the user.",
        "I like it very much for what it is.",
        "Mine is an extremely odd file for me.",
        "Ensure that it runs and that it stops for you.",
        "Use 2**3 and **kwargs and src/**/x for this.",
        "Use **`code`** and **{x}** for all of this.",
        "**All of this is a heading for you**",
        "Put **key words** in bold when you answer me.",
    ] {
        assert_eq!(aggressive(line), line);
    }
}

#[test]
fn a_message_is_never_emptied() {
    for text in [
        "Hello!",
        "Thanks!",
        "Thank you so much for your help!",
        "Hi there",
        "Please help.",
    ] {
        assert_eq!(user(text), text);
    }
    assert_eq!(
        user("Hi there!\n\nThe test fails for me."),
        "\n\nThe test fails for me."
    );
}

#[test]
fn wrapped_lines_are_one_sentence() {
    for text in [
        "Your task is to read all of it\nand to write the rest of it",
        "If it is not right for you, please\ndo not use it at all",
        "You may do with it whatever you\nplease write and all that you can",
    ] {
        assert_eq!(user(text), text);
    }
}

#[test]
fn what_reviewers_found_is_left_alone() {
    for text in [
        // The verb's number.
        "There is a large number of orders that are late.",
        "There is a variety of tools that you can use.",
        "There is a small number of cases in the file.",
        "There is a sufficient number of chairs in the room.",
        "A large number of requests is handled by the server.",
        "Offer a wide range of products to the user.",
        "It needs the consent of the majority of members.",
        "The majority of votes decides what is to be done.",
        // What the same words govern as well.
        "The agent is able to read the files but not able to write to them.",
        "The agent is able to read the files and willing to write.",
        "You have the ability to read files and the permission to write.",
        "The result is dependent on the weight and independent of the size.",
        "Make an attempt to fix the bug and a note of the cause.",
        "They have an impact on the price and no effect on the sales.",
        "You have to provide users with a key and guests with a card.",
        "Give consideration to the user and credit to the owner.",
        "Make use of the tool and sense of the data.",
        "It is late due to the fact that it rains and the fact that it snows.",
        "Due to the fact that it rains and the fact that it snows, it is late.",
        "In the event that the call fails and that the user waits, stop it.",
        "It is done on a daily basis or a weekly one by the user.",
        "The sum is to be paid on a monthly or on a daily basis.",
        // What refers to a noun.
        "If you make a decision, record it in the file.",
        "Provide a description of the product. Limit it to 50 words.",
        "Perform an analysis of the data. Attach it to the mail.",
        "Provide a list of the tools. Sort it by name.",
        "Provide a list of the tools.\nSort it by name.",
        "Make changes to the order. Tell the customer about them.",
        "Provide a summary of the text. The summary is for the user.",
        // Another reading.
        "List the events in order for each year.",
        "Put the files in order to help the user.",
        "What he used in order to win is not known to me.",
        "The clerk is told, as well as the owner, what to do.",
        "The user, the owner, as well as the clerk is told of it.",
        "Close each letter with regards to all the family.",
        "Look at the time when the user is there.",
        "We are considering the fact that it is late.",
        "I will walk you through the use of the tool.",
        "Book the room in advance planning to be there.",
        "Besides me, he is in addition to the others the one.",
        "Be sure of the end result, not of the first one.",
        // A sentence that began on the line above.
        "He told all of us why\nI want you to write the answers.",
        "Nobody can tell me why\nI would like you to explain the files.",
        "This is in the file that is called\nNote that the user can read it.",
        "The sum is small; so\nPlease note that the user has it all.",
        "The model has a flat\nprior to testing the files.",
        // Ability, and what others say.
        "Can you describe a picture if I send one? Can you explain a joke in Latin?",
        "Can you please the user with a joke in Latin?",
        "React to: turn on the light please",
        "This is what the user may ask of you:\nTurn on the light for me, please.",
    ] {
        assert_eq!(user(text), text);
    }
}

#[test]
fn what_reviewers_found_is_left_alone_by_the_aggressive_level() {
    for text in [
        "Answers should be very short for the user.",
        "Warn me when the file is very old for the user.",
        "Stop if the file was really old or is extremely old for me.",
        "It was highly odd for the user.",
        "The story is very sad and very long for the user.",
        "It was absolutely forbidden for the user.",
        "The very same file is in the very first line for me.",
        "Tell me what that is in plain words for the user.",
        "Tell me who that is and what it is for the user.",
        "I do not think that user is the one for you.",
        "The thought that you were late is what made it odd.",
        "She is who she is, and you are what you are to me.",
        "There is what there is, and here is where it is for you.",
        "Let us know when you have it all for me.",
        "Use no contractions, you are a lawyer to the user.",
        "Keep a formal tone, you are a lawyer to the user.",
        "The file is odd and it is too.",
        "It applies to only those means that the customer has agreed to.",
        "Do the things I know that the user is in need of.",
        // Bold type: all of it or none, and none where a form is asked for.
        "- **Name**: what the user is called\n- **Only now**: what the user is told",
        "- **Name**: what the user is called\n- age of it\n- size of it",
        "Respond with these:\n- **Name**: what the user is called",
        "Your OUTPUT has these:\n- **Name**: what the user is called",
        "Use the **main** file for the README of this one.",
    ] {
        assert_eq!(aggressive(text), text);
    }
}

#[test]
fn what_hangs_on_the_words_that_go_keeps_them() {
    for text in [
        // A noun that a clause describes.
        "Write a summary of the talk that's fit for my mother.",
        "Write a summary of the talk that’s fit for my mother.",
        "Give an explanation of the rule which a child can follow.",
        "Provide a description of the man who's at the door.",
        "Provide a summary of the book whose cover is red.",
        // Two who do something.
        "Your job is to cook and hers is to set the table for us.",
        "Your task is to sing while the task of Bob is to dance for us.",
        "I need you to find my key, yours is on the table.",
        // `in order` without a purpose.
        "Your papers show that it's in order to travel with them.",
        "Your papers show that it’s in order to travel with them.",
        "It was in order to leave, as the guard had told you.",
        "The desk is in order and the room is in order.",
        // One aside beside another.
        "You are frankly, of course, honestly, the one that I mean.",
        "This is sadly, of course, all that we have for you.",
        "You are, of course, basically, the one that I mean.",
        // Adjectives.
        "Be friendly in a professional manner to all of them.",
        "You are polite in a professional manner.",
        "Stay calm in a professional manner.",
        "He is charming in a polite way.",
        // Time and other things.
        "At this moment in time and at no other, the door is shut.",
        "At this moment in time or at a later one, you may go.",
        "Go ahead, and be sure to be sure of all of it.",
        "Be sure to be sure of all of it.",
    ] {
        assert_eq!(user(text), text);
    }
}

#[test]
fn bold_type_that_the_text_speaks_of_is_left_alone() {
    let list = "1. **Oak** is a tree for you.\n2. **Elm** is a tree as well.";
    for words in [
        "You know the marked ones by heart.",
        "The highlighted ones are the ones for you.",
        "The starred ones are the ones for you.",
        "Skip what is in bold when you learn.",
    ] {
        let text = format!("{words}\n\n{list}");
        assert_eq!(aggressive(&text).matches("**").count(), 4, "{text}");
    }
    assert!(!aggressive(list).contains("**"));
}
