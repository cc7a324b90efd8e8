//! Whether a text of the right shape is the thing itself: check digits, registers of prefixes and
//! lengths, dates, entropy.
//!
//! A rule file names a validator (`detect.validate: iban`); the scanner asks it about each match.
//! Validators are pure, take time linear in the value, and refuse anything over [`MAX_VALUE`] bytes:
//! a value of that length is none of these things. They decide form, never truth: a number that
//! passes may belong to nobody.

mod card;
mod date;
mod digits;
mod name;
mod national;
mod network;
mod phone;
mod secret;
mod wallet;

pub use secret::{entropy, looks_like_placeholder};

/// The longest value that is looked at, in bytes: a private key in PEM form is the longest thing here.
pub const MAX_VALUE: usize = 16 * 1024;

/// A check of one value.
pub type Validator = fn(&str) -> bool;

/// Every validator by name: a closed list.
///
/// Names are what rule files write. `document.rs` has no part in it: a policy's own rules have no validators.
static VALIDATORS: &[(&str, Validator)] = &[
    ("abaRouting", national::aba_routing),
    ("arCuit", national::ar_cuit),
    ("atSvnr", national::at_svnr),
    ("auAbn", national::au_abn),
    ("auMedicare", national::au_medicare),
    ("auTfn", national::au_tfn),
    ("beNationalNumber", national::be_national_number),
    ("bgEgn", national::bg_egn),
    ("birthDate", date::birth_date),
    ("bitcoin", wallet::bitcoin),
    ("brCnpj", national::br_cnpj),
    ("brCpf", national::br_cpf),
    ("caSin", national::ca_sin),
    ("cardInContext", card::card_in_context),
    ("chAhv", national::ch_ahv),
    ("clRut", national::cl_rut),
    ("cnResidentId", national::cn_resident_id),
    ("connectionPassword", secret::connection_password),
    ("creditCard", card::credit_card),
    ("czRodneCislo", national::cz_rodne_cislo),
    ("date", date::calendar_date),
    ("deSteuerId", national::de_steuer_id),
    ("dkCpr", national::dk_cpr),
    ("eeIsikukood", national::ee_isikukood),
    ("email", network::email),
    ("esDni", national::es_dni),
    ("ethereum", wallet::ethereum),
    ("fiHetu", national::fi_hetu),
    ("frNir", national::fr_nir),
    ("genericSecret", secret::generic_secret),
    ("headerCredential", secret::header_credential),
    ("hexSecret", secret::hex_secret),
    ("hkId", national::hk_id),
    ("hrOib", national::hr_oib),
    ("iban", card::iban),
    ("icaoDocument", national::icao_document),
    ("iePps", national::ie_pps),
    ("ilTeudatZehut", national::il_teudat_zehut),
    ("inAadhaar", national::in_aadhaar),
    ("inPan", national::in_pan),
    ("ipAddress", network::ip_address),
    ("itCodiceFiscale", national::it_codice_fiscale),
    ("jpMyNumber", national::jp_my_number),
    ("jwt", secret::jwt),
    ("krRrn", national::kr_rrn),
    ("krRrnForm", national::kr_rrn_form),
    ("luhn", digits::luhn_text),
    ("macAddress", network::mac_address),
    ("mxCurp", national::mx_curp),
    ("nlBsn", national::nl_bsn),
    ("noFodselsnummer", national::no_fodselsnummer),
    ("passportNumber", national::passport_number),
    ("password", secret::password),
    ("pem", secret::pem),
    ("phone", phone::international),
    ("phoneInContext", phone::in_context),
    ("phoneNational", phone::national),
    ("phoneNorthAmerica", phone::north_america),
    ("plPesel", national::pl_pesel),
    ("prefixedSecret", secret::prefixed_secret),
    ("ptNif", national::pt_nif),
    ("roCnp", national::ro_cnp),
    ("sePersonnummer", national::se_personnummer),
    ("sgNric", national::sg_nric),
    ("thNationalId", national::th_national_id),
    ("trTckn", national::tr_tckn),
    ("twNationalId", national::tw_national_id),
    ("ukNhs", national::uk_nhs),
    ("ukNino", national::uk_nino),
    ("usItin", national::us_itin),
    ("usNpi", national::us_npi),
    ("usSsn", national::us_ssn),
    ("wallet", wallet::any),
    ("zaId", national::za_id),
];

/// The validator of this name; `None`: there is none.
pub fn validator(name: &str) -> Option<Validator> {
    VALIDATORS.binary_search_by_key(&name, |(known, _)| known).ok().and_then(|at| VALIDATORS.get(at)).map(|(_, f)| *f)
}

/// Every name that [`validator`] knows, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    VALIDATORS.iter().map(|(name, _)| *name)
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
                check(&text);
            }
        }

        #[test]
        fn no_digits_make_a_validator_panic(text in "[0-9A-Za-z .:/+()\\-]{0,40}") {
            for (_, check) in VALIDATORS {
                check(&text);
            }
        }
    }

    #[test]
    fn the_empty_text_is_nothing() {
        for (name, check) in VALIDATORS {
            assert!(!check(""), "{name}");
        }
    }
}
