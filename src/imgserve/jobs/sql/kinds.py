"""The kinds of outbox entries by their rules (``model.OUTBOX``), as JSON that statements bind."""

import msgspec

from imgserve.jobs.model import OUTBOX


def _json(kinds: list[str]) -> str:
    return msgspec.json.encode(kinds).decode()


HOLDING = _json([kind for kind, rules in OUTBOX.items() if rules.holds_destination])
GIVING_WAY = _json([kind for kind, rules in OUTBOX.items() if rules.gives_way])
MESSAGES = _json([kind for kind, rules in OUTBOX.items() if rules.is_message])
KEEPING = _json([kind for kind, rules in OUTBOX.items() if rules.keeps_job])
