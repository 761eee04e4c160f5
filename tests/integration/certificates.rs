//! Certificates made for one test.

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and a certificate that it gave to `localhost`; as files in a directory that goes with it.
pub(crate) struct Certificates {
    directory: TempDir,
    pub(crate) leaf: Certificate,
    pub(crate) key: KeyPair,
}

impl Certificates {
    /// Made anew, with `ca.pem`, `leaf.pem` and `leaf.key`, and `other.pem` of somebody else.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let other = CertificateParams::new(Vec::new()).unwrap();
        let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let made = Self {
            directory: TempDir::new().unwrap(),
            leaf,
            key,
        };
        for (name, text) in [
            ("ca.pem", ca.pem()),
            ("leaf.pem", made.leaf.pem()),
            ("leaf.key", made.key.serialize_pem()),
            ("other.pem", other.pem()),
        ] {
            std::fs::write(made.path(name), text).unwrap();
        }
        made
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().unwrap().to_owned()
    }
}
