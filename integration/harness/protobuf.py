"""Protobuf's wire form, as far as the servers of tests read it."""

FIXED = {1: 8, 5: 4}


def fields(message: bytes):
    """The fields of a protobuf message: number, and int or bytes."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    at = 0
    while at < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, varint()
            continue
        length = varint() if kind == 2 else FIXED[kind]
        assert at + length <= len(message)
        yield tag >> 3, message[at : at + length]
        at += length
