"""Reading the user's config and writing the corrected one, never over the original."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from preflight.core.errors import ConfigFileError

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def read_text(path: Path) -> str:
    """The file as text, with its line breaks and byte order mark as they are.

    Raises ConfigFileError where it cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigFileError(
            f"{path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigFileError(f"cannot read {path}: {error.strerror}") from None


def write_atomic(path: Path, text: str, *, overwrite: bool, forbid: Path | None = None) -> None:
    """Write ``text`` as UTF-8 so that ``path`` holds either all of it or what it held before.

    ``forbid`` is the file that must stay untouched, whatever name leads to it. Raises ConfigFileError where
    ``path`` is that file, exists and ``overwrite`` is false, or cannot be written.
    """
    if forbid is not None and _is_same_file(path, forbid):
        raise ConfigFileError(f"{path} is the original config, which is never written; set output=PATH")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        _write_durably(temporary, text)
        _publish(temporary, path, overwrite=overwrite)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise ConfigFileError(f"cannot write {path}: {error.strerror}; set output=PATH") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return path.resolve() == other.resolve()


def _exists(path: Path) -> ConfigFileError:
    return ConfigFileError(f"{path} exists already; set overwrite=true to replace it, or output=PATH")


def _write_durably(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give the finished file its name; a link, unlike a rename, fails where the name is taken."""
    if overwrite:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        path.touch(exist_ok=False)
        temporary.replace(path)
