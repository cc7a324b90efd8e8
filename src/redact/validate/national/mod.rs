//! National identity, tax, health and travel document numbers, by the public definition of each.
//!
//! Every function reads the number as written and refuses a wrong length, alphabet, embedded date
//! or check digit. Where a country's number has no check digit that says so.

mod americas;
mod asia;
mod europe;
mod nordic;
mod travel;

pub(super) use americas::{aba_routing, ar_cuit, br_cnpj, br_cpf, ca_sin, cl_rut, mx_curp, us_itin, us_npi, us_ssn};
pub(super) use asia::{
    au_abn, au_medicare, au_tfn, cn_resident_id, hk_id, il_teudat_zehut, in_aadhaar, in_pan, jp_my_number, kr_rrn,
    kr_rrn_form, sg_nric, th_national_id, tr_tckn, tw_national_id, za_id,
};
pub(super) use europe::{
    at_svnr, be_national_number, bg_egn, ch_ahv, cz_rodne_cislo, de_steuer_id, es_dni, fr_nir, hr_oib, ie_pps,
    it_codice_fiscale, nl_bsn, pl_pesel, pt_nif, ro_cnp, uk_nhs, uk_nino,
};
pub(super) use nordic::{dk_cpr, ee_isikukood, fi_hetu, no_fodselsnummer, se_personnummer};
pub(super) use travel::{icao_document, passport_number};
