"""How static files are kept: hashed names for endless caching, compressed once."""

from functools import lru_cache
from typing import Any

from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """gzip alone: Brotli saves a few kilobytes, but on the API pages' bundles it makes a first start 15 s slower."""

    @lru_cache(maxsize=512)  # noqa: B019 - the one storage of the process; every page names the same few files
    def url(self, name: str | None, force: bool = False) -> str:
        return super().url(name, force)  # type: ignore[no-any-return]

    def create_compressor(self, **options: Any) -> Compressor:
        return Compressor(use_brotli=False, **options)
