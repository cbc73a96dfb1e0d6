"""Messages that a receiver or the software channel drops, counted by reason."""

from __future__ import annotations

import logging
import re
from collections import Counter

from semlink.errors import DecodeError

__all__ = ["Rejections"]

_log = logging.getLogger(__name__)


class Rejections(Counter[str]):
    """Number of dropped messages, by reason."""

    def count(self, error: DecodeError) -> None:
        """Count and log a message; repetitions of a reason must not flood the log."""
        reason = _reason(error)
        self[reason] += 1
        _log.log(logging.WARNING if self[reason] == 1 else logging.INFO, "dropped a message: %s", error)


def _reason(error: DecodeError) -> str:
    """Kind of a fault: the message up to its first punctuation, without numbers.

    Without the numbers there are as many reasons as there are messages in the code, whatever a peer sends.

    Examples
    --------
    >>> _reason(DecodeError("truncated: 12 bytes, a header alone has 72"))
    'truncated'
    >>> _reason(DecodeError("frame version 2, this receiver reads 1"))
    'frame version N'
    """
    return re.sub(r"\b(0x[0-9a-f]+|\d+)\b", "N", re.split("[:;,]", str(error), maxsplit=1)[0])
