//! Addresses of the network: mail, IP, MAC.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::mask::is_address;
use super::label::is_version_of;

/// Endings of files that are behind an `@` in code and web pages (`logo@2x.png`), and never on a mail domain.
static FILE_ENDINGS: &[&str] = &[
    "bmp", "css", "gif", "htm", "html", "ico", "jpeg", "jpg", "js", "json", "jsx", "mp4", "pdf", "png", "svg", "ts",
    "tsx", "webp", "yaml", "yml",
];

/// Kinds of systemd units: `user@1000.service` is one, and none is a mail domain.
static UNITS: &[&str] =
    &["automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"];

/// A mail address (RFC 5321 sizes, host name form): at least two labels, the last of letters or IDNA.
///
/// `git@host` is refused: it is the user of an SSH address, not a person. So are a placeholder of the filter's own, who logs
/// in with an address (`postgres://app@db.example.com`, the key of `https://9f86...@o1.ingest.example.io`), and the id of a
/// message or of a part of one (RFC 5322 section 3.6.4), by which an answer finds its thread.
pub(super) fn email(before: &str, text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let labels: Vec<&str> = domain.split('.').collect();
    let Some(last) = labels.last() else { return false };
    let top = last.chars().all(char::is_alphabetic) && last.chars().count() >= 2 || last.starts_with("xn--");
    (1..=64).contains(&local.len())
        && domain.len() <= 253
        && labels.len() >= 2
        && labels.iter().all(|part| label(part))
        && top
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && !local.eq_ignore_ascii_case("git")
        && !is_address(text)
        && !logs_in(before, local)
        && !is_message_id(before)
        && ![FILE_ENDINGS, UNITS].iter().any(|list| list.contains(&last.to_ascii_lowercase().as_str()))
}

/// True where `local` is the user or the password of an address (RFC 3986 section 3.2.1) and no person's mailbox: behind
/// a user, in an address of another scheme than HTTP's, or a key. `http://jane@example.org` is what word processors make
/// of a mailbox.
fn logs_in(before: &str, local: &str) -> bool {
    let Some((head, user)) = before.rsplit_once("://") else { return false };
    if user.contains(|c: char| c.is_whitespace() || "/?#@\"'<>()[]{}`,;".contains(c)) {
        return false;
    }
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme = head.rsplit(|c: char| !is_scheme(c)).next().unwrap_or_default();
    let is_web = ["http", "https", ""].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    let is_key = local.len() >= 16 && local.bytes().all(|c| c.is_ascii_hexdigit());
    is_key || user.ends_with(':') || !is_web
}

/// True behind the name of a header or a key that holds ids of messages, and behind other ids there. `References` is what
/// people write over their referees, too, so that it needs the angle bracket.
fn is_message_id(before: &str) -> bool {
    let Some((head, ids)) = before.rsplit_once([':', '=']) else { return false };
    let is_id = |word: &str| word.contains('@') || word.chars().all(|c| "<\"'\\".contains(c));
    if !ids.split_whitespace().all(is_id) {
        return false;
    }
    let head = head.trim_end_matches(['"', '\'', ' ', '\\']);
    let name = head.rsplit(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).next().unwrap_or_default();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match name.as_str() {
        "messageid" | "resentmessageid" | "rfc822messageid" | "inreplyto" | "contentid" | "cid" => true,
        "references" => ids.ends_with('<'),
        _ => false,
    }
}

/// An IP address as `std` reads it, with or without an IPv6 zone.
///
/// Refused although they parse: four single digits that differ (`2.1.3.4` is a section or a version), whatever a name
/// calls a version, networks and browsers (`131.0.0.0`), what is no single machine's on any network (loopback, masks,
/// groups, the unspecified address), and IPv6 forms that are words of code (`Cafe::Add`): those need a digit and three
/// groups, or a leading `::`.
pub(super) fn ip_address(name: &str, text: &str) -> bool {
    if let Ok(four) = text.parse::<Ipv4Addr>() {
        let [a, b, c, d] = four.octets();
        let section = [a, b, c, d].iter().all(|&part| part < 10) && (a, b, c) != (b, c, d);
        return !section && (b, c, d) != (0, 0, 0) && is_a_machines(four) && !is_version_of(name);
    }
    let bare = text.split_once('%').map_or(text, |(address, _)| address);
    if let Some((head, tail)) = bare.rsplit_once(':') {
        // IPv4-translated (RFC 2765 `::ffff:0:a.b.c.d`) and the other mixed forms are all std's.
        if tail.contains('.') && (tail.parse::<Ipv4Addr>().is_err() || head.len() > 40) {
            return false;
        }
    }
    let Ok(six) = bare.parse::<Ipv6Addr>() else { return false };
    let groups = bare.split(':').filter(|group| !group.is_empty()).count();
    let digit = bare.bytes().any(|c| c.is_ascii_digit());
    let is_one = !six.is_unspecified() && !six.is_loopback() && !six.is_multicast();
    is_one
        && six.to_ipv4_mapped().is_none_or(is_a_machines)
        && digit
        && (groups >= 3 || bare.starts_with("::") || is_unicast_block(six))
}

/// Not of this host, loopback, a group's, or reserved, among them masks and broadcast (RFC 6890).
fn is_a_machines(four: Ipv4Addr) -> bool {
    !matches!(four.octets(), [0 | 127 | 224..=255, ..])
}

/// Link-local, unique local and documentation or global prefixes that start with `2`: short forms such as `fe80::1` are
/// there.
fn is_unicast_block(six: Ipv6Addr) -> bool {
    matches!(six.octets(), [0xfe, 0x80..=0xbf, ..] | [0xfc | 0xfd, ..] | [0x20..=0x2f, ..])
}

/// A MAC address: six pairs parted by `:` or `-`, or three groups of four parted by `.`; neither broadcast nor zero.
pub(super) fn mac_address(text: &str) -> bool {
    let shaped = [(':', 6, 2), ('-', 6, 2), ('.', 3, 4)].iter().any(|&(separator, count, length)| {
        text.split(separator).count() == count
            && text.split(separator).all(|part| part.len() == length && part.bytes().all(|c| c.is_ascii_hexdigit()))
    });
    let bare = || text.bytes().filter(u8::is_ascii_hexdigit);
    shaped && !bare().all(|c| c == b'0') && !bare().all(|c| matches!(c, b'f' | b'F'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn mail() {
        tells_apart(
            |text| email("", text),
            &["a.b+c@mail.example.org", "o'neil@example.ie", "käthe@bücher.example", "a@xn--bcher-kva.example"],
            &[
                "a@b",
                "a@b.1",
                "logo@2x.png",
                "git@example.org",
                ".a@example.org",
                "a..b@example.org",
                "a@-b.org",
                "@example.org",
            ],
        );
    }

    #[test]
    fn who_logs_in_with_an_address_is_no_mailbox() {
        let hosts = ["db.example.com", "o123456.ingest.example.io", "bücher.example"];
        let key = "a1b2c3d4e5f64718a9b0c1d2e3f40516";
        for (before, local, is_mail) in [
            ("postgres://", "app", false),
            ("git+ssh://", "deploy", false),
            ("url=amqps://guest:", "guest", false),
            ("https://user:", "pass", false),
            ("SENTRY_DSN=https://", key, false),
            ("https://", "jane.doe", true),
            ("see http://", "jane", true),
            ("mailto:", "jane", true),
            ("postgres://db.example.com/app?owner=", "jane", true),
            ("postgres://db.example.com/ ", "jane", true),
            ("\"redis://cache\", \"", "jane", true),
            ("", key, true),
            ("://", "jane", true),
        ] {
            for host in hosts {
                assert_eq!(email(before, &format!("{local}@{host}")), is_mail, "{before}{local}@{host}");
            }
        }
    }

    #[test]
    fn the_id_of_a_message_is_no_mailbox() {
        for (before, is_mail) in [
            ("Message-ID: <", false),
            ("message-id:<", false),
            ("\r\nIn-Reply-To: <", false),
            ("References: <1f0@mail.example>\r\n <", false),
            ("{\"message_id\": \"", false),
            ("{\\\"messageId\\\":\\\"<", false),
            ("<img src=\"cid:", false),
            ("Content-ID: <", false),
            ("References: ", true),
            ("References: Jane Roe <", true),
            ("Message-ID: <1f0@mail.example>\r\nFrom: Jane <", true),
            ("Message-ID: <1f0@mail.example> was sent by ", true),
            ("Reply-To: <", true),
            ("", true),
        ] {
            for id in ["7f3a9c21.0e1b44d2@mail.aldora.example", "CAF_x-9+Qw@mail.example.com", "jane.roe@example.org"] {
                assert_eq!(email(before, id), is_mail, "{before}{id}");
            }
        }
    }

    #[test]
    fn ip() {
        assert!(!ip_address("Version", "10.2.3.40") && ip_address("host", "10.2.3.40"));
        tells_apart(
            |text| ip_address("", text),
            &[
                "192.0.2.7",
                "8.8.8.8",
                "2001:db8::1",
                "fe80::1%eth0",
                "::ffff:192.0.2.1",
                "2001:DB8:0:0:8:800:200C:417A",
            ],
            &[
                "256.0.0.1",
                "2.1.3.4",
                "1.2.3",
                "0.0.0.0",
                "131.0.0.0",
                "127.0.0.1",
                "255.255.255.0",
                "224.0.0.251",
                "::",
                "::1",
                "::ffff:127.0.0.1",
                "ff02::fb",
                "Cafe::Add",
                "12:30:45",
                "01.02.03.04",
                "2001:db8::256.1.1.1",
            ],
        );
    }

    #[test]
    fn mac() {
        tells_apart(
            mac_address,
            &["00:00:5E:00:53:AF", "00-00-5e-00-53-af", "0000.5e00.53af"],
            &["ff:ff:ff:ff:ff:ff", "00:00:5e:00:53", "00:00-5e:00-53:af", "0000.5e00.53ag", "00:00:00:00:00:00"],
        );
    }
}
