# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the brokers' settings and change the cluster-wide dynamic ones, through kafka-python.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_dynamic import Described
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_reader import connected, explained

try:
    from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType
    from kafka.errors import for_code
except ImportError:  # kafka_reader.IMPORT_ERROR tells the module
    pass


class RejectedError(Exception):
    """Kafka does not take a value; the message is Kafka's own."""


class Settings:
    """A connection to a cluster. Close it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._client = connected(options)

    def node_ids(self) -> list[int]:
        """Return the registered brokers."""
        with explained(self._options, "read the cluster's metadata"):
            return sorted(broker["broker_id"] for broker in self._client.describe_cluster()["brokers"])

    def describe(self, node_ids: Iterable[int]) -> dict[int, Described]:
        """Return each broker's settings with their synonyms, as the broker itself tells them."""
        resources = [ConfigResource(ConfigResourceType.BROKER, str(node_id)) for node_id in node_ids]
        with explained(self._options, "read the brokers' settings"):
            found = self._client.describe_configs(resources, include_synonyms=True, config_filter="all")
        return {int(name): settings for name, settings in found.get("broker", {}).items()}

    def alter(self, changes: Mapping[str, str | None], validate_only: bool) -> None:
        """Set cluster-wide values, or take them away (None); RejectedError with Kafka's words.

        kafka-python's own method wants a broker's id for the name, and the cluster's default has the empty name.
        """
        configs = {
            name: (AlterConfigOp.DELETE if value is None else AlterConfigOp.SET, value)
            for name, value in changes.items()
        }
        resource = ConfigResource(ConfigResourceType.BROKER, "", configs)
        client = self._client
        request = client._alter_configs_request([resource], validate_only=validate_only, incremental=True)

        async def send() -> Any:
            return await client._manager.send(request)

        with explained(self._options, "change the cluster's dynamic settings"):
            answer = client._manager.run(send)
        for response in answer.responses:
            if response.error_code != 0:
                raise RejectedError(response.error_message or for_code(response.error_code).__name__)

    def close(self) -> None:
        """End the connections."""
        self._client.close()
