# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's refusals, with the codes and sentences that EC2 uses."""

from __future__ import annotations

from moto.ec2.exceptions import EC2ClientError


def refuse(code: str, message: str) -> EC2ClientError:
    """An error of the EC2 API, ready to be raised."""
    return EC2ClientError(code, message)


def invalid_value(message: str) -> EC2ClientError:
    """``InvalidParameterValue``."""
    return refuse("InvalidParameterValue", message)


def interface_in_use(eni_id: str) -> EC2ClientError:
    """The interface has an attachment, in whatever state."""
    return refuse("InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] in use.")


def wrong_instance_state(instance_id: str, state: str, wanted: str) -> EC2ClientError:
    """An attach or detach to an instance that cannot have it now."""
    return refuse("IncorrectState", f"Instance '{instance_id}' is not {wanted} (it is '{state}').")


def incorrect_instance_state(instance_id: str, verb: str) -> EC2ClientError:
    """Start, stop or reboot from a state that has no such way out."""
    return refuse(
        "IncorrectInstanceState", f"The instance '{instance_id}' is not in a state from which it can be {verb}."
    )


def unknown_filter(name: str) -> EC2ClientError:
    """A filter that the call does not know."""
    return invalid_value(f"The filter '{name}' is invalid")
