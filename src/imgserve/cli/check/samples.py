"""The smallest pictures of the formats that are read only, flat grey. For ``workers``."""

import struct
from base64 import b64decode

from imgserve.request.imageinfo import SourceFormat

_DIB = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + b"\x80\x80\x80\0"
# In an icon the height counts the mask, which stands behind the pixels.
_ICON = struct.pack("<IiiHHIIiiII", 40, 1, 2, 1, 24, 0, 4, 0, 0, 0, 0) + b"\x80\x80\x80\0" + bytes(4)

SAMPLES: dict[SourceFormat, bytes] = {
    "bmp": b"BM" + struct.pack("<IHHI", 14 + len(_DIB), 0, 0, 54) + _DIB,
    "ico": struct.pack("<HHHBBBBHHII", 0, 1, 1, 1, 1, 0, 0, 1, 24, len(_ICON), 22) + _ICON,
    "heic": b64decode(
        "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJp"
        "bG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAA4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAAB"
        "AAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEA"
        "AQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAA"
        "AAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAABZtZGF0AAAACigBrwQY/ErX"
        "m8A="
    ),
}
