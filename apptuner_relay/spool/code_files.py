"""Has the files written that hold a bundle's code, each in a content coding, or against another
bundle."""

from pathlib import Path

from apptuner_relay.spool.bundle import IDENTITY, CodeFile
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.code.offload import Offload
from apptuner_relay.wire.dictionary_transport import tag_of_dictionary


async def write_code(
    offload: Offload, bundle: BundleFile, coding: str, base: CodeFile | None
) -> tuple[Path, int]:
    """Write such a file for ``bundle``, whose files have to stay meanwhile. Returns its path, and
    how many bytes it has.

    :param base: the code that it is coded against, where it is.
    :raises NoCode: it can't be done.
    """
    path = bundle.code_path(coding if base is None else tag_of_dictionary(base.sha256))
    is_code = bundle.bundle_code.has_file(IDENTITY)
    source = bundle.code_path(IDENTITY) if is_code else bundle.path
    if base is None:
        return path, await offload.make(source, coding, path, is_code)
    size = (await bundle.digest()).size
    return path, await offload.make_from(base, source, size, path, is_code)
