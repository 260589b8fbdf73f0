"""The bytes of a source, as all readers in a worker take them: in memory, or mapped read-only."""

import mmap

Data = bytes | mmap.mmap
