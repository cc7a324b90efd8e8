//! Whether a text of the right shape is the thing itself: check digits, registers of prefixes and
//! lengths, dates, entropy.
//!
//! A rule file names a validator (`detect.validate: iban`); the scanner asks it about each match.
//! Validators are pure, take time linear in the value, and refuse anything over [`MAX_VALUE`] bytes:
//! a value of that length is none of these things. They decide form, never truth: a number that
//! passes may belong to nobody.
//!
//! ```
//! use bartizan::redact::validate::validator;
//!
//! let iban = validator("iban").unwrap();
//! let accepts = |text: &str| iban.accepts(text, 0..text.len());
//! assert!(accepts("DE89370400440532013000"));
//! assert!(!accepts("DE88370400440532013000"), "the check digits");
//! ```

mod card;
mod date;
mod digits;
mod label;
mod name;
mod national;
mod network;
mod password;
mod phone;
mod placeholder;
mod secret;
mod token;
mod wallet;

use std::ops::Range;

use bartizan_rules::invariant::part;

use Validator::{Behind, Between, Named, Value};
pub use placeholder::looks_like_placeholder;
pub use secret::entropy;

/// The longest value that is looked at, in bytes: a private key in PEM form is the longest thing here.
pub const MAX_VALUE: usize = 16 * 1024;

/// How much of the text before a value a validator may see, in bytes.
pub const BEFORE: usize = 128;

/// How much of the text behind a value a validator may see, in bytes.
pub const AFTER: usize = 64;

/// A check of one match.
#[derive(Clone, Copy, Debug)]
pub enum Validator {
    /// The value tells by itself.
    Value(fn(&str) -> bool),
    /// The name that the value is given to has a say: `fn(name, value)`. The name may be empty.
    Named(fn(&str, &str) -> bool),
    /// What comes before the value has a say: `fn(before, value)`. At most [`BEFORE`] bytes of it are given.
    Behind(fn(&str, &str) -> bool),
    /// What is on both sides has a say: `fn(before, value, after)`. At most [`BEFORE`] and [`AFTER`] bytes are given.
    Between(fn(&str, &str, &str) -> bool),
}

impl Validator {
    /// True when the value at this place of a text is what the rule looks for. Outside the text: false.
    pub fn accepts(self, text: &str, span: Range<usize>) -> bool {
        let (start, end) = (span.start, span.end);
        let Some(value) = text.get(span) else { return false };
        let before = || {
            let from = text.ceil_char_boundary(start.saturating_sub(BEFORE));
            part(text, from..start)
        };
        match self {
            Validator::Value(check) => check(value),
            Validator::Named(check) => check(label::before(text, start), value),
            Validator::Behind(check) => check(before(), value),
            Validator::Between(check) => {
                let to = text.floor_char_boundary(end.saturating_add(AFTER));
                check(before(), value, part(text, end..to))
            }
        }
    }
}

/// Every validator by name: a closed list.
///
/// Names are what rule files write. `document.rs` has no part in it: a policy's own rules have no validators.
static VALIDATORS: &[(&str, Validator)] = &[
    ("abaRouting", Value(national::aba_routing)),
    ("arCuit", Value(national::ar_cuit)),
    ("atSvnr", Value(national::at_svnr)),
    ("auAbn", Value(national::au_abn)),
    ("auMedicare", Value(national::au_medicare)),
    ("auTfn", Value(national::au_tfn)),
    ("beNationalNumber", Value(national::be_national_number)),
    ("bgEgn", Value(national::bg_egn)),
    ("birthDate", Value(date::birth_date)),
    ("bitcoin", Value(wallet::bitcoin)),
    ("brCnpj", Value(national::br_cnpj)),
    ("brCpf", Value(national::br_cpf)),
    ("caSin", Value(national::ca_sin)),
    ("cardInContext", Value(card::card_in_context)),
    ("chAhv", Value(national::ch_ahv)),
    ("clRut", Value(national::cl_rut)),
    ("cnResidentId", Value(national::cn_resident_id)),
    ("connectionPassword", Value(password::connection_password)),
    ("cookie", Named(secret::cookie)),
    ("creditCard", Named(card::credit_card)),
    ("czRodneCislo", Value(national::cz_rodne_cislo)),
    ("date", Value(date::calendar_date)),
    ("deSteuerId", Value(national::de_steuer_id)),
    ("dkCpr", Value(national::dk_cpr)),
    ("eeIsikukood", Value(national::ee_isikukood)),
    ("email", Behind(network::email)),
    ("esDni", Value(national::es_dni)),
    ("ethereum", Value(wallet::ethereum)),
    ("fiHetu", Value(national::fi_hetu)),
    ("frNir", Value(national::fr_nir)),
    ("genericSecret", Named(secret::generic_secret)),
    ("headerCredential", Named(secret::header_credential)),
    ("hexSecret", Value(secret::hex_secret)),
    ("hkId", Value(national::hk_id)),
    ("hrOib", Value(national::hr_oib)),
    ("iban", Value(card::iban)),
    ("icaoDocument", Value(national::icao_document)),
    ("iePps", Value(national::ie_pps)),
    ("ilTeudatZehut", Value(national::il_teudat_zehut)),
    ("inAadhaar", Value(national::in_aadhaar)),
    ("inPan", Value(national::in_pan)),
    ("ipAddress", Named(network::ip_address)),
    ("itCodiceFiscale", Value(national::it_codice_fiscale)),
    ("jpMyNumber", Value(national::jp_my_number)),
    ("jwt", Value(token::jwt)),
    ("krRrn", Value(national::kr_rrn)),
    ("krRrnForm", Value(national::kr_rrn_form)),
    ("luhn", Value(digits::luhn_text)),
    ("macAddress", Value(network::mac_address)),
    ("mixedSecret", Value(secret::mixed_secret)),
    ("mxCurp", Value(national::mx_curp)),
    ("nlBsn", Value(national::nl_bsn)),
    ("noFodselsnummer", Value(national::no_fodselsnummer)),
    ("passportNumber", Value(national::passport_number)),
    ("password", Named(password::password)),
    ("passwordHash", Value(secret::password_hash)),
    ("pem", Value(secret::pem)),
    ("phone", Value(phone::international)),
    ("phoneInContext", Value(phone::in_context)),
    ("phoneNational", Value(phone::national)),
    ("phoneNorthAmerica", Value(phone::north_america)),
    ("plPesel", Value(national::pl_pesel)),
    ("prefixedSecret", Value(secret::prefixed_secret)),
    ("ptNif", Value(national::pt_nif)),
    ("roCnp", Value(national::ro_cnp)),
    ("sePersonnummer", Value(national::se_personnummer)),
    ("sgNric", Value(national::sg_nric)),
    ("spentJwt", Value(token::spent_jwt)),
    ("thNationalId", Value(national::th_national_id)),
    ("trTckn", Value(national::tr_tckn)),
    ("twNationalId", Value(national::tw_national_id)),
    ("ukNhs", Value(national::uk_nhs)),
    ("ukNino", Value(national::uk_nino)),
    ("urlPassword", Between(password::url_password)),
    ("usItin", Value(national::us_itin)),
    ("usNpi", Value(national::us_npi)),
    ("usSsn", Value(national::us_ssn)),
    ("wallet", Value(wallet::any)),
    ("zaId", Value(national::za_id)),
];

/// The validator of this name; `None`: there is none.
pub fn validator(name: &str) -> Option<Validator> {
    VALIDATORS.binary_search_by_key(&name, |(known, _)| known).ok().and_then(|at| VALIDATORS.get(at)).map(|(_, f)| *f)
}

/// Every name that [`validator`] knows, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    VALIDATORS.iter().map(|(name, _)| *name)
}

/// Asserts that a check accepts the good values and refuses the bad ones.
#[cfg(test)]
fn tells_apart(check: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
    good.iter().for_each(|value| assert!(check(value), "{value}"));
    bad.iter().for_each(|value| assert!(!check(value), "{value}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_list_is_sorted_and_found() {
        let listed: Vec<_> = names().collect();
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(listed, sorted);
        assert!(listed.iter().all(|name| validator(name).is_some()));
        assert!(validator("nothing").is_none());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_validator_panic(text in "\\PC{0,80}") {
            for (_, check) in VALIDATORS {
                check.accepts(&text, 0..text.len());
            }
        }

        #[test]
        fn no_digits_make_a_validator_panic(text in "[0-9A-Za-z .:/+()\\-]{0,40}") {
            for (_, check) in VALIDATORS {
                check.accepts(&text, 0..text.len());
            }
        }
    }

    #[test]
    fn the_empty_text_is_nothing() {
        for (name, check) in VALIDATORS {
            assert!(!check.accepts("", 0..0), "{name}");
        }
    }
}
