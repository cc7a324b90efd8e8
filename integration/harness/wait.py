"""Waiting for what must come, however busy the machine is."""

import time


def eventually(holds, what: str, seconds: float = 60.0):
    """Asks until `holds()` is true and gives back what it said. The time only ends a test that would wait for ever."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, f"not after {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return value
