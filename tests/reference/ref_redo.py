# SPDX-License-Identifier: Apache-2.0
"""The redo record of re-encryption: section 14.4."""
from ref_crypto import B

MAX_REDO = 4224 + (1 << 20) + (1 << 26)


class Redo:
    def __init__(self, keys, data):
        """keys: the new ones. ValueError if the record is not authentic, or not one."""
        if len(data) < 4224 or data[:8] != b"xtsfs.r1":
            raise ValueError("no redo record")
        self.path_bytes, self.offset, self.image_bytes = (int.from_bytes(data[i:i + 8], "little") for i in (8, 16, 24))
        self.file_id = data[32:48]
        if keys.redo_tag(data[:112], data[128:]) != data[112:128]:
            raise ValueError("the tag of the redo record does not verify")
        if not 1 <= self.path_bytes <= 1 << 20 or not self.offset or self.offset % B or self.image_bytes > 1 << 26:
            raise ValueError("a redo record with numbers out of range")
        if data[64:112] != bytes(48) or len(data) != 4224 + self.path_bytes + self.image_bytes:
            raise ValueError("a redo record of another length, or with reserved bytes that are not zero")
        self.block0, self.path = data[128:4224], data[4224:4224 + self.path_bytes]
        if self.block0[16:32] != self.file_id:
            raise ValueError("a redo record with block 0 of another file")
