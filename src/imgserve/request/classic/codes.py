"""The numbers of the original protocol and what each means; README, reference page and tests read this table."""

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
