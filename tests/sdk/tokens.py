"""A service account's assertion, as corelane sent it, verified by google-auth with the account's public key.

Arguments: the form that was sent, the audience, the file of the private key."""

import sys
import urllib.parse

from cryptography.hazmat.primitives import serialization
from google.auth import jwt

form, audience, key_file = sys.argv[1:4]
fields = urllib.parse.parse_qs(form, strict_parsing=True)
assert fields["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"], fields
(assertion,) = fields["assertion"]

with open(key_file, "rb") as file:
    private = serialization.load_pem_private_key(file.read(), None)
public = private.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)

claims = jwt.decode(assertion, certs={"k1": public}, audience=audience)
assert claims["iss"] == "a@p.iam.gserviceaccount.com", claims
assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform", claims
assert 0 < claims["exp"] - claims["iat"] <= 3600, claims
header = jwt.decode_header(assertion)
assert header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}, header

# One character less of the signature's middle is another signature.
head, body, signature = assertion.split(".")
turned = signature[:50] + ("A" if signature[50] != "A" else "B") + signature[51:]
try:
    jwt.decode(".".join([head, body, turned]), certs={"k1": public}, audience=audience)
except ValueError:
    pass
else:
    raise AssertionError("a changed signature was taken")
print("verified")
