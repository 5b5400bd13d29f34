# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of the modules that talk to Kafka."""

from __future__ import annotations


class ModuleDocFragment:
    """Equal to ``kafka_reader.argument_spec()``; a test compares them."""

    DOCUMENTATION = r"""
options:
  bootstrap_servers:
    description: Brokers to start from, as C(host) or C(host:port). The port is 9092 unless given.
    type: list
    elements: str
  request_timeout_seconds:
    description: How long to wait for a connection or an answer.
    type: float
    default: 10
  security_protocol:
    description: How to talk to the brokers.
    type: str
    default: PLAINTEXT
    choices: [PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL]
  ssl_ca_file:
    description: The certificates of the authorities to trust, in PEM.
    type: path
  ssl_certificate_file:
    description: The client's certificate, in PEM.
    type: path
  ssl_key_file:
    description: The key of the client's certificate, in PEM.
    type: path
  ssl_check_hostname:
    description: Whether a broker's certificate must carry the name it is reached by.
    type: bool
    default: true
  sasl_mechanism:
    description: How to authenticate; needed with SASL.
    type: str
    choices: [PLAIN, SCRAM-SHA-256, SCRAM-SHA-512]
  sasl_username:
    description: The user; needed with SASL.
    type: str
  sasl_password:
    description: The user's password; needed with SASL.
    type: str
requirements:
  - kafka-python >= 3.0
notes:
  - The connection to Kafka is made from the host that the module runs on, by that host's Python interpreter.
"""
