# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloudformation_signal: signalled, not waiting, and every failure."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError, Myself
from ansible_collections.holdfast.kafka.plugins.modules import cloudformation_signal

from tests.unit.plugins.modules.in_process import run_module

ARGUMENTS = {"stack_name": "orders-nodes", "logical_resource_id": "Group", "unique_id": "i-1", "region": "eu-central-1"}


class Api:
    """CloudFormation as one answer or one error."""

    answer: Any = None
    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def __init__(self, _module: Any, service: str) -> None:
        assert service == "cloudformation"
        self.requests: list[str] = []

    def call(self, operation: str, **parameters: Any) -> Any:
        """Answer."""
        self.requests.append(operation)
        self.calls.append((operation, parameters))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put the table in the service's place."""
    table = type("Api", (Api,), {"calls": []})
    monkeypatch.setattr(cloudformation_signal, "Api", table)
    return table


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
def test_signal_is_sent(api: Any, status: str) -> None:
    result = run_module(cloudformation_signal, {**ARGUMENTS, "status": status})
    assert (result["changed"], result["outcome"], result["unique_id"]) == (True, "signalled", "i-1")
    sent = {"StackName": "orders-nodes", "LogicalResourceId": "Group", "UniqueId": "i-1", "Status": status}
    assert api.calls == [("signal_resource", sent)]


def test_own_id_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Imds, "myself", lambda _self: Myself("i-me", "eu-central-1a", "eu-central-1"))
    assert run_module(cloudformation_signal, {**ARGUMENTS, "unique_id": None})["unique_id"] == "i-me"


@pytest.mark.parametrize(
    "text",
    [
        "Stack:arn:aws:x is in CREATE_COMPLETE state and can not be signaled",
        "Resource Group is not waiting for a signal",
    ],
)
def test_stack_that_waits_for_nothing_is_no_error(api: Any, text: str) -> None:
    api.answer = AwsError("signal_resource", "ValidationError", text, Meaning.FATAL)
    result = run_module(cloudformation_signal, ARGUMENTS)
    assert (result["failed"], result["changed"], result["outcome"]) == (False, False, "not_waiting")


@pytest.mark.parametrize(
    ("code", "text", "word", "reason"),
    [
        ("ValidationError", "Stack 'orders-nodes' does not exist", Meaning.FATAL, "not_found"),
        ("ValidationError", "Resource Group not found", Meaning.FATAL, "not_found"),
        ("ValidationError", "1 validation error detected", Meaning.FATAL, "api_error"),
        ("AccessDenied", "no", Meaning.AUTH, "auth"),
        ("Throttling", "slow down", Meaning.RETRY, "api_error"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_failures(api: Any, code: str, text: str, word: Meaning, reason: str, check: bool) -> None:
    api.answer = AwsError("signal_resource", code, text, word)
    result = run_module(cloudformation_signal, ARGUMENTS, check=check)
    if check and word is Meaning.AUTH:
        assert (result["failed"], result["changed"], result["outcome"]) == (False, False, "unknown")
        return
    assert (result["failed"], result["reason"]) == (True, reason)
    assert "Group of stack orders-nodes" in result["msg"]


def test_nobody_answers_as_the_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_self: Imds) -> Myself:
        raise ImdsError("nobody there")

    monkeypatch.setattr(Imds, "myself", unreachable)
    assert run_module(cloudformation_signal, {**ARGUMENTS, "unique_id": None})["reason"] == "imds_unreachable"


@pytest.mark.parametrize(
    ("status", "changed"),
    [("CREATE_IN_PROGRESS", True), ("UPDATE_IN_PROGRESS", True), ("CREATE_COMPLETE", False), ("CREATE_FAILED", False)],
)
def test_check_mode_reads_and_predicts(api: Any, status: str, changed: bool) -> None:
    api.answer = {"StackResourceDetail": {"ResourceStatus": status}}
    result = run_module(cloudformation_signal, ARGUMENTS, check=True)
    assert (result["changed"], result["outcome"]) == (changed, "signalled" if changed else "not_waiting")
    assert [operation for operation, _parameters in api.calls] == ["describe_stack_resource"]


def test_check_mode_that_may_not_read_says_what_to_grant(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(AnsibleAWSModule, "warn", lambda _self, text: told.append(text))
    api.answer = AwsError("describe_stack_resource", "AccessDenied", "not authorized", Meaning.AUTH)
    assert run_module(cloudformation_signal, ARGUMENTS, check=True)["outcome"] == "unknown"
    assert "Group of stack orders-nodes" in told[0]
    assert "cloudformation:DescribeStackResource" in told[0]
