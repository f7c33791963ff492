"""How static files are kept: hashed names for endless caching, compressed once."""

from typing import Any

from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """gzip alone: Brotli saves a few kilobytes, but on the API pages' bundles it makes a first start 15 s slower."""

    def create_compressor(self, **options: Any) -> Compressor:
        return Compressor(use_brotli=False, **options)
