"""The keys of an account, which are never shown."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Keys(NamedTuple):
    """What opens the account; printed as its fingerprint only."""

    key: str = ""
    secret: str = ""

    @property
    def fingerprint(self) -> str:
        """Eight letters that tell accounts apart and open none."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:8]

    def scrub(self, text: str) -> str:
        """Return a text without them."""
        for secret in filter(None, self):
            text = text.replace(secret, "***")
        return text

    def __repr__(self) -> str:
        return f"Keys({self.fingerprint})"
