"""Taking a posted form apart, for the receivers: RFC 7578, file names escaped as browsers do it."""


def parts_of(data: bytes, media_type: str) -> dict[str, tuple[str, bytes]]:
    """Field name -> (file name, value)."""
    boundary = media_type.partition("boundary=")[2].strip('"').encode()
    parts: dict[str, tuple[str, bytes]] = {}
    if not boundary:
        return parts
    for part in data.split(b"--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = text.partition(' name="')[2].partition('"')[0]
        file_name = text.partition('filename="')[2].partition('"')[0]
        file_name = file_name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        parts[name] = (file_name, value.removesuffix(b"\r\n"))
    return parts
