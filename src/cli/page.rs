//! What the pages of the command line share: one file each that needs no script, no font and no request.

/// The look of every page: colours, sections, tables. A page adds what only it has.
pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b2128;--soft:#5a6570;--line:#e1e5e9;--paper:#fff;--ground:#f3f5f7;--chip:#edf0f3;
--bad:#b42318;--bad-soft:#fde8e6;--warn:#8a5a00;--warn-soft:#fdf1d3;--info:#1f5fae;--info-soft:#e2edfb;--good:#1a7a3a;
--good-soft:#dff5e5}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaee;--soft:#98a4af;--line:#2d353d;--paper:#191e24;--ground:#101418;
--chip:#262d35;--bad:#ff8f85;--bad-soft:#4a1f1d;--warn:#f0c35a;--warn-soft:#40330f;--info:#8cbcff;--info-soft:#1b3252;
--good:#74dd90;--good-soft:#163a22}}
*{box-sizing:border-box}
.skip{position:absolute;left:-99rem;top:0;background:var(--paper);color:var(--ink);padding:.5rem 1rem;z-index:1}
.skip:focus{left:0}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}tr.hidden{display:none}
a{color:var(--info)}:focus-visible{outline:3px solid var(--info);outline-offset:2px;border-radius:3px}
:target{scroll-margin-top:1rem;outline:2px solid var(--info);outline-offset:2px}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:62rem;margin:0 auto;padding:2.25rem 1.25rem 4rem}
h2{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:2rem 0 .6rem;font-weight:600}
section{background:var(--paper);border:1px solid var(--line);border-radius:14px;padding:1.25rem 1.5rem;margin:0 0 1rem}
.verdict{border-left:6px solid var(--good);display:flex;gap:1.5rem;align-items:center;flex-wrap:wrap}
.verdict.deny{border-left-color:var(--bad)}.verdict.some{border-left-color:var(--warn)}
.verdict h1{font-size:1.45rem;margin:0}.verdict p{margin:.1rem 0 0;color:var(--soft)}
.verdict strong{margin-left:auto;font-size:2.4rem;line-height:1;font-weight:650;font-variant-numeric:tabular-nums}
.verdict strong small{display:block;font-size:.75rem;font-weight:400;color:var(--soft);text-align:right;
margin-top:.3rem}
header{display:flex;gap:.75rem;align-items:center;flex-wrap:wrap;margin-bottom:1rem}
header b{font-weight:600}header span{color:var(--soft)}header>*,.verdict>*{min-width:0}
.score{margin-left:auto;display:flex;align-items:center;gap:.6rem;font-variant-numeric:tabular-nums}
.bar{position:relative;width:10rem;height:.55rem;border-radius:99px;background:var(--chip)}
.bar i{display:block;height:100%;border-radius:99px;background:var(--good)}.over .bar i{background:var(--bad)}
.bar u{position:absolute;top:-.2rem;bottom:-.2rem;width:2px;background:var(--ink)}
pre{white-space:pre-wrap;margin:0;padding:1rem 1.1rem;background:var(--ground);border-radius:10px;
font:14px/1.9 ui-monospace,SFMono-Regular,Menlo,monospace}
mark{color:inherit;padding:.12em 0;background:var(--bad-soft);border-bottom:2px solid var(--bad)}
mark.secret{background:var(--warn-soft);border-color:var(--warn)}
mark.pii{background:var(--info-soft);border-color:var(--info)}
mark sup{font:600 10px/1 system-ui,sans-serif;color:var(--bad);margin:0 .15em 0 .25em}
mark.secret sup{color:var(--warn)}mark.pii sup{color:var(--info)}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th{text-align:left;color:var(--soft);font-weight:500;font-size:.85rem}
th,td{padding:.5rem .9rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border:0}
.found{margin:1rem 0 0}.found td:first-child{width:7rem;font-weight:600}
.found td:last-child{text-align:right;padding-right:0}
details>summary{cursor:pointer;color:var(--soft);margin:0 0 1rem}
.tag{display:inline-block;max-width:100%;border-radius:99px;padding:.05rem .6rem;font-size:.8rem;
background:var(--chip);color:var(--soft)}
.tag.attack,.tag.deny{background:var(--bad-soft);color:var(--bad)}
.tag.secret,.tag.flag,.tag.mask,.tag.replace,.tag.shadow{background:var(--warn-soft);color:var(--warn)}
.tag.pii{background:var(--info-soft);color:var(--info)}.tag.allow{background:var(--good-soft);color:var(--good)}
.step{color:var(--soft);font-size:.85rem}.step b{color:var(--ink);font-weight:500}
dl{display:grid;grid-template-columns:6rem minmax(0,1fr);gap:.45rem 1rem;margin:1rem 0 0;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0}
.chip{display:inline-block;max-width:100%;background:var(--chip);border-radius:6px;padding:.05rem .5rem;
margin:0 .35rem .3rem 0}
.neg{color:var(--good)}.pos{color:var(--bad)}
footer{color:var(--soft);font-size:.82rem;margin-top:1.5rem}
@media(max-width:40rem){main{padding:1.25rem .6rem 3rem}section{padding:1rem .9rem}.score{margin-left:0;flex-wrap:wrap}
.bar{width:6rem}dl{grid-template-columns:minmax(0,1fr);gap:.1rem}.verdict strong{margin-left:0}
table,tbody,tr,td,th{display:block;width:auto}tr{border-bottom:1px solid var(--line);padding:.4rem 0}
tr:last-child{border:0}
th{display:none}td[data-h]::before{content:attr(data-h);color:var(--soft)}
td,.found td{border:0;padding:.15rem 0;text-align:left!important;width:auto!important}}
@media(prefers-reduced-motion:reduce){*{transition:none!important;animation:none!important;
scroll-behavior:auto!important}}
@media print{:root{color-scheme:light;--ink:#1b2128;--soft:#4a545e;--line:#c8ced4;--paper:#fff;--ground:#fff;
--chip:#edf0f3;
--bad:#b42318;--bad-soft:#fde8e6;--warn:#8a5a00;--warn-soft:#fdf1d3;--info:#1f5fae;--info-soft:#e2edfb;--good:#1a7a3a;
--good-soft:#dff5e5}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}body{font-size:11px}
main{max-width:none;padding:0}section{break-inside:avoid}.skip{display:none}}
";

/// A page up to the beginning of its `main`: a policy of its own keeps it from asking for anything.
pub(super) fn head(title: &str, style: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';img-src data:;style-src 'unsafe-inline'\">\
         <link rel=\"icon\" href=\"data:,\"><title>Bartizan: {}</title><style>{STYLE}{style}</style></head>\n<body>\
         <a class=\"skip\" href=\"#main\">To the content</a><main id=\"main\" tabindex=\"-1\">\n",
        escape(title)
    )
}

/// A text as it may stand between tags and in quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths in rem of every declaration with this name.
    fn lengths(name: &str) -> Vec<f32> {
        let declarations = STYLE.split(['{', '}', ';']).filter_map(|one| one.trim().split_once(':'));
        let values = declarations.filter(|(known, _)| *known == name).map(|(_, value)| value);
        values.flat_map(|value| value.split(' ')).filter_map(|word| word.strip_suffix("rem")?.parse().ok()).collect()
    }

    /// A narrow screen has about 20 rem.
    #[test]
    fn nothing_is_wider_than_a_narrow_screen() {
        assert!(STYLE.contains("body{") && !STYLE.contains("nowrap") && !STYLE.contains("white-space:pre;"));
        let body = STYLE.split("body{").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
        assert!(body.contains("overflow-wrap:anywhere"), "a digest, a path or a word without a space breaks: {body}");
        assert!(!STYLE.replace("overflow-wrap:anywhere}", "").contains("overflow-wrap"), "nothing undoes it");
        for name in ["width", "min-width", "grid-template-columns"] {
            assert!(lengths(name).iter().all(|length| *length <= 10.0), "{name}: {:?}", lengths(name));
        }
        let narrow = STYLE.split("@media(max-width:40rem){").nth(1).unwrap();
        assert!(narrow.contains("table,tbody,tr,td,th{display:block"), "a row of cells becomes a list");
        assert!(narrow.contains("dl{grid-template-columns:minmax(0,1fr)"));
    }
}
