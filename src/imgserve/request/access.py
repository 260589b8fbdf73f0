"""What goes along with a request to another host: headers of the job's own, and a credential by its name."""

import msgspec

# Name and value, in the order given.
Headers = tuple[tuple[str, str], ...]


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """``credential`` is the name of one in the settings; empty for none. Header values are never logged or shown."""

    headers: Headers = ()
    credential: str = ""

    def __repr__(self) -> str:
        return "Access()"


NOTHING = Access()
