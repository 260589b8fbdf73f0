"""Where the originals of a shop lie, and the sizes that imgserve makes of them. Both are beneath MEDIA_ROOT.

imgserve may read and write there. With a bucket in place of files ``_place`` alone changes: ``s3://bucket/…``.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from imgserve.client import Client, Encode, Output, Resize

Sizes = Mapping[str, tuple[int, int]]
"""The name of each size, with its width and height in pixels."""

# A request to the shop waits for it.
RETRY_S = 5.0


class SizedStorage(FileSystemStorage):
    def request_sizes(self, name: str, sizes: Sizes) -> str:
        """Submit the job that makes all sizes of this original. Returns its id, once placeholders lie at all places.

        It may be repeated: the newer job takes the older one's place. Raises imgserve.client.ImgserveError.
        """
        own = settings.IMGSERVE
        outputs = [
            Output(
                name=size,
                operations=(Resize(width, height),),
                encode=Encode("webp"),
                destination=self._place(self._name_of_size(name, size)),
            )
            for size, (width, height) in sizes.items()
        ]
        with Client(own["url"], key=own["key"], retry_s=RETRY_S) as imgserve:
            return imgserve.submit(
                self._place(name),
                outputs,
                webhook={"url": own["webhook"], "events": ["job.succeeded", "job.failed"]},
                metadata={"image": name},
            ).id

    def url_of_size(self, name: str, size: str) -> str:
        """The URL for a page. It works from the moment at which the job is accepted."""
        return str(self.url(self._name_of_size(name, size)))

    def _place(self, name: str) -> str:
        return Path(self.path(name)).as_uri()

    def _name_of_size(self, name: str, size: str) -> str:
        return str(PurePosixPath("sizes") / PurePosixPath(name).with_suffix(f".{size}.webp"))
