"""A model field for a picture that is needed in several sizes.

    image = SizedImageField(upload_to="products", sizes={"card": (300, 200), "thumb": (64, 64)})

In a template ``{{ product.image.card }}`` is the URL of that size. Names such as ``url`` and ``width`` are Django's.
"""

from typing import Any

from django.core.files import File
from django.db import models, transaction
from django.db.models.fields.files import ImageFieldFile
from examples.django_shop.storage import SizedStorage, Sizes


class SizedFile(ImageFieldFile):
    def __getattr__(self, name: str) -> Any:
        """The URL of the size of this name; empty without a picture."""
        field = self.__dict__.get("field")
        if field is None or name not in field.sizes:
            raise AttributeError(name)
        return self.storage.url_of_size(self.name, name) if self else ""

    def save(self, name: str, content: File, save: bool = True) -> None:
        vars(self.instance)[_new(self.field)] = True  # this object does not outlive the call
        super().save(name, content, save)

    def request_sizes(self) -> str:
        """As ``SizedStorage.request_sizes``: for pictures whose job could not be submitted when they were saved."""
        return str(self.storage.request_sizes(self.name, self.field.sizes))


class SizedImageField(models.ImageField):
    """The job is submitted once the row has been committed: no job is for a row that was rolled back, and no webhook
    comes before its row.
    """

    attr_class = SizedFile

    def __init__(self, *args: Any, sizes: Sizes | None = None, **options: Any) -> None:
        self.sizes = dict(sizes or {})
        super().__init__(*args, **{"storage": SizedStorage(), **options})

    def deconstruct(self) -> tuple[Any, ...]:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "sizes": self.sizes}

    def contribute_to_class(self, cls: type[models.Model], name: str, **options: Any) -> None:
        super().contribute_to_class(cls, name, **options)
        models.signals.post_save.connect(self._saved, sender=cls)

    def _saved(self, instance: models.Model, using: str, **_: Any) -> None:
        file, is_new = getattr(instance, self.attname), vars(instance).pop(_new(self), False)
        if file and is_new:
            # robust: if imgserve cannot be reached, the row stays, and the log has the error
            transaction.on_commit(file.request_sizes, using, robust=True)


def _new(field: models.Field) -> str:
    """The name under which an instance remembers that the field has a new file."""
    return f"_{field.attname}_is_new"
