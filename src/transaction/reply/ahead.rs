//! A long reply is read before it is judged: its texts are scanned slice by slice, and between two slices the worker serves
//! others. What is known of them then is what judging them at once would find.

use std::rc::Rc;
use std::sync::Arc;

use super::{ReplyGuard, text_of};
use crate::enums::Zone;
use crate::guard::Ahead;
use crate::protocol::Json;
use crate::reason::Reason;
use crate::redact::ActiveWatch;
use crate::scan::{Budget, Copies, Pace, Scanner, Text, Turns};

/// Bytes of a text in which active content is looked for at a time.
const PIECE: usize = 16 * 1024;
/// Steps in whose time a byte is looked at for active content, at worst.
const A_BYTE: usize = 8;
/// What a text takes, however short it is, in the time of steps that scan it.
const A_TEXT: usize = 300;

impl ReplyGuard {
    /// Begins to read a whole reply.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(in crate::transaction) fn read_ahead(&self, body: &[u8]) -> Result<Turns<Ahead>, Reason> {
        let policy = Arc::clone(&self.policy);
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let (json, parts) = if self.is_page {
            let page = Json::String(String::from_utf8_lossy(body));
            let parts = route.protocol.read_reply(route.operation, &page);
            (page, parts)
        } else {
            let (json, parts, _) = self.read(body)?;
            (json, parts)
        };
        let texts: Vec<String> = parts.texts.iter().filter_map(|one| Some(text_of(&json, one)?.to_owned())).collect();
        let together = route.protocol.reply_zone().map(|zone| {
            let text = |one| Text { zone, text: text_of(&json, one).unwrap_or_default() };
            let texts: Vec<Text<'_>> = parts.texts.iter().map(text).collect();
            let is_aside = |at: usize| {
                let one = parts.texts.get(at);
                one.is_some_and(|one| route.protocol.is_aside(&json, &one.path, one.is_key))
            };
            Copies::of(&texts, &is_aside)
        });
        let (scanner, budget) = (Arc::clone(&policy.scanner), policy.limits.budget());
        let pace = Rc::new(Pace::default());
        let own = Rc::clone(&pace);
        Ok(Turns::new(pace, Box::pin(async move { read(&scanner, budget, texts, together, &own).await })))
    }
}

async fn read(scanner: &Scanner, budget: Budget, texts: Vec<String>, together: Option<Copies>, pace: &Pace) -> Ahead {
    let mut ahead = Ahead::default();
    for text in texts {
        if ahead.has(&text) {
            continue;
        }
        let one = [Text { zone: Zone::Assistant, text: &text }];
        let own = Budget { scan_bytes: text.len(), ..budget };
        let mut report = scanner.data_report(&one, own, pace).await;
        pace.spend(report.work + A_TEXT).await;
        let mut active = ActiveWatch::default();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE).max(rest.ceil_char_boundary(1)));
            active.feed(piece);
            pace.spend(piece.len() * A_BYTE).await;
            rest = behind;
        }
        active.finish();
        ahead.add(text, report.texts.pop().unwrap_or_default(), active);
    }
    if let Some(texts) = together {
        let all: Vec<Text<'_>> = texts.texts().collect();
        let report = scanner.conversation(&all, &|at| texts.is_aside(at), budget, pace).await;
        ahead.add_all(texts, report);
    }
    ahead
}
