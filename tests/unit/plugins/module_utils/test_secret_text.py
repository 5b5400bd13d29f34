# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of secret is left out of a text, and nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.secret_text import without_secrets

PEM = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ssl.keystore.password = hunter2 two", "ssl.keystore.password = ***"),
        ('{"sasl_password": "hunter2"}', '{"sasl_password": ***'),
        ("https://jane:hun@ter2@git.example.org/x", "https://***@git.example.org/x"),
        ("https://jane:hun/t@er2@git.example.org:443/x failed", "https://***@git.example.org:443/x failed"),
        ("GET http://10.0.0.1:8080/x, mail a@b", "GET http://10.0.0.1:8080/x, mail a@b"),
        ('{"url": "http://a:80/x","mail": "a@b"}', '{"url": "http://a:80/x","mail": "a@b"}'),
        ("key AKIAABCDEFGHIJKLMNOP used", "key *** used"),
        (f"before {PEM} after", "before *** after"),
        (PEM[:40], "***"),
        (PEM[34:] + "\nINFO fine", "***\nINFO fine"),
        ("INFO token: abc\nINFO fine", "INFO token: ***\nINFO fine"),
        (
            "[2026-01-01] INFO started (kafka.server.KafkaServer)",
            "[2026-01-01] INFO started (kafka.server.KafkaServer)",
        ),
    ],
)
def test_secrets_are_left_out_of_texts(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
