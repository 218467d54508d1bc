"""The reference library's side of the check: reads a JSON list of requests from stdin, writes a JSON list of answers.

verify  {token, jwk}                    -> {payload} as SDJWTVerifier sees it, or {error}
issue   {claims, alg, decoys, header}   -> {token, jwk}; in claims a name that begins with "sd:" and an array element
                                           {"sd:": value} are selectively disclosable
present {token, disclose}               -> {token} as SDJWTHolder cuts it down
key     {pem}                           -> {thumbprint, input, signature} made with a PKCS#8 private key
"""

import json
import sys

from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier


def marked(claims):
    if isinstance(claims, dict):
        if set(claims) == {"sd:"}:
            return SDObj(marked(claims["sd:"]))
        return {SDObj(name[3:]) if name.startswith("sd:") else name: marked(value) for name, value in claims.items()}
    if isinstance(claims, list):
        return [marked(value) for value in claims]
    return claims


def verify(request):
    key = JWK(**request["jwk"])
    verifier = SDJWTVerifier(request["token"], lambda issuer, header: key)
    return {"payload": verifier.get_verified_payload()}


def issue(request):
    if request["alg"] == "EdDSA":
        key = JWK.generate(kty="OKP", crv="Ed25519")
    else:
        key = JWK.generate(kty="EC", crv="P-256")
    issuer = SDJWTIssuer(
        marked(request["claims"]),
        key,
        sign_alg=request["alg"],
        add_decoy_claims=request["decoys"],
        extra_header_parameters=request["header"],
    )
    return {"token": issuer.sd_jwt_issuance, "jwk": key.export_public(as_dict=True)}


def present(request):
    holder = SDJWTHolder(request["token"])
    holder.create_presentation(request["disclose"])
    return {"token": holder.sd_jwt_presentation}


def key(request):
    private = JWK.from_pem(request["pem"].encode())
    alg = "EdDSA" if private["kty"] == "OKP" else "ES256"
    jws = JWS(b"message")
    jws.add_signature(private, alg=alg, protected=json.dumps({"alg": alg}))
    signed, _, signature = jws.serialize(compact=True).rpartition(".")
    return {"thumbprint": private.thumbprint(), "input": signed, "signature": signature}


def answer(request):
    try:
        return {"verify": verify, "issue": issue, "present": present, "key": key}[request["do"]](request)
    except Exception as error:  # any refusal of the library is an answer
        return {"error": f"{type(error).__name__}: {error}"}


json.dump([answer(request) for request in json.load(sys.stdin)], sys.stdout)
