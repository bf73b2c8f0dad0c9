//! A certificate authority made at start, and the server's certificate.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub(crate) struct Authority {
    /// The authority's certificate.
    pub(crate) pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority_key = KeyPair::generate().expect("a key is made from random numbers");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names are no wrong names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
        authority.distinguished_name.push(DnType::CommonName, "fake-arm authority");
        // Python's ssl asks for the key usage that signs certificates.
        authority.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = authority.self_signed(&authority_key).expect("the key signs");

        let key = KeyPair::generate().expect("a key is made from random numbers");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("these are names");
        server.distinguished_name.push(DnType::CommonName, "fake-arm");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).expect("the key signs");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        // The provider is named: with two in one program rustls refuses to choose.
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has its own defaults")
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], key)
            .expect("the certificate is of that key");
        Self { pem: certificate.pem(), config: Arc::new(config) }
    }

    pub(crate) fn tls(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}
