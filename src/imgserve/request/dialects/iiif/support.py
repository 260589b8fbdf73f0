"""The table of what this dialect offers of the Image API, for its reference page. Each example is run by a test."""

from imgserve.request.dialects.support import Row

SUPPORT: tuple[Row, ...] = (
    Row("{identifier}", "supported", "redirects to info.json with status 303", "3/{id}"),
    Row("info.json", "supported", "JSON-LD or JSON, by the Accept header", "3/{id}/info.json"),
    Row("region full", "supported", "", "3/{id}/full/max/0/default.jpg"),
    Row("region square", "supported", "centred", "3/{id}/square/max/0/default.jpg"),
    Row("region x,y,w,h", "supported", "cut at the picture's edge", "3/{id}/10,10,40,30/max/0/default.jpg"),
    Row("region pct:x,y,w,h", "supported", "rounded half up, then cut", "3/{id}/pct:10,10,50,50/max/0/default.jpg"),
    Row("size max", "supported", "within the limits", "3/{id}/full/max/0/default.jpg"),
    Row("size ^max", "supported", "as large as the limits allow", "3/{id}/0,0,8,8/^max/0/default.png"),
    Row("size w,", "supported", "", "3/{id}/full/40,/0/default.jpg"),
    Row("size ,h", "supported", "", "3/{id}/full/,30/0/default.jpg"),
    Row("size pct:n", "supported", "", "3/{id}/full/pct:50/0/default.jpg"),
    Row("size w,h", "supported", "may distort", "3/{id}/full/40,40/0/default.jpg"),
    Row(
        "size !w,h",
        "differs",
        "400 if the box is larger than the region on both sides, as the official validator wants it",
        "3/{id}/full/!40,40/0/default.jpg",
    ),
    Row(
        "size ^w, ^,h ^pct:n ^w,h ^!w,h", "supported", "501 if upscaling is off", "3/{id}/full/^!300,300/0/default.jpg"
    ),
    Row("rotation n", "supported", "any number from 0 to 360", "3/{id}/full/max/22.5/default.png"),
    Row("rotation !n", "supported", "mirrored first", "3/{id}/full/max/!90/default.jpg"),
    Row("quality default, color", "supported", "", "3/{id}/full/max/0/color.jpg"),
    Row("quality gray", "supported", "", "3/{id}/full/max/0/gray.jpg"),
    Row("quality bitonal", "supported", "", "3/{id}/full/max/0/bitonal.png"),
    Row("format jpg, png", "supported", "", "3/{id}/full/max/0/default.png"),
    Row("format webp, tif, gif, avif", "supported", "as the settings say", "3/{id}/full/max/0/default.webp"),
    Row("format jp2, pdf", "not offered", "400"),
    Row("animations", "differs", "an image is the first frame"),
    Row("2.1", "supported", "beneath /2/", "2/{id}/full/full/0/default.jpg"),
    Row("2.1: size above the region", "supported", "sizeAboveFull", "2/{id}/full/300,/0/default.jpg"),
    Row("authentication", "not offered", "a mount has a list of sources, and no logins"),
)
