"""Sign-in with Google, or any OpenID Connect provider: Authlib does the protocol, this module decides what is believed.

Code flow with state, nonce and PKCE (S256), all three bound to the browser by a signed cookie. Believed is: the issuer and
audience exactly, a verified address, and (iss, sub) as the identity. Source: OpenID Connect Core 1.0 § 3.1, RFC 9700.
"""

from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_client.apps import FlaskOAuth2App
from flask import Flask, Response, session
from joserfc.errors import JoseError

from app.commands.accounts import Identity, clean_picture_url
from app.content.addresses import BadAddress, check_address
from app.domain.errors import NotPermitted, Unavailable
from app.settings import Settings

CALLBACK_PATH = "/auth/google/callback"
PROVIDER_TIMEOUT_S = 10
NEXT_LENGTH_MAX = 2000
_PENDING_MAX = 4  # sign-ins under way in one browser; more would burst the cookie
#: Signatures by the provider's private key only: neither `none` nor HS256, which would take its public key for a secret.
_ALGORITHMS = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
)


def init_app(app: Flask, settings: Settings) -> None:
    """Register the provider, when one is configured. Nothing is fetched before someone signs in."""
    if not settings.google_client_id:
        return
    client = OAuth(app).register(
        "google",
        client_id=settings.google_client_id,
        client_secret=settings.google_client_secret,
        server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid email profile",
            "code_challenge_method": "S256",
            "default_timeout": PROVIDER_TIMEOUT_S,
        },
    )
    app.extensions["mailtide_google"] = client


def begin(client: FlaskOAuth2App, settings: Settings, next_path: str) -> Response:
    """Send the browser to the provider. Raises Unavailable."""
    if len(session) >= _PENDING_MAX:
        session.clear()
    try:
        _check_metadata(client, settings)
        made = client.create_authorization_url(settings.public_url + CALLBACK_PATH)
    except (requests.RequestException, ValueError) as error:
        raise _provider_away() from error
    client.save_authorize_data(redirect_uri=settings.public_url + CALLBACK_PATH, next=next_path, **made)
    return Response(status=302, headers={"Location": made["url"]})


def finish(client: FlaskOAuth2App, settings: Settings, state: str) -> tuple[Identity, str]:
    """Take the provider's answer, and return who it is and where they wanted to go.

    Raises NotPermitted for everything that does not hold; Unavailable.
    """
    begun = client.framework.get_state_data(session, state)
    if not begun:
        raise NotPermitted("This sign-in was not begun in this browser, or is over. Try again.", code="sign_in_expired")
    try:
        _check_metadata(client, settings)
        token = client.authorize_access_token(
            claims_options={
                "iss": {"essential": True, "value": settings.oidc_issuer},
                "aud": {"essential": True, "value": settings.google_client_id},
            }
        )
    except requests.RequestException as error:
        raise _provider_away() from error
    except (AuthlibBaseError, JoseError, ValueError, KeyError, RuntimeError) as error:
        raise _refused("The identity provider's answer does not hold. Try again.") from error
    finally:
        client.framework.clear_state_data(session, state)
    return _read_identity(token.get("userinfo"), settings), begun.get("next") or "/"


def clean_next(path: str | None) -> str:
    """A path of this site, or /. `//evil` and `/\\evil` are other sites to a browser."""
    if not path or len(path) > NEXT_LENGTH_MAX or not path.startswith("/") or path.startswith("//"):
        return "/"
    if "\\" in path or not path.isprintable():
        return "/"
    return path


def _check_metadata(client: FlaskOAuth2App, settings: Settings) -> None:
    """The discovery document must be the issuer's own (OpenID Connect Discovery 1.0 § 4.3)."""
    metadata = client.load_server_metadata()
    if metadata.get("issuer") != settings.oidc_issuer:
        raise ValueError(f"OIDC_ISSUER is {settings.oidc_issuer!r}, its document says {metadata.get('issuer')!r}")
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    metadata["id_token_signing_alg_values_supported"] = [name for name in offered if name in _ALGORITHMS]


def _read_identity(claims: Any, settings: Settings) -> Identity:
    if not claims or claims.get("iss") != settings.oidc_issuer:
        raise _refused("The identity provider did not say who you are.")
    if claims.get("email_verified") is not True:
        raise NotPermitted("Your address is not verified at the identity provider.", code="email_unverified")
    email = check_address(str(claims.get("email") or ""))
    if isinstance(email, BadAddress):
        raise _refused("The identity provider gave no usable address.")
    name = str(claims.get("name") or "")
    return Identity(
        iss=settings.oidc_issuer,
        sub=str(claims["sub"]),
        email=email,
        name="".join(char for char in name if char.isprintable())[:200],
        picture_url=clean_picture_url(claims.get("picture")),
    )


def _refused(message: str) -> NotPermitted:
    return NotPermitted(message, code="sign_in_refused")


def _provider_away() -> Unavailable:
    return Unavailable("The identity provider cannot be reached at the moment.", code="identity_provider_unavailable")
