# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service, version 2 only, by the standard library and never through a proxy."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

DEFAULT_ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
TOKEN_LIFETIME_SECONDS = 21600
REQUEST_TIMEOUT_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 4.0
# How long the pauses between attempts may be in all: a service that answers with errors is there and will recover, one
# that is silent may be missing, as on an operator's machine.
SILENCE_SECONDS = 7.5
REFUSAL_SECONDS = 45.0


class ImdsError(Exception):
    """The metadata service did not answer, or not as an instance's does."""


@dataclass(frozen=True)
class Myself:
    """Who this instance is."""

    instance_id: str
    availability_zone: str
    region: str


class Imds:
    """A client with one token and bounded retries: a quarter of a minute in silence, three quarters against errors."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = (endpoint or os.environ.get(ENDPOINT_VARIABLE) or DEFAULT_ENDPOINT).rstrip("/")
        if not self.endpoint.startswith(("http://", "https://")):
            raise ImdsError(f"{self.endpoint} is not an http address; see {ENDPOINT_VARIABLE}")
        self._token: str | None = None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _once(self, method: str, path: str, headers: dict[str, str]) -> str:
        url = f"{self.endpoint}/latest/{path}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 (the scheme is checked above)
        with self._opener.open(request, timeout=REQUEST_TIMEOUT_SECONDS) as answer:
            return str(answer.read().decode())

    def _get_token(self) -> str:
        if self._token is None:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFETIME_SECONDS)}
            self._token = self._once("PUT", "api/token", lifetime)
        return self._token

    def get(self, path: str) -> str | None:
        """Return the text under C(/latest/<path>), C(None) if there is none; raise ImdsError."""
        pause, waited, attempts = FIRST_PAUSE_SECONDS, 0.0, 0
        while True:
            attempts += 1
            try:
                return self._once("GET", path, {"X-aws-ec2-metadata-token": self._get_token()})
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                if error.code == 401:
                    self._token = None
                last, patience = f"HTTP {error.code}", REFUSAL_SECONDS
            except (OSError, ValueError) as error:
                last, patience = str(getattr(error, "reason", error)), SILENCE_SECONDS
            if waited + pause > patience:
                break
            time.sleep(pause)
            waited += pause
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise ImdsError(f"{self.endpoint} gave no answer to {path} in {attempts} attempts ({last})")

    def may_give_credentials(self) -> bool:
        """Ask once whether credentials of a role may still come: the service refuses for now, or it has a role.

        Where nothing answers there is no instance around, and an instance without a profile has none to wait for.
        """
        try:
            headers = {"X-aws-ec2-metadata-token": self._get_token()}
            return bool(self._once("GET", "meta-data/iam/security-credentials/", headers))
        except urllib.error.HTTPError as error:
            self._token = None
            return error.code != 404
        except (OSError, ValueError):
            return False

    def require(self, path: str) -> str:
        """Return the text under a path that every instance has; raise ImdsError."""
        text = self.get(path)
        if not text:
            raise ImdsError(f"{self.endpoint} does not know {path}")
        return text.strip()

    def myself(self) -> Myself:
        """Return this instance's id, Availability Zone and region."""
        zone = self.require("meta-data/placement/availability-zone")
        region = self.get("meta-data/placement/region")
        return Myself(self.require("meta-data/instance-id"), zone, (region or zone[:-1]).strip())

    def interface_id(self, mac: str) -> str | None:
        """Return the id of the ENI that EC2 says is attached to me with this MAC."""
        text = self.get(f"meta-data/network/interfaces/macs/{mac}/interface-id")
        return text.strip() if text else None

    def interface_value(self, mac: str, name: str) -> str | None:
        """Return one value (such as C(subnet-ipv4-cidr-block)) of an interface of mine."""
        text = self.get(f"meta-data/network/interfaces/macs/{mac}/{name}")
        return text.strip() if text else None
