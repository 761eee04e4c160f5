//! What a password is bound to (RFC 5929, `tls-server-end-point`): the digest of the server's certificate, by the hash
//! of its signature. With it nobody who stands between can pass a password's proof on.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Algorithms of signatures as their identifiers in DER, by the hash that they use. What is older than SHA-256 is
/// replaced by it.
const SHA_256: [&[u8]; 4] = [
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", // md5WithRSAEncryption
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", // sha1WithRSAEncryption
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", // sha256WithRSAEncryption
    b"\x2a\x86\x48\xce\x3d\x04\x03\x02",     // ecdsa-with-SHA256
];
const SHA_384: [&[u8]; 2] = [
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", // sha384WithRSAEncryption
    b"\x2a\x86\x48\xce\x3d\x04\x03\x03",     // ecdsa-with-SHA384
];
const SHA_512: [&[u8]; 2] = [
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", // sha512WithRSAEncryption
    b"\x2a\x86\x48\xce\x3d\x04\x03\x04",     // ecdsa-with-SHA512
];

/// The digest of a certificate; none where its signature is of a kind that has no hash of its own.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = algorithm(certificate)?;
    if SHA_256.contains(&algorithm) {
        Some(Sha256::digest(certificate).to_vec())
    } else if SHA_384.contains(&algorithm) {
        Some(Sha384::digest(certificate).to_vec())
    } else if SHA_512.contains(&algorithm) {
        Some(Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}

/// The algorithm of its signature, which stands behind what is signed.
fn algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate)?;
    let (_signed, rest) = element(certificate)?;
    let (algorithm, _) = element(rest)?;
    let (identifier, _) = element(algorithm)?;
    Some(identifier)
}

/// The content of the first element in DER, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_tag, der) = der.split_first()?;
    let (&first, mut der) = der.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (bytes, rest) = der.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        let more = |length: usize, byte: &u8| length << 8 | usize::from(*byte);
        length = bytes.iter().fold(0, more);
        der = rest;
    }
    der.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    };

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, length) in [
            (&PKCS_ECDSA_P256_SHA256, Some(32)),
            (&PKCS_ECDSA_P384_SHA384, Some(48)),
            (&PKCS_ED25519, None),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(["db".to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let digest = end_point(certificate.der());
            assert_eq!(digest.map(|digest| digest.len()), length);
        }
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x02\x30\x00",
        ] {
            assert_eq!(end_point(bytes), None);
        }
    }
}
