"""Signs requests as nodes and operators do: with the key in TIDEGATE_KEY, for the network in TIDEGATE_NETWORK and the
authority in TIDEGATE_ORIGIN. Without a key, requests go out as they are."""

import base64
import hashlib
import os
import time

import schemathesis
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from requests.auth import AuthBase

DIGITS = "0123456789abcdefghijklmnopqrstuv"


def id_bytes(text, prefix, length):
    """The bytes of an id: base 32 behind a prefix, the highest bits first."""
    bits = "".join(f"{DIGITS.index(digit):05b}" for digit in text.removeprefix(prefix))
    return int(bits[: length * 8], 2).to_bytes(length, "big")


def id_text(data, prefix):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return prefix + "".join(DIGITS[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


class Signed(AuthBase):
    def __init__(self, pem, network, origin):
        self.key = load_pem_private_key(pem, password=None)
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = hashlib.sha256(b"tidegate key id v1\0" + public).digest()[:8]
        self.network = id_bytes(network, "net", 16)
        self.origin = origin

    def __call__(self, request):
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        millis, nonce = time.time_ns() // 1_000_000, os.urandom(16)
        fields = [
            b"tidegate request v1",
            self.network,
            self.origin.encode(),
            request.method.encode(),
            request.path_url.encode(),
            hashlib.sha256(body).digest(),
            self.key_id,
            millis.to_bytes(8, "big"),
            nonce,
        ]
        signed = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
        signature = base64.b64encode(self.key.sign(signed)).decode()
        nonce = base64.b64encode(nonce).decode()
        key = id_text(self.key_id, "key")
        request.headers["Authorization"] = (
            f"Tidegate key={key},time={millis},nonce={nonce},signature={signature}"
        )
        return request


if "TIDEGATE_KEY" in os.environ:
    with open(os.environ["TIDEGATE_KEY"], "rb") as file:
        SIGNED = Signed(file.read(), os.environ["TIDEGATE_NETWORK"], os.environ["TIDEGATE_ORIGIN"])

    @schemathesis.hook
    def before_call(context, case, kwargs):
        kwargs["auth"] = SIGNED
