"""A certificate for 127.0.0.1, and the authority that vouches for it: made for one run."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = timedelta(days=1)
_PEM = serialization.Encoding.PEM


def make(folder: Path) -> tuple[Path, Path]:
    """(file of the authority, file of the server's key and certificate)."""
    keys = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    above = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tagcast bench")])
    here = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    authority = _certificate(above, above, keys[0]).add_extension(x509.BasicConstraints(True, None), critical=True)
    server = _certificate(here, above, keys[1]).add_extension(names, critical=False)
    files = folder / "authority.pem", folder / "server.pem"
    files[0].write_bytes(authority.sign(keys[0], hashes.SHA256()).public_bytes(_PEM))
    private = keys[1].private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[1].write_bytes(private + server.sign(keys[0], hashes.SHA256()).public_bytes(_PEM))
    return files


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
