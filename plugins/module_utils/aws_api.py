# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thin way to call AWS: named errors, bounded retries, and a count of every request that was made."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import RETRIED, Meaning, Row, find, reason
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError

try:
    import botocore.config
    import botocore.exceptions
    import botocore.parsers
except ImportError:
    pass  # AnsibleAWSModule has reported the missing library before anything here is called

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
ATTEMPTS = 6
READ_ATTEMPTS = 3
# How long a node's metadata service may refuse the role's credentials, and how often it is asked meanwhile.
CREDENTIALS_SECONDS = 45.0
CREDENTIALS_PAUSE_SECONDS = 2.0


class AwsError(Exception):
    """An AWS call that failed, with its meaning; C(code) is AWS's word, or the SDK exception's name.

    C(row) is its row of the table, from which reason and remedy come; without one the meaning alone gives the reason.
    """

    def __init__(
        self, operation: str, code: str, text: str, word: Meaning, row: Row | None = None, service: str = "ec2"
    ) -> None:
        action = camel(operation)
        remedy = f". {row.remedy.format(action=f'{service}:{action}')}" if row else ""
        super().__init__(f"{action} failed with {code}: {text.rstrip('. ')}{remedy}")
        self.operation = operation
        self.code = code
        self.text = text
        self.word = word
        self.row = row

    @property
    def reason(self) -> str:
        """The failure's C(reason) when nobody handles this."""
        return self.row.reason if self.row else reason(self.word)


def camel(operation: str) -> str:
    """Return AWS's name of a call, as in C(AttachVolume) for C(attach_volume)."""
    return "".join(part.capitalize() for part in operation.split("_"))


def known_error(operation: str, code: str, text: str, service: str = "ec2", http_status: int = 0) -> AwsError:
    """Return the error of a code as the table has it."""
    row = find([code], text, http_status)
    return AwsError(operation, code, text, row.meaning, row, service)


def credentials_may_come() -> bool:
    """Whether this is an instance whose metadata service has a role, or refuses to say so for the moment."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    try:
        return Imds().may_give_credentials()
    except ImdsError:
        return False


class Api:
    """A client of one AWS service that counts every request that it sends, retries too.

    What AWS refuses for the moment is retried here, with jitter and pauses of up to 1, 2, 4, 8 and 15 s, and nowhere
    else: the SDK's own retries inside would multiply the requests of a throttled herd. A read whose reply is lost is
    sent again too; a write is not, its caller reads first.
    """

    def __init__(self, module: Any, service: str) -> None:
        config = botocore.config.Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        self.service = service
        self.requests: list[str] = []
        self._make = lambda: module.client(service, config=config)
        self._connect()
        self._retry = AWSRetry.jittered_backoff(
            retries=ATTEMPTS, delay=1, max_delay=15, catch_extra_error_codes=list(RETRIED)
        )

    def _connect(self) -> None:
        # A client that found no credentials when it was made never looks again.
        self.client = self._make()
        self.client.meta.events.register("before-send", self._count)

    def _send(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Send one request, and again once a metadata service that refuses the role's credentials gives them."""
        deadline = time.monotonic() + CREDENTIALS_SECONDS
        while True:
            try:
                return self._retry(getattr(self.client, operation))(**parameters)
            except (botocore.exceptions.NoCredentialsError, botocore.exceptions.CredentialRetrievalError):
                if time.monotonic() >= deadline or not credentials_may_come():
                    raise
            time.sleep(CREDENTIALS_PAUSE_SECONDS)
            self._connect()

    def _count(self, event_name: str, **_kwargs: Any) -> None:
        self.requests.append(event_name.rsplit(".", 1)[1])

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make one call; raise AwsError."""
        return self._translated(operation, lambda: self._send(operation, parameters))

    def pages(self, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """Make one describe, with as many pages as it takes, and return all entries under C(key)."""

        def read() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            token: dict[str, str] = {}
            while True:
                answer = self._page(operation, **parameters, **token)
                found += answer.get(key) or []
                if not answer.get("NextToken"):
                    return found
                token = {"NextToken": answer["NextToken"]}

        return self._translated(operation, read)

    def _page(self, operation: str, **parameters: Any) -> Any:
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                return self._send(operation, parameters)
            except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError):
                if attempt == READ_ATTEMPTS:
                    raise
                time.sleep(random.uniform(0, attempt))  # noqa: S311 (jitter)
        raise AssertionError("unreachable")

    def _translated(self, operation: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except botocore.exceptions.ClientError as error:
            told = error.response.get("Error", {})
            meta = error.response.get("ResponseMetadata", {})
            code, text = str(told.get("Code", "unknown")), str(told.get("Message", ""))
            raise known_error(operation, code, text, self.service, meta.get("HTTPStatusCode", 0)) from error
        except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError) as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            row = find(names)
            raise AwsError(operation, names[0], str(error), row.meaning, row, self.service) from error
