"""The presets of a running server, which each API looks up. SIGHUP replaces them."""

from imgserve.request.preset import Config


class Presets:
    """``recipes`` by name. ``is_only``: no request may have another recipe."""

    def __init__(self, config: Config) -> None:
        self.replace(config)

    def replace(self, config: Config) -> None:
        """Holds from the next request on. An accepted job keeps its recipe."""
        self.recipes, self.is_only = config.recipes(), config.is_only
