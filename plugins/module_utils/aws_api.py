# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thin way to call AWS: named errors, bounded retries, and a count of every request that was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import (
    THROTTLED,
    TRANSIENT,
    Meaning,
    meaning,
    reason,
)

try:
    import botocore.config
    import botocore.exceptions
except ImportError:
    pass  # AnsibleAWSModule has reported the missing library before anything here is called

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30


class AwsError(Exception):
    """An AWS call that failed, with its meaning; C(code) is AWS's word, or the SDK exception's name."""

    def __init__(self, operation: str, code: str, text: str, word: Meaning, request_id: str = "") -> None:
        super().__init__(f"{operation} failed with {code}: {text}")
        self.operation = operation
        self.code = code
        self.text = text
        self.word = word
        self.request_id = request_id

    @property
    def reason(self) -> str:
        """The failure's C(reason) when nobody handles this."""
        return reason(self.word)


class Api:
    """A client of one AWS service that counts its requests (a retry by the SDK inside one request is not another)."""

    def __init__(self, module: Any, service: str, retries: int = 6) -> None:
        config = botocore.config.Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "max_attempts": 2},
        )
        self.client = module.client(service, config=config)
        self.requests: list[str] = []
        self.client.meta.events.register("before-call", self._count)
        extra = [*THROTTLED, *TRANSIENT]
        self._retry = AWSRetry.jittered_backoff(retries=retries, delay=1, max_delay=15, catch_extra_error_codes=extra)

    def _count(self, model: Any, **_kwargs: Any) -> None:
        self.requests.append(model.name)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make one call; raise AwsError."""
        return self._translated(operation, lambda: getattr(self.client, operation)(**parameters))

    def pages(self, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """Make one describe, with as many pages as it takes, and return all entries under C(key)."""

        def read() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            token: dict[str, str] = {}
            while True:
                answer = getattr(self.client, operation)(**parameters, **token)
                found += answer.get(key) or []
                if not answer.get("NextToken"):
                    return found
                token = {"NextToken": answer["NextToken"]}

        return self._translated(operation, read)

    def _translated(self, operation: str, function: Callable[[], Any]) -> Any:
        try:
            return self._retry(function)()
        except botocore.exceptions.ClientError as error:
            told = error.response.get("Error", {})
            meta = error.response.get("ResponseMetadata", {})
            code, text = str(told.get("Code", "unknown")), str(told.get("Message", ""))
            word = meaning(code, text, meta.get("HTTPStatusCode", 0))
            raise AwsError(operation, code, text, word, meta.get("RequestId", "")) from error
        except (
            botocore.exceptions.NoCredentialsError,
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.CredentialRetrievalError,
            botocore.exceptions.TokenRetrievalError,
        ) as error:
            raise AwsError(operation, type(error).__name__, str(error), Meaning.AUTH) from error
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as error:
            raise AwsError(operation, type(error).__name__, str(error), Meaning.RETRY) from error
        except botocore.exceptions.BotoCoreError as error:
            raise AwsError(operation, type(error).__name__, str(error), Meaning.FATAL) from error
