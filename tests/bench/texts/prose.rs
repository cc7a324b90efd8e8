//! What people write: paragraphs, chats, bug reports.

use super::words::English;
use super::{Draw, machine};

/// Three to six sentences.
pub fn paragraph(draw: &mut Draw, english: &English, out: &mut String) {
    for _ in 0..draw.between(3, 6) {
        sentence(draw, english, out);
        out.push(' ');
    }
    out.pop();
    out.push_str("\n\n");
}

/// One sentence with its full stop.
pub fn sentence(draw: &mut Draw, english: &English, out: &mut String) {
    let first = clause(draw, english);
    let text = match draw.below(12) {
        0 => format!("{first}, {} {}", draw.pick(&["and", "but", "so", "while"]), clause(draw, english)),
        1 => {
            format!("{} {first}, {}", draw.pick(&["when", "after", "because", "although", "if"]), clause(draw, english))
        }
        2 => format!("{first}; {}", clause(draw, english)),
        3 => format!("{} said that {first}", draw.pick(&english.names)),
        4 => format!("\"{},\" {} {}", english.capital(&first), draw.pick(&english.names), english.past(draw)),
        5 => format!("{first} ({})", aside(draw, english)),
        6 => format!("{}, {first}", draw.pick(&["in fact", "for example", "of course", "last year", "at first"])),
        7 => format!("there {} about {first}", draw.pick(&["was nothing new", "were some doubts", "is a note"])),
        _ => first,
    };
    out.push_str(&english.capital(&text));
    out.push(if draw.one_in(16) { '?' } else { '.' });
}

fn clause(draw: &mut Draw, english: &English) -> String {
    let who = subject(draw, english);
    let did = match draw.below(5) {
        0 => format!("{} {}", draw.pick(&english.adverbs), english.past(draw)),
        1 => format!("{} {}", draw.pick(&["had", "have", "would have"]), english.past(draw)),
        2 => format!("was {}", english.doing(draw)),
        3 => {
            format!("{} {}", draw.pick(&["could", "should", "will", "wanted to", "did not"]), draw.pick(&english.verbs))
        }
        _ => english.past(draw),
    };
    let mut text = format!("{who} {did} {}", object(draw, english));
    for _ in 0..draw.below(3) {
        text.push(' ');
        text.push_str(&adjunct(draw, english));
    }
    text
}

fn subject(draw: &mut Draw, english: &English) -> String {
    match draw.below(9) {
        0 => format!("the {} {}", english.code(draw), english.noun(draw)),
        1 => draw.pick(&english.names).into(),
        2 => draw.pick(&["we", "they", "she", "he", "nobody", "everyone", "it"]).into(),
        3 => format!("most of the {}", english.plural(draw)),
        4 => format!("{}'s {}", draw.pick(&english.names), english.noun(draw)),
        5 => format!("a {} from {}", english.noun(draw), draw.pick(&english.places)),
        6 => format!("the {} of the {}", english.noun(draw), english.noun(draw)),
        _ => format!("the {} {}", draw.pick(&english.adjectives), english.noun(draw)),
    }
}

fn object(draw: &mut Draw, english: &English) -> String {
    match draw.below(9) {
        0 => format!("{} {}", draw.between(2, 400), english.plural(draw)),
        1 => format!("the {} {} and the {}", draw.pick(&english.adjectives), english.noun(draw), english.plural(draw)),
        2 => format!("{} of the {}", draw.pick(&["some", "all", "none", "many", "half"]), english.plural(draw)),
        3 => format!("its {} {}", draw.pick(&english.adjectives), english.plural(draw)),
        4 => format!("{:.1} per cent of the {}", draw.below(1000) as f64 / 10.0, english.plural(draw)),
        5 => format!("{}{} for the {}", draw.pick(&["$", "EUR ", "£"]), draw.between(3, 9000), english.noun(draw)),
        6 => format!("a {}", english.noun(draw)),
        _ => format!("the {}", english.noun(draw)),
    }
}

fn adjunct(draw: &mut Draw, english: &English) -> String {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const MONTHS: [&str; 6] = ["January", "March", "May", "August", "October", "December"];
    match draw.below(10) {
        0 => format!("in {}", draw.pick(&english.places)),
        1 => format!("on {}", draw.pick(&DAYS)),
        2 => format!("in {} {}", draw.pick(&MONTHS), draw.between(1980, 2026)),
        3 => format!("by {}:{:02}", draw.between(6, 22), draw.below(60)),
        4 => format!("that the {} {}", english.noun(draw), english.past(draw)),
        5 => format!("without {} the {}", english.doing(draw), english.plural(draw)),
        6 => format!("for the {}", english.noun(draw)),
        7 => format!("near the {} {}", draw.pick(&english.adjectives), english.noun(draw)),
        8 => format!("with {}", draw.pick(&english.names)),
        _ => draw.pick(&english.adverbs).into(),
    }
}

fn aside(draw: &mut Draw, english: &English) -> String {
    match draw.below(4) {
        0 => format!("see page {}", draw.between(2, 300)),
        1 => format!("about {} {}", draw.between(2, 90), english.plural(draw)),
        2 => format!("{} to {}", draw.between(1900, 1990), draw.between(1991, 2026)),
        _ => format!("the {} one", draw.pick(&english.adjectives)),
    }
}

/// One thing that is said in a chat.
pub fn turn(draw: &mut Draw, english: &English, out: &mut String) {
    match draw.below(13) {
        9 => {
            out.push_str(&format!("```{}\n", draw.pick(&["python", "js", "bash", "json", ""])));
            machine::function(draw, english, out);
            out.push_str("```\n\n");
        }
        10 => out.push_str(&format!(
            "{}… see https://www.{}.example/{}/{}?q={}%20{}&page={} ",
            english.capital(&clause(draw, english)),
            english.coined(draw),
            english.noun(draw),
            english.noun(draw),
            english.noun(draw),
            english.noun(draw),
            draw.below(30)
        )),
        11 => out.push_str(&format!(
            "{} - {} - {} - {} → {}{} \u{a0}{} ",
            english.noun(draw),
            english.noun(draw),
            english.code(draw),
            english.noun(draw),
            english.noun(draw),
            draw.pick(&["™", " ½", " №4", " 👩\u{200d}💻", "<br>", " &amp; co", "²"]),
            english.noun(draw)
        )),
        0 => {
            out.push_str(draw.pick(&["Hi! ", "Hello, ", "Thanks! ", "Okay. ", "Hey there :) ", "Great, thank you. "]));
            question(draw, english, out);
        }
        1 => {
            for number in 1..=draw.between(3, 6) {
                let title = format!("{} {}", draw.pick(&english.adjectives), english.noun(draw));
                out.push_str(&format!("{number}. **{}**: ", english.capital(&title)));
                sentence(draw, english, out);
                out.push('\n');
            }
            out.push('\n');
        }
        2 => {
            for _ in 0..draw.between(2, 5) {
                out.push_str(draw.pick(&["- ", "* ", "- [ ] "]));
                sentence(draw, english, out);
                out.push('\n');
            }
            out.push('\n');
        }
        3 => out.push_str(&format!(
            "## {} {}\n\n",
            english.capital(draw.pick(&english.adjectives)),
            english.plural(draw)
        )),
        4 => {
            out.push_str(&format!(
                "You can run `{} --{} {}` ",
                english.noun(draw),
                english.noun(draw),
                draw.below(100)
            ));
            out.push_str(&format!("and then look at *{}* first. ", english.plural(draw)));
        }
        5 => {
            out.push_str(draw.pick(&["I've ", "I'm not sure, but I've ", "We haven't ", "It's like this: they've "]));
            out.push_str(&format!("{} {}, ", english.past(draw), object(draw, english)));
            out.push_str(&format!(
                "and my {}'s {} don't {}... ",
                english.noun(draw),
                english.plural(draw),
                draw.pick(&english.verbs)
            ));
        }
        6 => {
            out.push_str(draw.pick(&["Sure - ", "Of course. ", "Good question! 😊 ", "No problem 👍 ", "Let's see: "]));
            sentence(draw, english, out);
            out.push('\n');
        }
        7 => {
            out.push_str(&format!("| {} | {} |\n|---|---|\n", english.noun(draw), english.noun(draw)));
            for _ in 0..draw.between(2, 4) {
                out.push_str(&format!("| {} | {} |\n", english.noun(draw), draw.below(5000)));
            }
            out.push('\n');
        }
        _ => {
            for _ in 0..draw.between(1, 3) {
                sentence(draw, english, out);
                out.push(' ');
            }
            out.push('\n');
        }
    }
}

fn question(draw: &mut Draw, english: &English, out: &mut String) {
    let verb = draw.pick(&english.verbs);
    let what = object(draw, english);
    let text = match draw.below(6) {
        0 => format!("Could you {verb} {what}? "),
        1 => format!("How do I {verb} {what} {}? ", adjunct(draw, english)),
        2 => format!("What's the {} way to {verb} {what}? ", draw.pick(&english.adjectives)),
        3 => format!(
            "Please write {} lines on {what}, then list the {} points. ",
            draw.between(2, 20),
            draw.between(2, 9)
        ),
        4 => format!("Can you explain why {} {} {what}? ", subject(draw, english), english.past(draw)),
        _ => format!("Is it okay to {verb} {what} in {}? ", draw.pick(&english.places)),
    };
    out.push_str(&text);
}

/// A part of a bug report.
pub fn issue(draw: &mut Draw, english: &English, out: &mut String) {
    let (name, other) = (english.coined(draw), english.noun(draw));
    match draw.below(10) {
        0 => {
            let title = draw.pick(&["Describe the bug", "Steps to reproduce", "Expected behavior", "Environment", "Additional context"]);
            out.push_str(&format!("### {title}\n\n"));
            sentence(draw, english, out);
            out.push_str("\n\n");
        }
        1 => {
            for number in 1..=draw.between(2, 5) {
                let verb = english.capital(draw.pick(&english.verbs));
                out.push_str(&format!("{number}. {verb} the {other} with `{name} --{}={}`\n", english.noun(draw), draw.below(99)));
            }
            out.push('\n');
        }
        2 => out.push_str(&format!(
            "- OS: {}\n- {name}: v{}.{}.{}\n- Node: {}.{}.0, Python 3.{}\n- Browser: {} {}.0.{}\n\n",
            draw.pick(&["macOS 14.5", "Ubuntu 24.04", "Windows 11 (26100.2314)", "Debian 13"]),
            draw.below(9), draw.below(30), draw.below(20),
            draw.between(18, 26), draw.below(20), draw.between(9, 14),
            draw.pick(&["Firefox", "Chrome", "Safari"]), draw.between(90, 150), draw.below(7000),
        )),
        3 => {
            out.push_str("```\nTraceback (most recent call last):\n");
            for _ in 0..draw.between(2, 5) {
                let (module, function) = (english.noun(draw), machine::snake(draw, english));
                out.push_str(&format!(
                    "  File \"/usr/lib/python3/site-packages/{name}/{module}.py\", line {}, in {function}\n    {}\n",
                    draw.between(3, 2000), machine::statement(draw, english),
                ));
            }
            out.push_str(&format!("ValueError: the {other} {} is not {}\n```\n\n", english.noun(draw), draw.pick(&english.adjectives)));
        }
        4 => out.push_str(&format!(
            "This looks like https://github.com/{name}/{other}/issues/{} and was perhaps changed in {} (#{}). ",
            draw.between(10, 90_000), draw.hex(7), draw.between(10, 9000),
        )),
        5 => {
            out.push_str(&format!("```{}\n", draw.pick(&["js", "python", "rust", "go", ""])));
            machine::function(draw, english, out);
            out.push_str("```\n\n");
        }
        6 => out.push_str(&format!(
            "- [x] I have searched the existing issues\n- [{}] I have read the [guide](https://docs.{name}.dev/{other}/{}?tab={})\n\n",
            draw.pick(&["x", " "]), english.noun(draw), english.noun(draw),
        )),
        7 => out.push_str(&format!(
            "<details><summary>{} of `{name}`</summary>\n\n<!-- please leave this line -->\n{}: {:.2} ms, {} -> {}\n</details>\n\n",
            english.capital(&other), english.plural(draw), draw.below(90_000) as f64 / 100.0, draw.below(900), draw.below(900),
        )),
        8 => {
            out.push_str(&format!("@{} I {} it on `{}` ", english.coined(draw), english.past(draw), machine::camel(draw, english)));
            out.push_str(&format!("and see `{}::{}` {} times. ", machine::pascal(draw, english), machine::snake(draw, english), draw.below(50)));
        }
        _ => {
            sentence(draw, english, out);
            out.push_str(draw.pick(&[" ", " ", "\n\n"]));
        }
    }
}
