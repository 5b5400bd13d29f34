# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a service's words may be shown. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re

SECRET_TEXT = re.compile(r"(?i)([\w.\-]*(?:password|passwd|secret|token|credential|jaas)[\w.\-]*[\"']?\s*[=:]\s*).*")
#: Up to the last @ after a colon, since a password may have @ and / in it; better a host too few than half a password.
ADDRESS_USER = re.compile(r"//(?:[^/\s:@]*:[^\s\"]+|[^/\s]+)@")
ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b")
PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\Z)", re.DOTALL)
#: What is left of one whose beginning was cut off.
PEM_END = re.compile(r"\A.*-----END [A-Z ]+-----", re.DOTALL)
HIDDEN = "***"


def without_secrets(text: str) -> str:
    """Return a text of any number of lines that may be shown: passwords and keys are left out, the rest stays."""
    text = ACCESS_KEY.sub(HIDDEN, PEM_END.sub(HIDDEN, PEM.sub(HIDDEN, text)))
    return SECRET_TEXT.sub(rf"\1{HIDDEN}", ADDRESS_USER.sub(f"//{HIDDEN}@", text))
