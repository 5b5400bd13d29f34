# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a Kafka cluster with kafka-python, and the connection options of all Kafka modules.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import addresses
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, View, view_from_metadata
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers

IMPORT_ERROR: str | None = None
try:
    from kafka import errors
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
    from kafka.protocol.admin import ElectionType
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

# A broker that runs answers within milliseconds; waiting longer would only slow the reads down.
SILENCE_MILLISECONDS = 3000
ASKED_AT_ONCE = 16
MIN_ISR = "min.insync.replicas"
AUTH_ERRORS = (
    "AuthorizationError",
    "ClusterAuthorizationFailedError",
    "IllegalSaslStateError",
    "SaslAuthenticationFailedError",
    "TopicAuthorizationFailedError",
    "UnsupportedSaslMechanismError",
)
PARAMETER_ERRORS = ("KafkaConfigurationError",)
UNREACHABLE_ERRORS = (
    "BrokerNotAvailableError",
    "KafkaConnectionError",
    "KafkaTimeoutError",
    "MetadataEmptyBrokerList",
    "NodeNotReadyError",
)


class ReadError(RuntimeError):
    """The cluster could not be read; ``reason`` is ``unreachable``, ``auth``, ``bad_parameter`` or ``kafka_error``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def require_library(module: AnsibleModule) -> None:
    """Fail the module as C(missing_library) where kafka-python is not installed."""
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kafka-python"), exception=IMPORT_ERROR, reason="missing_library")


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the connection options, as the fragment ``holdfast.kafka.kafka`` documents them."""
    return {
        "bootstrap_servers": {"type": "list", "elements": "str"},
        "request_timeout_seconds": {"type": "float", "default": 10},
        "security_protocol": {
            "type": "str",
            "default": "PLAINTEXT",
            "choices": ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        },
        "ssl_ca_file": {"type": "path"},
        "ssl_certificate_file": {"type": "path"},
        "ssl_key_file": {"type": "path"},
        "ssl_check_hostname": {"type": "bool", "default": True},
        "sasl_mechanism": {"type": "str", "choices": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]},
        "sasl_username": {"type": "str"},
        "sasl_password": {"type": "str", "no_log": True},
    }


def client_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the module's parameters into kafka-python's; ReadError ``bad_parameter`` says what is wrong with them."""
    try:
        servers = [str(addresses.parse(text, default_port=9092)) for text in parameters["bootstrap_servers"] or []]
    except ValueError as error:
        raise ReadError("bad_parameter", f"bootstrap_servers: {error}") from error
    if not servers:
        raise ReadError("bad_parameter", "bootstrap_servers names no server")
    try:
        require_numbers(parameters, ["request_timeout_seconds"])
    except ValueError as error:
        raise ReadError("bad_parameter", str(error)) from error
    if parameters["security_protocol"].startswith("SASL") and not (
        parameters["sasl_mechanism"] and parameters["sasl_username"] and parameters["sasl_password"]
    ):
        raise ReadError("bad_parameter", "SASL needs sasl_mechanism, sasl_username and sasl_password")
    milliseconds = max(1, int(parameters["request_timeout_seconds"] * 1000))
    options = {
        "bootstrap_servers": servers,
        "client_id": "holdfast",
        "request_timeout_ms": milliseconds,
        "bootstrap_timeout_ms": milliseconds,
        "security_protocol": parameters["security_protocol"],
        "ssl_cafile": parameters["ssl_ca_file"],
        "ssl_certfile": parameters["ssl_certificate_file"],
        "ssl_keyfile": parameters["ssl_key_file"],
        "ssl_check_hostname": parameters["ssl_check_hostname"],
        "sasl_mechanism": parameters["sasl_mechanism"],
        "sasl_plain_username": parameters["sasl_username"],
        "sasl_plain_password": parameters["sasl_password"],
    }
    return {key: value for key, value in options.items() if value is not None}


def reason_of(error: Exception) -> str:
    """Return the reason that a kafka-python error (or one of the network) stands for."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & set(AUTH_ERRORS):
        return "auth"
    if names & set(PARAMETER_ERRORS):
        return "bad_parameter"
    if names & set(UNREACHABLE_ERRORS) or isinstance(error, OSError):
        return "unreachable"
    return "kafka_error"


@contextlib.contextmanager
def explained(options: Mapping[str, Any], doing: str) -> Iterator[None]:
    """Turn kafka-python's errors into ReadError."""
    try:
        yield
    except (errors.KafkaError, OSError, AssertionError) as error:
        servers = ", ".join(options["bootstrap_servers"])
        detail = str(error) or type(error).__name__
        raise ReadError(reason_of(error), f"cannot {doing} by {servers}: {detail}") from error


def read_in_full(options: Mapping[str, Any]) -> View:
    """Connect, read everything, disconnect; again for as long as one request may take, when a broker just went away."""
    deadline = time.monotonic() + options["request_timeout_ms"] / 1000
    while True:
        try:
            with contextlib.closing(Reader(options)) as reader:
                return reader.read_in_full()
        except ReadError as error:
            if error.reason not in ("unreachable", "kafka_error") or time.monotonic() >= deadline:
                raise
            time.sleep(0.5)


def answers(options: Mapping[str, Any], address: addresses.Address) -> bool:
    """Return whether the broker at this address itself answers a request within three seconds."""
    milliseconds = min(options["request_timeout_ms"], SILENCE_MILLISECONDS)
    own = {
        "bootstrap_servers": [str(address)],
        "request_timeout_ms": milliseconds,
        "bootstrap_timeout_ms": milliseconds,
    }
    try:
        with contextlib.closing(Reader({**options, **own})) as reader:
            reader._client.describe_cluster()
    except (ReadError, errors.KafkaError, OSError):
        return False
    return True


def silent(options: Mapping[str, Any], brokers: Iterable[Broker]) -> frozenset[int]:
    """Return those of these registered brokers that do not answer, asked side by side and twice."""
    suspects = list(brokers)
    with ThreadPoolExecutor(max_workers=ASKED_AT_ONCE) as pool:
        for _ in range(2):
            said = pool.map(lambda one: answers(options, addresses.Address(one.host, one.port)), suspects)
            suspects = [broker for broker, answered in zip(suspects, list(said), strict=True) if not answered]
    return frozenset(broker.node_id for broker in suspects)


def connected(options: Mapping[str, Any]) -> KafkaAdminClient:
    """Return a client to close; ReadError."""
    # kafka-python reports each lost connection on its own; what matters arrives here as an error.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    logging.getLogger("kafka").propagate = False
    with explained(options, "connect to Kafka"):
        return KafkaAdminClient(**options)


class Reader:
    """A connection to a cluster. Construct it once, read often, close it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._client = connected(options)

    def read(self) -> View:
        """Return brokers and partitions, nothing else: two requests."""
        with explained(self._options, "read the cluster's metadata"):
            return view_from_metadata(self._client.describe_cluster(), self._client.describe_topics())

    def read_in_full(self, witness: int | None = None) -> View:
        """Return brokers, partitions, each topic's min.insync.replicas and the reassignments.

        Any broker is asked, or the ``witness``: a broker that is cut off from the others tells what it last heard.
        """
        with self._asking(witness):
            with explained(self._options, "read the cluster's metadata"):
                cluster = self._client.describe_cluster()
                topics = self._client.describe_topics()
            with explained(self._options, f"read the topics' {MIN_ISR}"):
                minima = self._min_insync_replicas([topic["name"] for topic in topics])
            return view_from_metadata(cluster, topics, minima, self._reassigning())

    @contextlib.contextmanager
    def _asking(self, witness: int | None) -> Iterator[None]:
        """Send what any broker may answer to this one."""
        if witness is None:
            yield
            return
        # kafka-python has no public way to ask one broker for metadata; whom to ask is this method's choice.
        manager = self._client._manager
        anyone = manager.least_loaded_node
        manager.least_loaded_node = lambda: witness
        try:
            yield
        finally:
            manager.least_loaded_node = anyone

    def replica_bytes(self, node_ids: Sequence[int]) -> dict[tuple[str, int, int], int]:
        """Return the size in bytes of each replica on the given brokers, by (topic, partition, broker)."""
        with explained(self._options, "read the log directories"):
            answers = self._client.describe_log_dirs(brokers=list(node_ids))
        return {
            (topic["name"], partition["partition_index"], answer["broker"]): partition["partition_size"]
            for answer in answers
            for directory in answer["log_dirs"]
            for topic in directory["topics"]
            for partition in topic["partitions"]
            if not partition.get("is_future_key")
        }

    def elect_preferred(self, partitions: Mapping[str, Sequence[int]]) -> dict[str, str]:
        """Have the preferred replicas of these partitions elected; return what the controller said against which."""
        with explained(self._options, "elect preferred leaders"):
            wanted = {topic: list(numbers) for topic, numbers in partitions.items()}
            self._forget_controller()
            answer = self._client.elect_leaders(ElectionType.PREFERRED, wanted, raise_errors=False)
            if getattr(answer, "error_code", 0):
                raise errors.for_code(answer.error_code)
        said = {}
        for topic in answer.replica_election_results:
            for result in topic.partition_result:
                kind = errors.for_code(result.error_code)
                if result.error_code and kind is not errors.ElectionNotNeededError:
                    said[f"{topic.topic}-{result.partition_id}"] = result.error_message or kind.__name__
        return said

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def answers(self, address: addresses.Address) -> bool:
        """Return whether the broker at this address itself answers a request, which it does once it has started."""
        return answers(self._options, address)

    def _forget_controller(self) -> None:
        # kafka-python keeps the controller's id until that broker itself denies it, which one that is gone never does.
        self._client._controller_id = None

    def _reassigning(self) -> list[tuple[str, int]] | None:
        """Return the partitions on the move; None while no controller is there to tell, as after its death."""
        try:
            with explained(self._options, "read the reassignments"):
                self._forget_controller()
                moving = self._client.list_partition_reassignments()
        except ReadError as error:
            if error.reason == "auth":
                raise
            return None
        return [(key.topic, key.partition) for key in moving]

    def _min_insync_replicas(self, topics: Sequence[str]) -> dict[str, int]:
        if not topics:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic, [MIN_ISR]) for topic in topics]
        described = self._client.describe_configs(resources, config_filter="all")
        return {
            topic: int(settings[MIN_ISR]["value"])
            for topic, settings in described.get("topic", {}).items()
            if MIN_ISR in settings
        }
