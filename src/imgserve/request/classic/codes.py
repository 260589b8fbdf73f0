"""The numbers of the original protocol, each with its meaning and the codes of its faults and errors.

README, reference page and tests read ``MEANING``; ``spelling`` looks numbers up.
"""

_ROWS = {
    101: ("a key is missing or unknown", "key_missing key_unknown"),
    102: ("operationType is unknown", "operation_unknown"),
    103: ("args is not an object", "args_invalid"),
    104: ("srcURL is empty or not a URL", "source_invalid"),
    105: ("dstURL is empty or not a URL", "destination_invalid"),
    106: ("a required arg is missing", "size_missing field_missing"),
    107: (
        "an operation's or output's arg is unknown, of the wrong type or out of range",
        "field_unknown field_invalid nothing_left result_too_large output_count size_unknown presets_only",
    ),
    108: ("the source's extension does not fit the operation", "source_extension"),
    109: ("the source's protocol is unknown", "source_scheme_unknown"),
    110: ("the destination's protocol is unknown", "destination_scheme_unknown"),
    111: ("an arg that the destination needs is missing", "destination_field_missing"),
    112: ("an arg of the destination has the wrong type or contradicts another", "destination_field_invalid"),
    113: ("the destination's extension is not a format that can be written", "format_not_writable"),
    114: ("a tag in dstURL is unknown", "tag_unknown"),
    115: ("the source is refused by policy (scheme off, address, port, root)", "source_refused"),
    116: ("the destination is refused by policy (scheme off, address, port, root)", "destination_refused"),
    201: ("the source cannot be retrieved", "source_unavailable source_not_found"),
    202: (
        "the source is not a readable image, or lacks the page that is asked for",
        "source_unreadable page_missing render_failed render_timeout worker_died",
    ),
    203: ("the source is smaller than the result", "source_too_small"),
    204: ("the SVG is invalid", "not_svg svg_invalid"),
    205: ("the placeholder cannot be delivered", "delivery_failed delivery_unknown destination_expired"),
    206: ("the source is too large (bytes, pixels, frames)", "source_too_large picture_too_large"),
    207: ("the result cannot be made as small as max_bytes", "max_bytes_unreachable"),
    301: (
        "not now: the queue or your quota of it is full, you post too often, the server is stopping, busy or short of"
        " something, or its storage fails",
        "destination_busy disk_full draining intake_full intake_quota_full no_worker out_of_descriptors queue_full"
        " queue_quota_full rate_limited root_unavailable storage_failing transfers_busy",
    ),
    302: ("not authorised", "not_authorised"),
}
MEANING = {number: meaning for number, (meaning, _) in _ROWS.items()}
NUMBER = {code: number for number, (_, codes) in _ROWS.items() for code in codes.split()}
"""The number of a fault's or an error's code. An error without one, a bug, is answered as 301."""
