"""The numbers of the original protocol: what each means, and which faults and errors it stands for.

README, reference page and tests read ``MEANING``; ``spelling`` looks numbers up.
"""

MEANING: dict[int, str] = {
    101: "a key is missing or unknown",
    102: "operationType is unknown",
    103: "args is not an object",
    104: "srcURL is empty or not a URL",
    105: "dstURL is empty or not a URL",
    106: "a required arg is missing",
    107: "an operation's or output's arg is unknown, of the wrong type or out of range",
    108: "the source's extension does not fit the operation",
    109: "the source's protocol is unknown",
    110: "the destination's protocol is unknown",
    111: "an arg that the destination needs is missing",
    112: "an arg of the destination has the wrong type or contradicts another",
    113: "the destination's extension is not a format that can be written",
    114: "a tag in dstURL is unknown",
    115: "the source is refused by policy (scheme off, address, port, root)",
    116: "the destination is refused by policy (scheme off, address, port, root)",
    201: "the source cannot be retrieved",
    202: "the source is not a readable image",
    203: "the source is smaller than the result",
    204: "the SVG is invalid",
    205: "the placeholder cannot be delivered",
    206: "the source is too large (bytes, pixels, frames)",
    301: "not now: the queue or your share of it is full, you post too often, the server is stopping, busy or short"
    " of something, or its storage fails",
    302: "not authorised",
}

_CODES: dict[int, str] = {
    101: "key_missing key_unknown",
    102: "operation_unknown",
    103: "args_invalid",
    104: "source_invalid",
    105: "destination_invalid",
    106: "size_missing",
    107: "field_unknown field_invalid result_too_large output_count",
    108: "source_extension",
    109: "source_scheme_unknown",
    110: "destination_scheme_unknown",
    111: "destination_field_missing",
    112: "destination_field_invalid",
    113: "format_not_writable",
    114: "tag_unknown",
    115: "source_refused",
    116: "destination_refused",
    201: "source_unavailable",
    202: "source_unreadable render_failed render_timeout worker_died",
    203: "source_too_small",
    204: "not_svg svg_invalid",
    205: "delivery_failed delivery_unknown",
    206: "source_too_large picture_too_large",
    301: "destination_busy disk_full draining intake_full no_worker out_of_descriptors queue_full queue_quota_full"
    " rate_limited root_unavailable storage_failing transfers_busy",
    302: "not_authorised",
}
NUMBER: dict[str, int] = {code: number for number, codes in _CODES.items() for code in codes.split()}
"""The number of a fault's or an error's code. An error without one, a bug, is answered as 301."""
