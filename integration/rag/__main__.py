"""Starts Chroma, a scripted model and Envoy with Bartizan, and asks through a LangChain application: `make rag`.

Exits with 1 when a row is not as it has to be.
"""

import sys
from contextlib import ExitStack

from stores import servers

from .rows import Site, rows, wrong


def main() -> int:
    if why := servers.missing():
        print(why)
        return 2
    failed = 0
    with ExitStack() as stack:
        site = Site(stack)
        print(f"{'question':<32}{'team':<8}{'the model saw':<16}{'store':<16}{'model':<16}{'dropped':>8}  other team's data\n{'-' * 116}")
        for row in rows(site):
            why = wrong(row)
            failed += why is not None
            saw, reached = " ".join(row.saw) or "nothing", "YES" if row.crossed else "no"
            note = f"  <- {why}" if why else ""
            print(f"{row.ask.title:<32}{row.ask.team:<8}{saw:<16}{row.store:<16}{row.model:<16}{row.removed:>8}  {reached}{note}", flush=True)
        print("-" * 116)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
