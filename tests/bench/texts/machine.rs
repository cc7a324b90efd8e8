//! What programs are made of and what they write: source code, logs.

use super::Draw;
use super::words::English;

/// `two_words`.
pub fn snake(draw: &mut Draw, english: &English) -> String {
    format!("{}_{}", draw.pick(&english.verbs), english.noun(draw))
}

/// `twoWords`.
pub fn camel(draw: &mut Draw, english: &English) -> String {
    format!("{}{}", draw.pick(&english.verbs), english.capital(&english.noun(draw)))
}

/// `TwoWords`.
pub fn pascal(draw: &mut Draw, english: &English) -> String {
    format!("{}{}", english.capital(draw.pick(&english.adjectives)), english.capital(&english.noun(draw)))
}

fn literal(draw: &mut Draw, english: &English) -> String {
    match draw.below(9) {
        0 => draw.below(4096).to_string(),
        1 => format!("0x{}", draw.hex(4)),
        2 => format!("{:.3}", draw.below(100_000) as f64 / 1000.0),
        3 => format!("\"{} {}\"", english.noun(draw), english.plural(draw)),
        4 => format!("\"/api/v{}/{}\"", draw.between(1, 4), english.plural(draw)),
        5 => format!("\"https://{}.example/{}?page={}\"", english.coined(draw), english.noun(draw), draw.below(90)),
        6 => format!("\"{}: %s\\n\"", english.noun(draw)),
        7 => format!("'{}'", english.noun(draw)),
        _ => english.noun(draw),
    }
}

/// One statement, without its end.
pub fn statement(draw: &mut Draw, english: &English) -> String {
    let (left, right) = (english.noun(draw), english.noun(draw));
    match draw.below(8) {
        0 => format!("{left} = {}({right}, {})", snake(draw, english), literal(draw, english)),
        1 => format!("self.{left} = {right} or {}", literal(draw, english)),
        2 => format!("{left}.{}({right})", camel(draw, english)),
        3 => format!("{left}[{}] += {right}[\"{}\"] * {}", draw.below(64), english.noun(draw), draw.below(20)),
        4 => format!("return {left} if {right} > {} else None", draw.below(500)),
        5 => format!("assert {left} == {}", literal(draw, english)),
        6 => format!(
            "{left} = [{right}.strip() for {right} in {}.split({})]",
            english.plural(draw),
            literal(draw, english)
        ),
        _ => format!("log.info({}, {left}, {right})", literal(draw, english)),
    }
}

/// One function or type.
pub fn function(draw: &mut Draw, english: &English, out: &mut String) {
    match draw.below(5) {
        0 | 1 => python(draw, english, out),
        2 => script(draw, english, out),
        3 => rust(draw, english, out),
        _ => go(draw, english, out),
    }
    out.push('\n');
}

fn python(draw: &mut Draw, english: &English, out: &mut String) {
    let (name, given) = (snake(draw, english), english.noun(draw));
    out.push_str(&format!("def {name}(self, {given}, {}=None, limit={}):\n", english.noun(draw), draw.below(1000)));
    out.push_str(&format!("    \"\"\"The {} of {}.\"\"\"\n", english.plural(draw), english.noun(draw)));
    for _ in 0..draw.between(2, 7) {
        if draw.one_in(4) {
            let comment = format!(
                "{} the {} {}",
                draw.pick(&english.verbs),
                draw.pick(&english.adjectives),
                english.plural(draw)
            );
            out.push_str(&format!("    # {comment}\n    for {given} in {}:\n    ", english.plural(draw)));
        }
        out.push_str(&format!("    {}\n", statement(draw, english)));
    }
}

fn script(draw: &mut Draw, english: &English, out: &mut String) {
    let (name, given) = (camel(draw, english), english.noun(draw));
    out.push_str(&format!(
        "export async function {name}({given}, {{ {} = {} }} = {{}}) {{\n",
        english.noun(draw),
        draw.below(99)
    ));
    for _ in 0..draw.between(2, 6) {
        let (left, call) = (english.noun(draw), camel(draw, english));
        let line = match draw.below(5) {
            0 => format!(
                "const {left} = await this.{call}(`${{{given}}}/{}`, {});",
                english.noun(draw),
                literal(draw, english)
            ),
            1 => format!("if (!{left}?.{}) throw new Error({});", english.noun(draw), literal(draw, english)),
            2 => format!(
                "{left}.push({{ {}: {}, {}: {given} }});",
                english.noun(draw),
                draw.below(500),
                english.noun(draw)
            ),
            3 => format!(
                "const {left} = {given}.replace(/[^\\w-]+/g, '-').filter((x) => x !== {});",
                literal(draw, english)
            ),
            _ => format!("// {} {}", english.capital(draw.pick(&english.verbs)), english.plural(draw)),
        };
        out.push_str(&format!("  {line}\n"));
    }
    out.push_str("}\n");
}

fn rust(draw: &mut Draw, english: &English, out: &mut String) {
    let (name, kind) = (snake(draw, english), pascal(draw, english));
    out.push_str(&format!("/// {} the {}.\n", english.capital(draw.pick(&english.verbs)), english.noun(draw)));
    out.push_str(&format!(
        "pub fn {name}(&mut self, {}: &[{kind}]) -> Result<Vec<u8>, {kind}Error> {{\n",
        english.noun(draw)
    ));
    for _ in 0..draw.between(2, 6) {
        let (left, right) = (english.noun(draw), english.noun(draw));
        let line = match draw.below(5) {
            0 => format!("let {left} = self.{right}.iter().map(|x| x.{}).sum::<u64>();", english.noun(draw)),
            1 => format!("let mut {left} = {kind}::with_capacity({});", draw.below(512)),
            2 => format!("if {left} >= {right}.len() {{ return Err({kind}Error::{}); }}", pascal(draw, english)),
            3 => format!("{left}.extend_from_slice(&{right}[{}..]);", draw.below(32)),
            _ => format!(
                "assert_eq!({left}, {}, \"{} {}\");",
                literal(draw, english),
                english.noun(draw),
                english.noun(draw)
            ),
        };
        out.push_str(&format!("    {line}\n"));
    }
    out.push_str("    Ok(out)\n}\n");
}

fn go(draw: &mut Draw, english: &English, out: &mut String) {
    let (name, kind) = (pascal(draw, english), pascal(draw, english));
    out.push_str(&format!(
        "func (s *{kind}) {name}(ctx context.Context, {} string) (*{kind}, error) {{\n",
        english.noun(draw)
    ));
    for _ in 0..draw.between(2, 5) {
        let (left, right) = (english.noun(draw), english.noun(draw));
        let line = match draw.below(4) {
            0 => format!("{left}, err := s.{right}.{name}(ctx, {})", literal(draw, english)),
            1 => "if err != nil {\n\t\treturn nil, err\n\t}".to_owned(),
            2 => format!(
                "{left} := map[string]int{{\"{right}\": {}, \"{}\": {}}}",
                draw.below(99),
                english.noun(draw),
                draw.below(99)
            ),
            _ => format!("fmt.Printf(\"%v {right}\\n\", {left}) // {}", english.plural(draw)),
        };
        out.push_str(&format!("\t{line}\n"));
    }
    out.push_str("\treturn s, nil\n}\n");
}

fn time(draw: &mut Draw) -> String {
    let (day, hour) = (draw.between(1, 28), draw.below(24));
    format!("2026-{:02}-{day:02}T{hour:02}:{:02}:{:02}", draw.between(1, 12), draw.below(60), draw.below(60))
}

fn address(draw: &mut Draw) -> String {
    format!("10.{}.{}.{}", draw.below(256), draw.below(256), draw.between(1, 254))
}

/// A random identifier in the form of RFC 9562.
pub fn uuid(draw: &mut Draw) -> String {
    format!("{}-{}-4{}-a{}-{}", draw.hex(8), draw.hex(4), draw.hex(3), draw.hex(3), draw.hex(12))
}

/// One line of one of seven formats; those with more numbers than words come more often, as they do.
pub fn log_line(draw: &mut Draw, english: &English, out: &mut String) {
    let level = draw.pick(&["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"]);
    let (at, from) = (time(draw), address(draw));
    let (noun, verb) = (english.noun(draw), english.past(draw));
    let line = match draw.pick(&[0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6]) {
        6 => format!(
            "{at}.{:03}+00:00 {level} order={}-{:04}-{:04} {noun}={} ts={}{:06} user={}{:03} {verb} {}/{} in {}ms, {} {}",
            draw.below(1000),
            draw.between(100, 999),
            draw.below(10_000),
            draw.below(10_000),
            draw.below(1_000_000_000),
            draw.between(1_700_000, 1_800_000),
            draw.below(1_000_000),
            draw.below(1_000_000),
            draw.below(1000),
            draw.below(100),
            100,
            draw.below(10_000),
            english.code(draw),
            english.plural(draw)
        ),
        0 => format!(
            "{from} - - [{:02}/Nov/2026:{:02}:{:02}:{:02} +0000] \"{} /api/v1/{}/{} HTTP/1.1\" {} {} \"-\" \"{noun}/{}.{}\" {:.3}",
            draw.between(1, 28),
            draw.below(24),
            draw.below(60),
            draw.below(60),
            draw.pick(&["GET", "GET", "POST", "PUT"]),
            english.plural(draw),
            draw.below(100_000),
            draw.pick(&["200", "200", "204", "304", "404", "503"]),
            draw.below(90_000),
            draw.below(9),
            draw.below(30),
            draw.below(3000) as f64 / 1000.0,
        ),
        1 => format!(
            "{at}.{:03}Z {level} [{noun}-{}] c.e.{}.{} - {} {verb} in {} ms, id={}",
            draw.below(1000),
            draw.below(32),
            english.noun(draw),
            pascal(draw, english),
            english.plural(draw),
            draw.below(4000),
            uuid(draw),
        ),
        2 => format!(
            "{{\"ts\":\"{at}Z\",\"level\":\"{}\",\"msg\":\"{noun} {verb}\",\"trace_id\":\"{}\",\"peer\":\"{from}:{}\",\"dur_ms\":{}.{},\"n\":{}}}",
            level.to_lowercase(),
            draw.hex(32),
            draw.between(1024, 65_000),
            draw.below(900),
            draw.below(99),
            draw.below(100_000),
        ),
        3 => format!(
            "{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {:7} {}.go:{}] \"{} {}\" pod=\"{}/{}-{}-{}\" err=\"{verb} {}\"",
            level.get(..1).unwrap_or("I"),
            draw.between(1, 12),
            draw.between(1, 28),
            draw.below(24),
            draw.below(60),
            draw.below(60),
            draw.below(1_000_000),
            draw.below(99_999),
            noun,
            draw.below(2000),
            english.capital(&verb),
            english.noun(draw),
            english.noun(draw),
            english.noun(draw),
            draw.hex(9),
            draw.hex(5),
            english.noun(draw),
        ),
        4 => format!(
            "Nov {:2} {:02}:{:02}:{:02} {}-{:02} {noun}[{}]: {verb} {}:{} -> {from}:{} bytes={} flags=0x{}",
            draw.between(1, 28),
            draw.below(24),
            draw.below(60),
            draw.below(60),
            english.noun(draw),
            draw.below(40),
            draw.below(99_999),
            address(draw),
            draw.between(1024, 65_000),
            draw.pick(&["80", "443", "5432", "6379"]),
            draw.below(10_000_000),
            draw.hex(4),
        ),
        _ => format!(
            "[{} {}] {level:5} {}::{}: {verb} {}={} {}={}us shard={}/{} rev={}",
            at.get(..10).unwrap_or_default(),
            at.get(11..).unwrap_or_default(),
            english.noun(draw),
            noun,
            english.noun(draw),
            draw.below(1_000_000),
            english.noun(draw),
            draw.below(90_000),
            draw.below(16),
            16,
            draw.hex(12),
        ),
    };
    out.push_str(&line);
    out.push('\n');
}
