"""Encodes a bundle's code in ``dcz`` (`wire.dictionary_transport`), piece by piece.

What makes it small, each measured on bundles: the dictionary as a prefix, long distance matching,
and a window as long as the code. The pledged size makes the frame a single segment, which decoders
take with longer windows. The checksum finds a dictionary that is not the right one.
"""

from apptuner_relay.spool.code.extraction import Unreadable
from apptuner_relay.support import zstd_library
from apptuner_relay.wire.dictionary_transport import window_log, write_dcz_header

_LEVEL = 3


class DictionaryEncoder:
    """Encodes one file.

    :param dictionary: code that the client has, of `DICTIONARY_BYTES`, with its hex SHA-256.
    :param size: of the file, in bytes: as many have to be fed.
    :raises Unreadable: the library is not there.
    """

    def __init__(self, dictionary: bytes, sha256: str, size: int) -> None:
        zstd = zstd_library.load()
        if zstd is None:
            raise Unreadable("there is no library that codes against a dictionary")
        parameter = zstd.CompressionParameter
        self._compressor = zstd.ZstdCompressor(
            options={
                parameter.compression_level: _LEVEL,
                parameter.window_log: window_log(len(dictionary), size),
                parameter.enable_long_distance_matching: 1,
                parameter.checksum_flag: 1,
            },
            zstd_dict=zstd.ZstdDict(dictionary, is_raw=True).as_prefix,
        )
        self._compressor.set_pledged_input_size(size)
        self._begin = write_dcz_header(sha256)

    def feed(self, data: bytes) -> bytes:
        """See `content_codings.Encoder`."""
        begin, self._begin = self._begin, b""
        made: bytes = self._compressor.compress(data)
        return begin + made

    def finish(self) -> bytes:
        """See `content_codings.Encoder`."""
        begin, self._begin = self._begin, b""
        made: bytes = self._compressor.flush()
        return begin + made
