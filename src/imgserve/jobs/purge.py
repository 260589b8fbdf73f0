"""What the servers of a queue tell each other about cached pictures that are not right any more."""

import msgspec


class Purge(msgspec.Struct, frozen=True, omit_defaults=True):
    """Pictures of a source; or of all whose URL begins so (``is_prefix``); or one ``rendering`` of it alone."""

    source: str
    rendering: str = ""
    is_prefix: bool = False
