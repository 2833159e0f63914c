//! Shapes of thoughts: none of them leaks into an answer. And answers that speak of such shapes: none of them is cut.

use proptest::prelude::*;

use super::*;

/// A word that stands in thoughts alone.
const CANARY: &str = "quetzal";

/// Texts whose thought holds the canary, and their answers.
const SHAPES: &[(&str, &str)] = &[
    // Paired, as most families write them.
    ("<think>\nThe quetzal wants a verdict.\n</think>\n\n{\"choice\":\"yes\"}", "{\"choice\":\"yes\"}"),
    ("<think>quetzal</think>Canberra.", "Canberra."),
    ("<think>quetzal</think> Canberra.", "Canberra."),
    ("\n\n<think>quetzal</think>\n\nCanberra.\n", "Canberra.\n"),
    ("<THINK>quetzal</THINK>Canberra.", "Canberra."),
    ("<Think>quetzal</think>Canberra.", "Canberra."),
    ("<think >quetzal</think >Canberra.", "Canberra."),
    ("<thinking>quetzal</thinking>Canberra.", "Canberra."),
    ("<thinking>\nquetzal\n</thinking>\n<answer>Canberra.</answer>", "<answer>Canberra.</answer>"),
    ("<thought>The quetzal.</thought>\n{\"choice\":\"yes\"}", "{\"choice\":\"yes\"}"),
    ("<thoughts>quetzal</thoughts>Canberra.", "Canberra."),
    ("<think>quetzal</thinking>Canberra.", "Canberra."),
    ("<reasoning>quetzal</reasoning>Canberra.", "Canberra."),
    ("<reflection>quetzal</reflection>Canberra.", "Canberra."),
    ("<scratchpad>quetzal</scratchpad>Canberra.", "Canberra."),
    ("<inner_monologue>quetzal</inner_monologue>Canberra.", "Canberra."),
    ("<antThinking>quetzal</antThinking>Canberra.", "Canberra."),
    ("<thought_process>quetzal</thought_process>Canberra.", "Canberra."),
    ("<chain-of-thought>quetzal</chain-of-thought>Canberra.", "Canberra."),
    (
        "<seed:think>quetzal<seed:cot_budget_reflect>quetzal</seed:cot_budget_reflect></seed:think>Canberra.",
        "Canberra.",
    ),
    ("<longcat_think>quetzal</longcat_think>Canberra.", "Canberra."),
    ("<ling_think>quetzal</ling_think>Canberra.", "Canberra."),
    ("<deep_thinking>quetzal</deep_thinking>Canberra.", "Canberra."),
    ("[THINK]quetzal[/THINK]Canberra.", "Canberra."),
    ("[THINK]\nquetzal\n[/THINK]\n\nCanberra.", "Canberra."),
    ("[Thinking]quetzal[/Thinking]Canberra.", "Canberra."),
    ("◁think▷quetzal◁/think▷Canberra.", "Canberra."),
    ("<|START_THINKING|>quetzal<|END_THINKING|><|START_RESPONSE|>Canberra.<|END_RESPONSE|>", "Canberra."),
    ("<|START_THINKING|>quetzal<|END_THINKING|>\n<|START_TEXT|>Canberra.<|END_TEXT|>", "Canberra."),
    (
        "<|begin_of_thought|>\nquetzal\n<|end_of_thought|>\n\n<|begin_of_solution|>\nCanberra.\n\n<|end_of_solution|>",
        "Canberra.",
    ),
    ("<|thinking|>quetzal<|/thinking|>Canberra.", "Canberra."),
    ("<|think|>quetzal<|end|><|begin|>assistant<|content|>Canberra.<|end|>", "Canberra."),
    ("<|think|>quetzal<|end_of_think|>Canberra.", "Canberra."),
    ("<｜think｜>quetzal<｜/think｜>Canberra.", "Canberra."),
    ("<|inner_prefix|>quetzal<|inner_suffix|>Canberra.", "Canberra."),
    ("<unused94>thought\nquetzal<unused95>Canberra.", "Canberra."),
    ("<|channel>thought\nquetzal<channel|>Canberra.", "Canberra."),
    ("Here is my thought process:\nquetzal\n\nHere is my response:\nCanberra.", "Canberra."),
    ("Here's my thought process: quetzal Here's my response: Canberra.", "Canberra."),
    // Channels.
    (
        "<|channel|>analysis<|message|>quetzal<|end|><|start|>assistant<|channel|>final<|message|>{\"choice\":\"yes\"}",
        "{\"choice\":\"yes\"}",
    ),
    (
        "<|start|>assistant<|channel|>analysis<|message|>quetzal<|end|><|start|>assistant<|channel|>final<|message|>Canberra.<|return|>",
        "Canberra.",
    ),
    (
        "<|channel|>analysis<|message|>quetzal<|end|><|start|>assistant<|channel|>commentary<|message|>quetzal<|end|><|start|>assistant<|channel|>final<|message|>Canberra.",
        "Canberra.",
    ),
    (
        "<|channel|>commentary to=functions.x <|constrain|>json<|message|>{\"quetzal\":1}<|call|><|start|>assistant<|channel|>final<|message|>Canberra.",
        "Canberra.",
    ),
    (
        "<|channel|>analysis<|message|>quetzal<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{}<|return|>",
        "{}",
    ),
    ("analysis<|message|>quetzal<|end|><|start|>assistant<|channel|>final<|message|>Canberra.", "Canberra."),
    ("The quetzal.<|end|><|start|>assistant<|channel|>final<|message|>Canberra.", "Canberra."),
    ("<|channel|>analysis<|message|>quetzal<|channel|>final<|message|>Canberra.", "Canberra."),
    ("analysisThe quetzal asks.assistantfinalCanberra.", "Canberra."),
    ("<|channel|>analysis<|message|>quetzal<|end|>Canberra.", "Canberra."),
    // Only closing: a template has swallowed the opening mark.
    ("The quetzal wants a verdict.\n</think>\n\nCanberra.", "Canberra."),
    ("The quetzal wants a verdict.</think>\n\nCanberra.", "Canberra."),
    ("The quetzal wants a verdict.</think>Canberra.", "Canberra."),
    ("The quetzal wants a verdict. </think> Canberra.", "Canberra."),
    ("the quetzal says yes</think>\n\nCanberra.", "Canberra."),
    ("\nquetzal\n\n</think>\n{\"choice\":\"yes\"}", "{\"choice\":\"yes\"}"),
    ("Okay, quetzal.\n</thinking>\n\ncanberra it is.", "canberra it is."),
    ("quetzal!\n[/THINK]\nCanberra.", "Canberra."),
    ("quetzal!◁/think▷Canberra.", "Canberra."),
    ("quetzal.<|END_THINKING|><|START_RESPONSE|>Canberra.<|END_RESPONSE|>", "Canberra."),
    ("quetzal.\n</seed:think>\nCanberra.", "Canberra."),
    ("One quetzal.\n\nTwo quetzals.\n</think>\n\nA </think> may follow.", "A </think> may follow."),
    // Several, nested, empty, with one mark too many, after a role.
    ("<think>quetzal</think>\n<think>quetzal</think>\nCanberra.", "Canberra."),
    ("<think>\n\n</think>\n\n<think>quetzal</think>Canberra.", "Canberra."),
    ("<think><think>quetzal</think>quetzal</think>Canberra.", "Canberra."),
    ("<think>\n<think>\nquetzal</think>Canberra.", "Canberra."),
    ("<thinking>one\n<thought>quetzal</thought>\nquetzal</thinking>Canberra.", "Canberra."),
    ("<thinking><reflection>quetzal</reflection>quetzal</thinking>Canberra.", "Canberra."),
    ("<think>quetzal</think></think>\nCanberra.", "Canberra."),
    ("<think>I close it with `</think>`, says the quetzal.</think>Canberra.", "Canberra."),
    ("<think>A <think> tag, says the quetzal.</think>Canberra.", "Canberra."),
    ("<|im_start|>assistant\n<think>quetzal</think>Canberra.", "Canberra."),
    ("assistant\n<think>quetzal</think>Canberra.", "Canberra."),
    ("<think>quetzal</think>The mark </think> closes.", "The mark </think> closes."),
    ("\u{feff}<think>quetzal</think>Canberra.", "Canberra."),
    // Never closed, or nothing behind it.
    ("<think>\nThe quetzal wants a verdict and I go on and on", ""),
    ("<thinking>quetzal", ""),
    ("[THINK]quetzal", ""),
    ("◁think▷quetzal", ""),
    ("<|channel|>analysis<|message|>The quetzal", ""),
    ("<|START_THINKING|>quetzal", ""),
    ("Here is my thought process:\nquetzal", ""),
    ("<think>quetzal</thi", ""),
    ("<think>quetzal</think>\n\n", ""),
    ("<|channel|>analysis<|message|>quetzal<|end|><|start|>assistant<|chan", ""),
];

/// Answers that stay as they are.
const MENTIONS: &[&str] = &[
    "Canberra.",
    " \n Canberra. \n",
    "",
    "Models write <think> before and </think> after a thought.",
    "`<think>` opens a thought and `</think>` closes it.",
    "The closing tag is `</think>`.",
    "The closing tag is \"</think>\", which ends a thought.",
    "The closing tag is </think>, which ends a thought.",
    "The closing tag is </think> and nothing else.",
    "It ends with </think>.",
    "It ends with </think>",
    "A thought is closed by (</think>) and then the answer comes.",
    "A reasoning model closes its thought like this:\n</think>\nThen it answers.",
    "```\n</think>\n```\nThat is the mark.",
    "```html\n<think>\nHm.\n</think>\n```\nSo it looks.",
    "First:\n\n```text\nI see.\n</think>\n\nYes.\n```\n",
    "{\"answer\":\"a </think> tag\"}",
    "{\"text\": \"Hm.\\n</think>\\n\\nYes.\"}",
    "Use [THINK] and [/THINK] with Magistral.",
    "Kimi writes ◁think▷ and ◁/think▷ around it.",
    "gpt-oss writes <|channel|>analysis<|message|> first and <|channel|>final<|message|> then.",
    "gpt-oss goes on with `<|end|><|start|>assistant<|channel|>final<|message|>`.",
    "Cohere uses <|START_THINKING|> and <|END_THINKING|> tokens.",
    "Here is my response: Canberra.",
    "Here is my thought on it: none.",
    "analysis of the text shows nothing.",
    "assistant is a role, user is another.",
    "<b>Canberra</b> is the capital; <think> is no HTML.",
    "[Thinking aloud] Canberra, I should say.",
    "[thinking] Canberra, I should say.",
    "1 < 2 and 3 > 2, [1] says so.",
    "<",
    "<thi",
    "The tags, in order: <think>, </think>, <answer>.\nNo more.",
    "A sentence. </think> is what closes it.",
    "Write\n> </think>\nto close it, as in Markdown.",
];

/// Reads a text in pieces of so many letters; returns what came of it and what was shown.
fn read(text: &str, size: usize, may_be_unopened: bool) -> (Split, String) {
    let mut splitter = Splitter::new(may_be_unopened);
    let mut shown = String::new();
    let letters: Vec<char> = text.chars().collect();
    for piece in letters.chunks(size) {
        shown.push_str(splitter.push(&String::from_iter(piece)));
    }
    let (split, rest) = splitter.finish();
    shown.push_str(&rest);
    (split, shown)
}

#[test]
fn no_shape_of_a_thought_leaks_into_the_answer() {
    assert!(SHAPES.len() >= 70, "{}", SHAPES.len());
    for (text, answer) in SHAPES {
        for size in [1, 3, 7, text.len()] {
            for may_be_unopened in [false, true] {
                let (split, shown) = read(text, size, may_be_unopened);
                assert_eq!(split.answer, *answer, "{text:?} by {size}");
                assert!(split.thought.to_lowercase().contains(CANARY), "{text:?} by {size}: {split:?}");
                if !split.was_unopened || may_be_unopened {
                    assert_eq!(shown, *answer, "{text:?} by {size} is shown");
                }
            }
        }
        assert_eq!(split(text).answer, *answer);
    }
}

#[test]
fn an_answer_that_speaks_of_marks_is_left_whole() {
    assert!(MENTIONS.len() >= 24, "{}", MENTIONS.len());
    for text in MENTIONS {
        for size in [1, 3, 7, text.len().max(1)] {
            for may_be_unopened in [false, true] {
                let (split, shown) = read(text, size, may_be_unopened);
                assert_eq!(split, Split { answer: (*text).to_owned(), ..Split::default() }, "by {size}");
                assert_eq!(shown, *text, "by {size}");
            }
        }
    }
}

#[test]
fn the_words_of_a_thought_are_kept_without_marks() {
    let thought = |text: &str| split(text).thought;
    assert_eq!(thought("<think>\none\n</think>\n<think>two</think>three"), "one\n\ntwo");
    assert_eq!(thought("<|channel|>analysis<|message|>one<|end|>"), "one");
    assert_eq!(thought("one\n</think>\ntwo"), "one");
    assert!(split("<think>one").is_open);
    assert!(!split("<think>one</think>").is_open);
    assert!(split("one.\n</think>\nTwo").was_unopened);
}

#[test]
fn a_text_that_is_no_thought_is_shown_as_it_comes() {
    let mut splitter = Splitter::new(false);
    assert_eq!(splitter.push("<"), "");
    assert_eq!(splitter.push("b>Can"), "<b>Can");
    assert_eq!(splitter.push("berra"), "berra");
    let mut splitter = Splitter::new(true);
    assert_eq!(splitter.push("The user asks."), "", "it may be a thought that was not opened");
    assert_eq!(splitter.push("\n</think>\n\nCan"), "Can");
}

/// Texts made of what such texts are made of.
fn texts() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "<think>",
        "</think>",
        "<thinking>",
        "[THINK]",
        "[/THINK]",
        "<|channel|>analysis<|message|>",
        "<|end|>",
        "<|start|>assistant",
        "<|channel|>final<|message|>",
        "◁think▷",
        "◁/think▷",
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
        "Here is my thought process:",
        "Here is my response:",
        "analysisWe",
        "assistantfinal",
        "assistant",
        "\n",
        "\n\n",
        " ",
        "`",
        "\"",
        "```",
        ".",
        "Yes",
        "no",
        "é",
        "<",
        "</",
        "{",
        ":",
        "[thinking]",
        "[/thinking]",
        "<|",
    ]);
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_shown_is_the_answer_however_the_text_is_cut(text in texts(), size in 1_usize..9) {
        let whole = split(&text);
        let (pieces, shown) = read(&text, size, true);
        prop_assert_eq!(&pieces, &whole);
        prop_assert_eq!(shown, whole.answer);
        let (seen, shown) = read(&text, size, false);
        prop_assert_eq!(&seen, &pieces);
        if !seen.was_unopened {
            prop_assert_eq!(shown, seen.answer);
        }
    }
}
