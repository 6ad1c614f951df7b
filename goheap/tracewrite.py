"""Writing GHTRACE1: columns that grow side by side become one file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

SPOOL = 1 << 20  # bytes of a column kept in memory before they go to a file


class Writer:
    """Columns on their way into a file, each compressed in a place of its own."""

    def __init__(self, columns: Iterable[tuple[str, str]], level: int = 6) -> None:
        self._columns = tuple(columns)
        self._zlib = [zlib.compressobj(level) for _ in self._columns]
        self._spools: list[IO[bytes]] = [
            tempfile.SpooledTemporaryFile(SPOOL) for _ in self._columns]
        self._raw = [0] * len(self._columns)

    def add(self, pieces: Sequence[bytes]) -> None:
        """The next bytes of every column."""
        for i, piece in enumerate(pieces):
            if piece:
                self._raw[i] += len(piece)
                self._spools[i].write(self._zlib[i].compress(piece))

    def close(self) -> None:
        for s in self._spools:
            s.close()

    def finish(self, out: IO[bytes], header: Mapping[str, Any],
               counts: Sequence[int]) -> None:
        """Writes the whole file: header with the columns' places, then the columns."""
        described, offset = [], 0
        for (name, enc), z, spool, raw, count in zip(
                self._columns, self._zlib, self._spools, self._raw, counts):
            spool.write(z.flush())
            length = spool.tell()
            described.append({"name": name, "enc": enc, "count": count, "raw_bytes": raw,
                              "offset": offset, "bytes": length})
            offset += length
        text = json.dumps({"format": "GHTRACE1", "compression": "zlib", **header,
                           "columns": described}, separators=(",", ":"))
        data = text.encode("utf-8", "replace")
        out.write(b"GHTRACE1" + len(data).to_bytes(4, "little") + data)
        for spool in self._spools:
            spool.seek(0)
            shutil.copyfileobj(spool, out, 1 << 17)
        self.close()


def replace(path: str | os.PathLike[str], write: Any) -> None:
    """Calls write(file) on a new file beside path that then takes its place: path is
    either as before or complete."""
    path = os.fsdecode(path)
    folder, name = os.path.split(path)
    fd, made = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    try:
        with os.fdopen(fd, "wb") as out:
            write(out)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(made, 0o666 & ~umask)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
